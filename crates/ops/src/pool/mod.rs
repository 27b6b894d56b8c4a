//! Pooling over windows, and over whole maps.

mod average;
mod max;

pub use average::{adaptive_avg_pool2d, avg_pool2d, global_avg_pool};
pub(crate) use max::{Band, Noted, Places};
pub use max::{max_pool2d, max_pool2d_relu};

use candle_core::{Result, Shape, Tensor};

use crate::check::{self, invalid};

/// The windows of a pooling layer; pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// The size of a window.
    pub kernel: (usize, usize),
    /// The distance between windows.
    pub stride: (usize, usize),
    /// How far windows may reach past each side, at most half of the kernel.
    pub padding: (usize, usize),
    /// Whether a last window that does not fit is kept, if it starts inside the input or the padding before it.
    pub ceil_mode: bool,
}

impl Pool2d {
    /// Square windows without padding, as far apart as they are large.
    pub fn square(kernel: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride: (kernel, kernel),
            padding: (0, 0),
            ceil_mode: false,
        }
    }
}

/// A pooling layer on an input of known size.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) n: usize,
    pub(crate) c: usize,
    pub(crate) y: Axis,
    pub(crate) x: Axis,
}

impl Geometry {
    pub(crate) fn new(op: &str, input: &Tensor, pool: &Pool2d) -> Result<Self> {
        let [n, h, w, c] = check::dims(op, "the input", "(n, h, w, c)", input)?;
        Ok(Self {
            n,
            c,
            y: Axis::new(
                op,
                h,
                pool.kernel.0,
                pool.stride.0,
                pool.padding.0,
                pool.ceil_mode,
            )?,
            x: Axis::new(
                op,
                w,
                pool.kernel.1,
                pool.stride.1,
                pool.padding.1,
                pool.ceil_mode,
            )?,
        })
    }

    pub(crate) fn input(&self) -> Shape {
        (self.n, self.y.input, self.x.input, self.c).into()
    }

    pub(crate) fn output(&self) -> Shape {
        (self.n, self.y.output, self.x.output, self.c).into()
    }

    /// The length of one row of the input, all channels of its pixels.
    pub(crate) fn input_row(&self) -> usize {
        self.x.input * self.c
    }

    /// The length of one row of the output, all channels of its pixels.
    pub(crate) fn output_row(&self) -> usize {
        self.x.output * self.c
    }

    pub(crate) fn work(&self) -> usize {
        self.n * self.y.output * self.output_row() * self.y.kernel * self.x.kernel
    }
}

/// The windows along one axis.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Axis {
    fn new(
        op: &str,
        input: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        ceil_mode: bool,
    ) -> Result<Self> {
        if kernel == 0 || stride == 0 {
            return Err(invalid(
                op,
                format_args!("kernel and stride must be at least 1, found {kernel} and {stride}"),
            ));
        }
        if padding > kernel / 2 {
            return Err(invalid(
                op,
                format_args!("padding {padding} is more than half of the kernel, {kernel}"),
            ));
        }
        // In ceil mode the last window may reach beyond the end, by less than a stride; so may the first if it is the last.
        let beyond = if ceil_mode { stride - 1 } else { 0 };
        let Some(room) = (input + 2 * padding + beyond)
            .checked_sub(kernel)
            .filter(|_| input > 0)
        else {
            return Err(invalid(
                op,
                format_args!(
                    "a window of {kernel} does not fit an input of {input} with padding {padding}"
                ),
            ));
        };
        let mut output = room / stride + 1;
        // PyTorch's rule: the last window starts inside the input or the padding before it.
        if ceil_mode && (output - 1) * stride >= input + padding {
            output -= 1;
        }
        Ok(Self {
            input,
            output,
            kernel,
            stride,
            padding,
        })
    }

    /// The part of window `i` that lies inside the input.
    pub(crate) fn window(&self, i: usize) -> std::ops::Range<usize> {
        let start = i * self.stride;
        let end = (start + self.kernel).saturating_sub(self.padding);
        start.saturating_sub(self.padding)..end.min(self.input)
    }

    /// Which element of window `i`, padding included, lies at `place` of the input.
    fn element(&self, i: usize, place: usize) -> usize {
        place + self.padding - i * self.stride
    }

    /// The windows that `place` of the input lies in.
    fn covering(&self, place: usize) -> std::ops::Range<usize> {
        let place = place + self.padding;
        let first = (place + 1)
            .saturating_sub(self.kernel)
            .div_ceil(self.stride);
        let end = (place / self.stride + 1).min(self.output);
        first.min(end)..end
    }

    /// The length of window `i` with the padding that it covers.
    fn padded_window(&self, i: usize) -> usize {
        let start = i * self.stride;
        (start + self.kernel).min(self.input + 2 * self.padding) - start
    }
}
