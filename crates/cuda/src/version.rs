//! Versions of CUDA.

use std::fmt;

/// A version of CUDA as its functions give it: 1000 × major + 10 × minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// The first number.
    pub fn major(self) -> u32 {
        self.0 / 1000
    }

    /// The second number.
    pub fn minor(self) -> u32 {
        self.0 % 1000 / 10
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_people_write_it() {
        assert_eq!(Version(13000).to_string(), "13.0");
        assert_eq!(Version(12090).to_string(), "12.9");
        assert!(Version(12090) < Version(13000));
    }
}
