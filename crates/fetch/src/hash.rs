//! SHA-256 of files and beginnings of it, as torchvision writes into file names.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    str::FromStr,
};

use sha2::{Digest, Sha256};

/// The first hexadecimal digits (8 to 64) of a SHA-256, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPrefix(String);

/// A text that is no beginning of a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no SHA-256: expected 8 to 64 hexadecimal digits")]
pub struct HashPrefixError(String);

impl FromStr for HashPrefix {
    type Err = HashPrefixError;

    fn from_str(text: &str) -> Result<Self, HashPrefixError> {
        if (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(HashPrefixError(text.to_owned()))
        }
    }
}

impl fmt::Display for HashPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HashPrefix {
    /// The hash in a file name such as `resnet18-f37072fd.pth`, as `torch.hub` reads it: eight or more hexadecimal
    /// digits between the last `-` and the next `.`.
    pub fn in_file_name(name: &str) -> Option<Self> {
        let (_, tail) = name.rsplit_once('-')?;
        let (digits, _) = tail.split_once('.')?;
        let lower = digits
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        lower.then(|| digits.parse().ok()).flatten()
    }

    /// Whether the full hash `sha256` (64 lower-case digits) begins so.
    pub fn matches(&self, sha256: &str) -> bool {
        sha256.starts_with(&self.0)
    }
}

/// The SHA-256 of a file as 64 lower-case hexadecimal digits.
pub fn file_sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// Lower-case hexadecimal digits of `bytes`.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_carry_hashes_as_torchvision_writes_them() {
        let found = |name| HashPrefix::in_file_name(name).map(|hash| hash.to_string());
        assert_eq!(found("resnet18-f37072fd.pth").as_deref(), Some("f37072fd"));
        assert_eq!(
            found("inception_v3_google-0cc3c7bd.pth").as_deref(),
            Some("0cc3c7bd")
        );
        for none in [
            "model.safetensors",
            "resnet18-5c106cd.pth",
            "resnet18-5C106CDE.pth",
            "model-00001.safetensors",
            "a-Zf37072f.pth",
            "f37072fd.pth",
        ] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    /// `sha256sum` of "abc", FIPS 180-2 appendix B.1.
    #[test]
    fn hashes_a_file() {
        let path = std::env::temp_dir().join(format!("graft-hash-{}", std::process::id()));
        std::fs::write(&path, "abc").unwrap();
        let hash = file_sha256(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!("BA7816BF".parse::<HashPrefix>().unwrap().matches(&hash));
        assert!(!"ba7816be".parse::<HashPrefix>().unwrap().matches(&hash));
        assert!("ba7816b".parse::<HashPrefix>().is_err());
        assert!("ba7816bx".parse::<HashPrefix>().is_err());
    }
}
