//! How exactly and how reproducibly GPUs compute.

use std::cell::Cell;

/// What the operations on CUDA tensors of this thread may do. Without the feature `cuda` nobody looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Whether products of f32 tensors may round their factors to TF32, about three decimal digits, for speed.
    pub tf32: bool,
    /// Whether only such algorithms are taken as give the same bits every time. Otherwise the fastest ones are: for
    /// convolutions they are found by trying all at the first use of each shape.
    pub deterministic: bool,
}

impl Default for Options {
    /// Full precision, and the same bits every time.
    fn default() -> Self {
        Self {
            tf32: false,
            deterministic: true,
        }
    }
}

thread_local! {
    static OPTIONS: Cell<Options> = Cell::new(Options::default());
}

/// Sets the options of this thread.
pub fn set_options(options: Options) {
    OPTIONS.set(options);
}

/// The options of this thread.
pub fn options() -> Options {
    OPTIONS.get()
}
