//! One comparison.

use candle_core::{DType, Device, Result, Tensor, Var};
use graft_stream::{Purpose, Stream};
use half::bf16;

use super::Comparison;
use crate::cuda::array::Kind;
use crate::cuda::options::Options;
use crate::tape::Tape;

/// An input of an operation.
pub(super) struct Input {
    dims: Vec<usize>,
    /// Parameters are f32 whatever activations are.
    parameter: bool,
    /// Whether neighbours of the last dimension lie apart. Such an input gets no gradient.
    strided: bool,
    /// Whether all values are above 0, as variances are.
    positive: bool,
}

/// An activation.
pub(super) fn activation(dims: impl Into<Vec<usize>>) -> Input {
    Input {
        dims: dims.into(),
        parameter: false,
        strided: false,
        positive: false,
    }
}

/// A parameter.
pub(super) fn parameter(dims: impl Into<Vec<usize>>) -> Input {
    Input {
        parameter: true,
        ..activation(dims)
    }
}

impl Input {
    pub(super) fn strided(self) -> Self {
        Self {
            strided: true,
            ..self
        }
    }

    pub(super) fn positive(self) -> Self {
        Self {
            positive: true,
            ..self
        }
    }

    fn values(&self, salt: usize, kind: Kind) -> Vec<f32> {
        let rounded = !self.parameter && kind == Kind::Bf16;
        let values = normal(self.dims.iter().product(), salt, rounded);
        if !self.positive {
            return values;
        }
        values.into_iter().map(|value| value.abs() + 0.5).collect()
    }
}

/// So many normal numbers, which bf16 can hold if `rounded`.
fn normal(len: usize, salt: usize, rounded: bool) -> Vec<f32> {
    let mut stream = Stream::new(3, Purpose::Statistics, &[salt as u64]);
    let value = || {
        let value = stream.normal() as f32;
        if rounded {
            bf16::from_f32(value).to_f32()
        } else {
            value
        }
    };
    std::iter::repeat_with(value).take(len).collect()
}

type Run = Box<dyn Fn(&Tape, &[Tensor]) -> Result<Tensor>>;

/// An operation on some inputs.
pub(super) struct Case {
    name: String,
    inputs: Vec<Input>,
    run: Run,
    /// The kinds of activations it is done with.
    pub(super) kinds: &'static [Kind],
}

/// Result and gradients as f32 on the host.
struct Outcome {
    result: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

impl Outcome {
    fn bits(&self) -> Vec<u32> {
        let all = self.gradients.iter().chain([&self.result]).flatten();
        all.map(|value| value.to_bits()).collect()
    }
}

impl Case {
    pub(super) fn new(
        name: impl Into<String>,
        inputs: Vec<Input>,
        run: impl Fn(&Tape, &[Tensor]) -> Result<Tensor> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            inputs,
            run: Box::new(run),
            kinds: &[Kind::F32, Kind::Bf16],
        }
    }

    /// With parameters only.
    pub(super) fn only_f32(self) -> Self {
        Self {
            kinds: &[Kind::F32],
            ..self
        }
    }

    /// With activations of bf16 only.
    pub(super) fn only_bf16(self) -> Self {
        Self {
            kinds: &[Kind::Bf16],
            ..self
        }
    }

    /// Runs it on both devices. The thread's options are these.
    pub(super) fn compare(&self, device: &Device, kind: Kind, options: Options) -> Comparison {
        let comparison = Comparison {
            name: self.name.clone(),
            numbers: match kind {
                Kind::F32 if options.tf32 => "tf32",
                kind => kind.suffix(),
            },
            deterministic: options.deterministic,
            forward: f64::NAN,
            backward: None,
            repeatable: true,
            failure: None,
        };
        match self.errors(device, kind) {
            Ok((forward, backward, repeatable)) => Comparison {
                forward,
                backward,
                repeatable,
                ..comparison
            },
            Err(error) => Comparison {
                // Without the calls that led there.
                failure: error.to_string().lines().next().map(str::to_owned),
                ..comparison
            },
        }
    }

    /// The errors of result and gradients, and whether a second run gave the same bits.
    fn errors(&self, device: &Device, kind: Kind) -> Result<(f64, Option<f64>, bool)> {
        let expected = self.outcome(&Device::Cpu, kind)?;
        let found = self.outcome(device, kind)?;
        let again = self.outcome(device, kind)?;
        let gradients = expected.gradients.iter().zip(&found.gradients);
        let backward = gradients
            .map(|(expected, found)| error(expected, found, kind))
            .fold(None, |worst: Option<f64>, error| {
                Some(worst.map_or(error, |worst| larger(worst, error)))
            });
        let same = expected.gradients.len() == found.gradients.len();
        Ok((
            error(&expected.result, &found.result, kind),
            if same { backward } else { Some(f64::NAN) },
            found.bits() == again.bits(),
        ))
    }

    fn outcome(&self, device: &Device, kind: Kind) -> Result<Outcome> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (salt, input) in self.inputs.iter().enumerate() {
            inputs.push(place(input, salt, device, kind)?);
        }
        let tape = Tape::recording();
        let y = (self.run)(&tape, &inputs)?;
        let result = read(&y)?;
        let mut gradients = Vec::new();
        if tape.needs_grad(&y) {
            let rounded = kind == Kind::Bf16;
            let upstream = normal(y.elem_count(), 77, rounded);
            let upstream = tensor(upstream, y.dims(), y.dtype(), device)?;
            let found = tape.backward_from(&y, &upstream)?;
            for gradient in inputs.iter().filter_map(|input| found.get(input)) {
                gradients.push(read(gradient)?);
            }
        }
        Ok(Outcome { result, gradients })
    }
}

fn tensor(values: Vec<f32>, dims: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
    let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
    // Converted on the CPU, so that no kernel of candle's is needed.
    tensor.to_dtype(dtype)?.to_device(device)
}

/// The input on the device, as a variable unless it is strided.
fn place(input: &Input, salt: usize, device: &Device, kind: Kind) -> Result<Tensor> {
    let values = input.values(salt, kind);
    let on_gpu = device.is_cuda() && kind == Kind::Bf16 && !input.parameter;
    let dtype = if on_gpu { DType::BF16 } else { DType::F32 };
    if !input.strided {
        let tensor = tensor(values, &input.dims, dtype, device)?;
        return Ok(Var::from_tensor(&tensor)?.into_inner());
    }
    let mut dims = input.dims.clone();
    let last = dims.len() - 1;
    // The same values in the order of a transposed tensor.
    let straight = Tensor::from_vec(values, dims.as_slice(), &Device::Cpu)?;
    let swapped = straight.transpose(0, last)?.contiguous()?;
    let values = swapped.flatten_all()?.to_vec1()?;
    dims.swap(0, last);
    tensor(values, &dims, dtype, device)?.transpose(0, last)
}

/// The values as f32; read as they are and converted on the host.
fn read(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    tensor.flatten_all()?.to_vec1()
}

/// The larger of both; NaN is larger than everything.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// How far `found` is from `expected`.
fn error(expected: &[f32], found: &[f32], kind: Kind) -> f64 {
    if expected.len() != found.len() {
        return f64::NAN;
    }
    let pairs = || {
        let pairs = expected.iter().zip(found);
        pairs.map(|(e, f)| (f64::from(*e), f64::from(*f)))
    };
    let relative = |difference: f64, size: f64| {
        if difference == 0.0 {
            0.0
        } else {
            difference / size.max(1e-30)
        }
    };
    match kind {
        Kind::F32 => {
            let difference = pairs().fold(0.0, |worst, (e, f)| larger(worst, (e - f).abs()));
            let size = pairs().fold(0.0, |largest: f64, (e, _)| largest.max(e.abs()));
            relative(difference, size)
        }
        Kind::Bf16 => {
            let difference: f64 = pairs().map(|(e, f)| (e - f) * (e - f)).sum();
            let size: f64 = pairs().map(|(e, _)| e * e).sum();
            relative(difference.sqrt(), size.sqrt())
        }
    }
}
