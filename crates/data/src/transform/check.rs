//! Whether lists of steps end where the network begins, told before anything runs.

use std::fmt;

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
    /// A step that comes too early.
    #[error(
        "the {} transform has a step behind `{step}`\nhint: it erases a part of the normalised input, so put it last",
        name(*mode)
    )]
    NotLast {
        /// Which list.
        mode: Mode,
        /// The step.
        step: String,
    },
    /// A random crop of what is always too small for it.
    #[error(
        "the {} transform takes `{step}` of {found}\nhint: put a larger `resize` or a `pad` before it",
        name(*mode)
    )]
    NoRoom {
        /// Which list.
        mode: Mode,
        /// The step.
        step: String,
        /// What the pictures are.
        found: String,
    },
    /// A picture is too small for a random crop.
    #[error(
        "a random crop of {side} × {side} pixels does not fit into {width} × {height}\n\
             hint: put `resize` or `pad` before `random-crop`"
    )]
    TooSmall {
        /// Side of the crop in pixels.
        side: u32,
        /// Width of the picture in pixels.
        width: u32,
        /// Height of the picture in pixels.
        height: u32,
    },
    /// A picture in between would be too large.
    #[error(
        "a step would give {width} × {height} pixels, more than the limit of {limit}; \
             the picture is too long and narrow for its `resize`, or too large for its `pad`"
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
#[derive(Clone, Copy, Debug)]
enum Extent {
    /// As the picture is.
    Any,
    /// The shorter side is known, the longer depends on the picture.
    Shorter(u32),
    /// A square.
    Square(u32),
}

impl Extent {
    /// What is known after `step`, in a list whose input is `size`; `None` if a random crop has no room.
    fn after(self, step: &Step, size: u32) -> Option<Self> {
        let padded = |side: u32, margin: u32| side.saturating_add(2 * margin);
        Some(match (*step, self) {
            (Step::RandomResizedCrop, _) => Self::Square(size),
            (Step::Resize(side), Self::Square(_)) => Self::Square(side),
            (Step::Resize(side), _) => Self::Shorter(side),
            (Step::CenterCrop(side), _) => Self::Square(side.unwrap_or(size)),
            (Step::Pad(margin, _), Self::Square(side)) => Self::Square(padded(side, margin)),
            (Step::Pad(margin, _), Self::Shorter(side)) => Self::Shorter(padded(side, margin)),
            (Step::RandomCrop(side), extent) => {
                let side = side.unwrap_or(size);
                if matches!(extent, Self::Square(known) | Self::Shorter(known) if known < side) {
                    return None;
                }
                Self::Square(side)
            }
            (_, extent) => extent,
        })
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("pictures of any size"),
            Self::Shorter(side) => write!(f, "pictures whose shorter side is {side}"),
            Self::Square(side) => write!(f, "{side} × {side}"),
        }
    }
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
        let mut end = Extent::Any;
        for (place, step) in steps.iter().enumerate() {
            if matches!(step, Step::RandomErasing(_)) && place + 1 < steps.len() {
                let step = step.to_string();
                return Err(TransformError::NotLast { mode, step });
            }
            let next = end.after(step, size);
            end = next.ok_or_else(|| TransformError::NoRoom {
                mode,
                step: step.to_string(),
                found: end.to_string(),
            })?;
        }
        let hint = match (end, mode) {
            (Extent::Square(side), _) if side == size => return Ok(()),
            (Extent::Square(side), _) => {
                format!("set `size = {side}`, or change the step that gives {side}")
            }
            (Extent::Shorter(_), _) => "add `center-crop` at the end".to_owned(),
            (Extent::Any, Mode::Training) => "begin with `random-resized-crop`".to_owned(),
            (Extent::Any, Mode::Evaluation) => "use `resize` and `center-crop`".to_owned(),
        };
        let written: Vec<String> = steps.iter().map(|step| format!("\"{step}\"")).collect();
        Err(TransformError::Ends {
            mode,
            steps: written.join(", "),
            found: end.to_string(),
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
            &["pad 4", "random-crop 224", "vertical-flip"],
            &["center-crop 200", "pad 12 reflect"],
            &[
                "resize 256",
                "random-crop",
                "rand-augment",
                "random-erasing",
            ],
            &[
                "rotation 10 bilinear",
                "color-jitter 1 1 1",
                "random-resized-crop",
            ],
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
    fn impossible_orders_are_refused() {
        let text = |train: &[&str]| check(train, &EVAL).unwrap_err().to_string();
        assert_eq!(
            text(&["random-resized-crop", "random-erasing", "horizontal-flip"]),
            "the train transform has a step behind `random-erasing 0.5`\n\
             hint: it erases a part of the normalised input, so put it last"
        );
        assert_eq!(
            text(&["resize 200", "random-crop"]),
            "the train transform takes `random-crop` of pictures whose shorter side is 200\n\
             hint: put a larger `resize` or a `pad` before it"
        );
        assert!(text(&["center-crop 32", "pad 4", "random-crop 64"]).contains("of 40 × 40\n"));
        assert!(text(&["random-crop 32", "pad 4"]).contains("ends in 40 × 40, expected 224"));
        for step in [
            "vertical-flip",
            "rotation 5",
            "color-jitter 1 1 1",
            "random-erasing",
        ] {
            let error = check(&["center-crop"], &["center-crop", step]).unwrap_err();
            assert!(
                matches!(error, TransformError::RandomEvaluation { .. }),
                "{step}"
            );
        }
        assert_eq!(
            check(&["center-crop"], &["center-crop 220", "pad 2"]),
            Ok(())
        );
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
