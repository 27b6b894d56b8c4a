//! Hashes of what a source consists of.

/// A hash of a list of parts.
pub(crate) struct Fingerprint(blake3::Hasher);

impl Fingerprint {
    /// Of no part yet but the version of what is hashed.
    pub(crate) fn new(version: &str) -> Self {
        let mut fingerprint = Self(blake3::Hasher::new());
        fingerprint.part(version.as_bytes());
        fingerprint
    }

    /// Adds a part. It is preceded by its length, so that no two lists of parts give the same bytes.
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// 64 hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
