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
    /// Normal with mean 0, drawn again where it is outside of [−bound, bound].
    TruncatedNormal {
        /// The standard deviation before the ends are cut off.
        std: f64,
        /// The largest absolute value.
        bound: f64,
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
    /// `trunc_normal_(std=…)` with its default ends: N(0, std²) within [−2, 2].
    TruncatedNormal(f64),
    /// U(±bound).
    Uniform(f64),
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
            Self::TruncatedNormal(std) => Initial::TruncatedNormal { std, bound: 2.0 },
            Self::Uniform(bound) => Initial::Uniform { bound },
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
            Self::TruncatedNormal { std, bound } => (0..count)
                .map(|_| truncated_normal(&mut stream, std, bound) as f32)
                .collect(),
        }
    }
}

/// A normal number within [−bound, bound], drawn until one is.
fn truncated_normal(stream: &mut Stream, std: f64, bound: f64) -> f64 {
    loop {
        let value = std * stream.normal();
        if value.abs() <= bound {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A normal number within two standard deviations of its mean has the variance 0.7737.
    #[test]
    fn the_ends_of_a_truncated_normal_are_cut_off() {
        let (count, init) = (20_000, Init { seed: 0, repeat: 0 });
        let drawn = WeightInit::TruncatedNormal(1.0).initial(&[1]);
        let values = drawn.draw(count, "weight", init);
        let largest = values
            .iter()
            .fold(0f32, |most, value| most.max(value.abs()));
        assert!((1.99..=2.0).contains(&largest), "{largest}");
        let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
        assert!((squares / f64::from(count as u32) - 0.7737).abs() < 0.03);
    }
}
