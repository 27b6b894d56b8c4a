//! Whether lists of steps end where the network begins, told before anything runs.

use crate::{Step, TransformSpec, transform::Mode};

/// Largest side of an input in pixels.
const MAX_SIZE: u32 = 8192;

/// Steps that can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// The input size is out of range.
    #[error("the input size {size} is out of range; expected 1 to {MAX_SIZE} pixels")]
    Size {
        /// The size as given.
        size: u32,
    },
    /// A list of steps does not end in pictures of the input size.
    #[error(
        "the {} transform [{steps}] ends in {found}, expected {size} × {size} pixels\nhint: {hint}",
        name(*mode)
    )]
    Ends {
        /// Which list.
        mode: Mode,
        /// The list as written.
        steps: String,
        /// What it ends in.
        found: String,
        /// The input size.
        size: u32,
        /// What to do.
        hint: String,
    },
    /// A random step among the fixed ones.
    #[error(
        "the eval transform has the random step `{step}`\nhint: evaluation must see the same input every time; \
             use `resize` and `center-crop`"
    )]
    RandomEvaluation {
        /// The step.
        step: String,
    },
    /// A picture in between would be too large.
    #[error(
        "resizing would give {width} × {height} pixels, more than the limit of {limit}; \
             the picture is too long and narrow for its `resize`"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Largest number of pixels.
        limit: u64,
    },
}

/// What is known of the size of pictures after some steps.
#[derive(Clone, Copy)]
enum Extent {
    /// As the picture is.
    Any,
    /// The shorter side is known, the longer depends on the picture.
    Shorter(u32),
    /// A square.
    Square(u32),
}

impl TransformSpec {
    /// Whether both lists of steps end in pictures of `size` × `size`, and evaluation draws no random numbers.
    pub fn check(&self) -> Result<(), TransformError> {
        if !(1..=MAX_SIZE).contains(&self.size) {
            return Err(TransformError::Size { size: self.size });
        }
        if let Some(step) = self.eval.iter().find(|step| step.is_random()) {
            return Err(TransformError::RandomEvaluation {
                step: step.to_string(),
            });
        }
        self.check_end(Mode::Training, &self.train)?;
        self.check_end(Mode::Evaluation, &self.eval)
    }

    /// Follows one list.
    fn check_end(&self, mode: Mode, steps: &[Step]) -> Result<(), TransformError> {
        let size = self.size;
        let end = steps
            .iter()
            .fold(Extent::Any, |extent, step| match (*step, extent) {
                (Step::RandomResizedCrop, _) => Extent::Square(size),
                (Step::HorizontalFlip, extent) => extent,
                (Step::Resize(side), Extent::Square(_)) => Extent::Square(side),
                (Step::Resize(side), _) => Extent::Shorter(side),
                (Step::CenterCrop(side), _) => Extent::Square(side.unwrap_or(size)),
            });
        let (found, hint) = match end {
            Extent::Square(side) if side == size => return Ok(()),
            Extent::Square(side) => (
                format!("{side} × {side}"),
                format!("set `size = {side}`, or change the step that gives {side}"),
            ),
            Extent::Shorter(side) => (
                format!("pictures whose shorter side is {side}"),
                "add `center-crop` at the end".to_owned(),
            ),
            Extent::Any => (
                "pictures of any size".to_owned(),
                match mode {
                    Mode::Training => "begin with `random-resized-crop`",
                    Mode::Evaluation => "use `resize` and `center-crop`",
                }
                .to_owned(),
            ),
        };
        let written: Vec<String> = steps.iter().map(|step| format!("\"{step}\"")).collect();
        Err(TransformError::Ends {
            mode,
            steps: written.join(", "),
            found,
            size,
            hint,
        })
    }
}

/// The key of a list in the experiment file.
fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Training => "train",
        Mode::Evaluation => "eval",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Views;

    fn check(train: &[&str], eval: &[&str]) -> Result<(), TransformError> {
        let steps = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect();
        TransformSpec {
            size: 224,
            train: steps(train),
            eval: steps(eval),
            views: Views::Fresh,
        }
        .check()
    }

    const EVAL: [&str; 2] = ["resize 256", "center-crop"];

    #[test]
    fn lists_that_end_at_the_input_size_are_accepted() {
        for train in [
            &["random-resized-crop", "horizontal-flip"][..],
            &["resize 256", "center-crop 224"],
            &["horizontal-flip", "center-crop 300", "resize 224"],
            &["center-crop 500", "random-resized-crop"],
            &["center-crop"],
        ] {
            assert_eq!(check(train, &EVAL), Ok(()), "{train:?}");
        }
    }

    #[test]
    fn lists_that_end_elsewhere_are_refused_with_a_hint() {
        let text = |train: &[&str]| check(train, &EVAL).unwrap_err().to_string();
        assert_eq!(
            text(&["resize 224", "horizontal-flip"]),
            "the train transform [\"resize 224\", \"horizontal-flip\"] ends in pictures whose shorter side is 224, \
             expected 224 × 224 pixels\nhint: add `center-crop` at the end"
        );
        assert!(text(&["horizontal-flip"]).contains("begin with `random-resized-crop`"));
        assert!(text(&["center-crop 200"]).contains("ends in 200 × 200, expected 224 × 224"));
        assert!(text(&[]).contains("pictures of any size"));
        let error = check(&["random-resized-crop"], &["random-resized-crop"]).unwrap_err();
        assert!(matches!(error, TransformError::RandomEvaluation { .. }));
        let error = check(&["random-resized-crop"], &["resize 256"]).unwrap_err();
        assert!(error.to_string().starts_with("the eval transform"));
    }

    #[test]
    fn the_input_size_has_a_range() {
        for size in [0, 8193] {
            let spec = TransformSpec {
                size,
                train: vec![Step::RandomResizedCrop],
                eval: vec![Step::CenterCrop(None)],
                views: Views::Fresh,
            };
            assert_eq!(spec.check(), Err(TransformError::Size { size }));
        }
    }
}
