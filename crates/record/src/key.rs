//! What a trial is called.

use serde::{Deserialize, Serialize};

/// The longest [`safe_name`] in bytes. Three of them and an id stay below the 255 bytes that disks allow.
const LONGEST: usize = 64;

/// Which trial of an experiment: one variant, one cell of the grid, one repeat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrialKey {
    /// Name of the variant.
    pub variant: String,
    /// The cell of the grid, such as `lr=0.001,batch_size=8`; `base` without a grid.
    pub cell: String,
    /// Number of the repeat, from 1.
    pub repeat: u32,
    /// Hash of everything that decides the trial's result.
    pub id: String,
}

impl TrialKey {
    /// The cell of an experiment without a grid.
    pub const BASE_CELL: &'static str = "base";

    /// The name of the trial's folder: `<variant>-<cell>-r03-<id>`.
    pub fn folder_name(&self) -> String {
        format!(
            "{}-{}-r{:02}-{}",
            safe_name(&self.variant),
            safe_name(&self.cell),
            self.repeat,
            safe_name(&self.id)
        )
    }
}

impl std::fmt::Display for TrialKey {
    /// `pretrained, repeat 3` or `pretrained (lr=0.001), repeat 3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.cell == Self::BASE_CELL {
            write!(f, "{}, repeat {}", self.variant, self.repeat)
        } else {
            write!(
                f,
                "{} ({}), repeat {}",
                self.variant, self.cell, self.repeat
            )
        }
    }
}

/// `name` as a part of a file name: letters, digits and `._=+,-` stay, anything else becomes `_`.
///
/// A name that had to be changed or shortened ends with a hash of the original, so that different names stay
/// different. The result is never empty, never starts with a dot and has at most 64 bytes.
pub fn safe_name(name: &str) -> String {
    let keep = |c: char| c.is_alphanumeric() || "._=+,-".contains(c);
    let safe: String = name
        .chars()
        .map(|c| if keep(c) { c } else { '_' })
        .collect();
    if safe == name && !name.is_empty() && !name.starts_with('.') && name.len() <= LONGEST {
        return safe;
    }
    let mut safe = safe.trim_start_matches('.').to_owned();
    let mut end = safe.len().min(LONGEST - 9);
    while !safe.is_char_boundary(end) {
        end -= 1;
    }
    safe.truncate(end);
    format!("{safe}~{:08x}", fnv1a(name))
}

/// 32-bit FNV-1a (Fowler, Noll and Vo), enough to tell a handful of names apart.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn folder_names_are_readable() {
        let key = TrialKey {
            variant: "pretrained".into(),
            cell: "lr=0.001,batch_size=8".into(),
            repeat: 3,
            id: "0a1b2c3d".into(),
        };
        assert_eq!(
            key.folder_name(),
            "pretrained-lr=0.001,batch_size=8-r03-0a1b2c3d"
        );
        assert_eq!(
            key.to_string(),
            "pretrained (lr=0.001,batch_size=8), repeat 3"
        );
    }

    #[test]
    fn awkward_names_become_safe_and_stay_different() {
        assert_eq!(safe_name("a/b"), format!("a_b~{:08x}", fnv1a("a/b")));
        assert_ne!(safe_name("a/b"), safe_name("a:b"));
        assert_ne!(safe_name("a/b"), safe_name("a_b"));
        assert!(!safe_name("..").starts_with('.'));
        assert!(!safe_name("").is_empty());
        assert_eq!(safe_name("größer"), "größer");
    }

    proptest! {
        #[test]
        fn any_name_is_safe(a in any::<String>(), b in any::<String>()) {
            let safe = safe_name(&a);
            prop_assert!(!safe.is_empty() && safe.len() <= LONGEST && !safe.starts_with('.'));
            let bad: &[char] = &['/', '\\', ':', '\0'];
            prop_assert!(!safe.contains(bad));
            prop_assert!(a == b || safe != safe_name(&b));
        }
    }
}
