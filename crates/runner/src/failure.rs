//! How a command ends when it can't do what it was asked for.

use std::fmt;

pub(crate) use graft_data::printable;

/// Exit code: some trials have failed.
pub const EXIT_SOME_FAILED: u8 = 1;
/// Exit code: the experiment or the arguments are wrong, or something they need is missing.
pub const EXIT_BAD_INPUT: u8 = 2;

/// The message for a person and the exit code for a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// `error: …` and `hint: …` lines.
    pub text: String,
}

impl Failure {
    /// The experiment or the arguments are wrong, or something they need is missing.
    pub fn bad_input(error: impl fmt::Display) -> Self {
        Self::new(EXIT_BAD_INPUT, error)
    }

    /// Trials have failed, or their results could not be written.
    pub fn some_failed(error: impl fmt::Display) -> Self {
        Self::new(EXIT_SOME_FAILED, error)
    }

    /// A failure with this exit code. The message begins with what was wrong; lines with `hint: ` may follow.
    pub fn new(code: u8, error: impl fmt::Display) -> Self {
        let text = error.to_string();
        let text = text.trim_end();
        let prefix = if text.starts_with("error: ") {
            ""
        } else {
            "error: "
        };
        Self {
            code,
            text: format!("{prefix}{text}"),
        }
    }

    /// Adds what to do about it, unless the message says something already.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        if !self.text.contains("hint: ") {
            self.text = format!("{}\nhint: {hint}", self.text);
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_like_a_compilers_message() {
        let failure = Failure::bad_input("no such file\n").hint("make one");
        assert_eq!(
            (failure.code, failure.to_string().as_str()),
            (2, "error: no such file\nhint: make one")
        );
        assert_eq!(failure.clone().hint("another"), failure);
        assert_eq!(Failure::some_failed("error: x").to_string(), "error: x");
    }
}
