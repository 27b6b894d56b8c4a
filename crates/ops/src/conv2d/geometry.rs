//! The sizes of one convolution, checked once.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor};

use super::margin::Maps;
use crate::check::{self, invalid};

/// A convolution's parameters beside its weight; pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// The distance between the places where the kernel is applied.
    pub stride: (usize, usize),
    /// The zeros added at each side.
    pub padding: (usize, usize),
    /// The distance between the kernel's elements.
    pub dilation: (usize, usize),
    /// The number of groups that the channels are divided into; inputs reach outputs of their group only.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self {
            stride: (1, 1),
            padding: (0, 0),
            dilation: (1, 1),
            groups: 1,
        }
    }
}

/// One axis of a convolution.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) dilation: usize,
}

impl Axis {
    fn new(
        name: &str,
        input: usize,
        kernel: usize,
        [stride, padding, dilation]: [usize; 3],
    ) -> Result<Self> {
        let fail = |message: std::fmt::Arguments| Err(invalid("conv2d", message));
        if stride == 0 || dilation == 0 {
            return fail(format_args!(
                "stride and dilation must be at least 1, found {stride} and {dilation} along the {name}"
            ));
        }
        if kernel == 0 {
            return fail(format_args!("the kernel's {name} must be at least 1"));
        }
        let span = dilation * (kernel - 1) + 1;
        let Some(room) = (input + 2 * padding).checked_sub(span) else {
            return fail(format_args!(
                "a kernel that spans {span} along the {name} does not fit an input of {input} with padding {padding}"
            ));
        };
        Ok(Self {
            input,
            output: room / stride + 1,
            kernel,
            stride,
            padding,
            dilation,
        })
    }

    /// The outputs at which element `k` of the kernel meets the input and not its padding.
    pub(super) fn valid(&self, k: usize) -> Range<usize> {
        let offset = k * self.dilation;
        let start = self.padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (self.input + self.padding)
            .saturating_sub(offset)
            .div_ceil(self.stride)
            .min(self.output);
        start.min(end)..end
    }

    /// The input that element `k` of the kernel meets at `output`, which must be valid for it.
    pub(super) fn input_at(&self, output: usize, k: usize) -> usize {
        output * self.stride + k * self.dilation - self.padding
    }
}

/// The sizes of one convolution.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    pub(crate) n: usize,
    pub(crate) channels: usize,
    pub(crate) outputs: usize,
    pub(crate) groups: usize,
    pub(crate) y: Axis,
    pub(crate) x: Axis,
}

impl Geometry {
    pub(crate) fn new(x: &Tensor, weight: &Tensor, conv: &Conv2d) -> Result<Self> {
        const OP: &str = "conv2d";
        let [n, h, w, channels] = check::dims(OP, "the input", "(n, h, w, c)", x)?;
        let [outputs, per_group, kh, kw] =
            check::dims(OP, "the weight", "(o, c/groups, kh, kw)", weight)?;
        let groups = conv.groups;
        if groups == 0 || channels % groups != 0 || outputs % groups != 0 {
            return Err(invalid(
                OP,
                format_args!(
                    "{channels} input and {outputs} output channels can't be divided into {groups} groups"
                ),
            ));
        }
        if per_group != channels / groups {
            return Err(invalid(
                OP,
                format_args!(
                    "an input of shape {:?} with {groups} groups needs a weight of shape ({outputs}, {}, {kh}, {kw}), found {:?}",
                    x.dims(),
                    channels / groups,
                    weight.dims()
                ),
            ));
        }
        let (s, p, d) = (conv.stride, conv.padding, conv.dilation);
        Ok(Self {
            n,
            channels,
            outputs,
            groups,
            y: Axis::new("height", h, kh, [s.0, p.0, d.0])?,
            x: Axis::new("width", w, kw, [s.1, p.1, d.1])?,
        })
    }

    pub(crate) fn input_shape(&self) -> Shape {
        (self.n, self.y.input, self.x.input, self.channels).into()
    }

    pub(crate) fn output_shape(&self) -> Shape {
        (self.n, self.y.output, self.x.output, self.outputs).into()
    }

    /// The maps that the convolution reads.
    pub(super) fn input_maps(&self) -> Maps {
        Maps {
            n: self.n,
            height: self.y.input,
            width: self.x.input,
            channels: self.channels,
        }
    }

    /// The maps that the convolution writes.
    pub(super) fn output_maps(&self) -> Maps {
        Maps {
            n: self.n,
            height: self.y.output,
            width: self.x.output,
            channels: self.outputs,
        }
    }

    pub(crate) fn weight_shape(&self) -> Shape {
        (
            self.outputs,
            self.group_channels(),
            self.y.kernel,
            self.x.kernel,
        )
            .into()
    }

    /// The input channels of one group.
    pub(crate) fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    /// The output channels of one group.
    pub(super) fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    pub(crate) fn kernel_area(&self) -> usize {
        self.y.kernel * self.x.kernel
    }

    /// The products that one output value of a group sums.
    pub(crate) fn depth(&self) -> usize {
        self.group_channels() * self.kernel_area()
    }

    /// Multiplications of one pass.
    pub(crate) fn work(&self) -> usize {
        self.n * self.outputs * self.y.output * self.x.output * self.depth()
    }

    /// The same convolution, its pixels arranged in lines of a good length, where it looks at each pixel for itself.
    pub(super) fn flattened(&self) -> Self {
        /// Pixels of a line at most.
        const LINE: usize = 448;
        let plain = |axis: &Axis| axis.kernel == 1 && axis.stride == 1 && axis.padding == 0;
        let pixels = self.n * self.y.input * self.x.input;
        if pixels == 0 || !plain(&self.y) || !plain(&self.x) {
            return *self;
        }
        let longest = (1..=LINE.min(pixels))
            .rev()
            .find(|line| pixels.is_multiple_of(*line));
        let line = longest.unwrap_or(1).max(self.x.input);
        let axis = |axis: &Axis, len| Axis {
            input: len,
            output: len,
            ..*axis
        };
        Self {
            n: 1,
            y: axis(&self.y, pixels / line),
            x: axis(&self.x, line),
            ..*self
        }
    }
}
