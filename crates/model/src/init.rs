//! Initial weights: PyTorch's distributions, drawn from a stream that knows the parameter's name.

use graft_stream::{Purpose, Stream};

/// What the initial weights of a network depend on, besides the names of its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    /// The experiment's seed.
    pub seed: u64,
    /// The repeat.
    pub repeat: u64,
}

/// The distribution of a parameter's initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Every element is this value.
    Constant(f32),
    /// Uniform in [−bound, bound).
    Uniform {
        /// Half of the width.
        bound: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        std: f64,
    },
}

/// How a layer draws its weight, before its shape is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightInit {
    /// What `nn.Conv2d` and `nn.Linear` do: `kaiming_uniform_(a=√5)`, that is U(±1/√`fan_in`).
    Torch,
    /// `kaiming_uniform_(nonlinearity="relu")`: U(±√(6/`fan_in`)) (He et al. 2015).
    KaimingUniform,
    /// `kaiming_normal_(mode="fan_out", nonlinearity="relu")`: N(0, 2/`fan_out`) (He et al. 2015).
    KaimingNormalFanOut,
    /// N(0, std²).
    Normal(f64),
}

/// How a layer draws its bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BiasInit {
    /// What `nn.Conv2d` and `nn.Linear` do: U(±1/√`fan_in`) of the weight.
    Torch,
    /// Every element is this value.
    Constant(f32),
}

/// Inputs that meet in one output, and outputs that one input reaches, of a weight `(out, in, …)`:
/// `torch.nn.init._calculate_fan_in_and_fan_out`.
pub fn fans(shape: &[usize]) -> (usize, usize) {
    let field: usize = shape.iter().skip(2).product();
    let out = shape.first().copied().unwrap_or(1);
    let inputs = shape.get(1).copied().unwrap_or(1);
    (inputs * field, out * field)
}

impl WeightInit {
    /// The distribution for a weight `(out, in, …)`.
    pub fn initial(self, shape: &[usize]) -> Initial {
        let (fan_in, fan_out) = fans(shape);
        match self {
            Self::Torch => Initial::Uniform {
                bound: (fan_in as f64).sqrt().recip(),
            },
            Self::KaimingUniform => Initial::Uniform {
                bound: (6.0 / fan_in as f64).sqrt(),
            },
            Self::KaimingNormalFanOut => Initial::Normal {
                std: (2.0 / fan_out as f64).sqrt(),
            },
            Self::Normal(std) => Initial::Normal { std },
        }
    }
}

impl BiasInit {
    /// The distribution for the bias beside a weight `(out, in, …)`.
    pub fn initial(self, weight_shape: &[usize]) -> Initial {
        match self {
            Self::Torch => WeightInit::Torch.initial(weight_shape),
            Self::Constant(value) => Initial::Constant(value),
        }
    }
}

impl Initial {
    /// `count` values for the parameter `name`. They depend on nothing but the arguments, so the order in which
    /// parameters are made does not matter.
    pub fn draw(self, count: usize, name: &str, init: Init) -> Vec<f32> {
        let mut stream = Stream::named(init.seed, Purpose::Init, &[init.repeat], name);
        match self {
            Self::Constant(value) => vec![value; count],
            Self::Uniform { bound } => (0..count)
                .map(|_| stream.uniform(-bound, bound) as f32)
                .collect(),
            Self::Normal { std } => (0..count).map(|_| (std * stream.normal()) as f32).collect(),
        }
    }
}
