//! Arrays of doubles for the plain implementations, and comparisons with tensors.

use candle_core::{Device, Tensor, Var};
use graft_stream::{Purpose, Stream};

/// A dense array in row-major order.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Array {
    pub(crate) fn zeros(dims: &[usize]) -> Self {
        Self {
            dims: dims.to_vec(),
            values: vec![0.0; dims.iter().product()],
        }
    }

    /// Normal numbers, representable as f32; `salt` tells one array of a test from another.
    pub(crate) fn normal(dims: &[usize], salt: u64) -> Self {
        let mut stream = Stream::new(1, Purpose::Statistics, &[salt]);
        let mut array = Self::zeros(dims);
        array.values.fill_with(|| f64::from(stream.normal() as f32));
        array
    }

    /// A random order of numbers that are 1/8 apart and never 0, for operations with kinks.
    pub(crate) fn distinct(dims: &[usize], salt: u64) -> Self {
        let mut array = Self::zeros(dims);
        let n = array.values.len();
        let order = Stream::new(2, Purpose::Statistics, &[salt]).permutation(n);
        for (value, place) in array.values.iter_mut().zip(order) {
            *value = (place as f64 - n as f64 / 2.0 + 0.25) / 8.0;
        }
        array
    }

    pub(crate) fn tensor(&self) -> Tensor {
        let values: Vec<f32> = self.values.iter().map(|&v| v as f32).collect();
        Tensor::from_vec(values, self.dims.as_slice(), &Device::Cpu).expect("sizes agree")
    }

    pub(crate) fn var(&self) -> Var {
        Var::from_tensor(&self.tensor()).expect("a variable can be made of any tensor")
    }

    /// The same values in memory of another order: the first two dimensions are swapped, and there is a margin.
    pub(crate) fn strided(&self) -> Tensor {
        let strided = || -> candle_core::Result<Tensor> {
            let t = self.tensor();
            if self.dims.len() == 1 {
                return Tensor::stack(&[&t, &t], 1)?.narrow(1, 1, 1)?.squeeze(1);
            }
            let last = self.dims.len() - 1;
            let margin = t.pad_with_zeros(last, 1, 2)?;
            let swapped = margin.transpose(0, last)?.contiguous()?;
            swapped.transpose(0, last)?.narrow(last, 1, self.dims[last])
        };
        let t = strided().expect("these are steps that candle can do");
        assert!(!t.is_contiguous() || self.values.len() < 2);
        t
    }
}

/// Fails unless the tensor has the array's shape and each value differs by at most `tolerance`, relative to the larger of 1
/// and the largest value in the array.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &Tensor, expected: &Array, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims, "shape of {what}");
    let found = values(found);
    let scale = expected.values.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (&f, &e)) in found.iter().zip(&expected.values).enumerate() {
        assert!(
            (f64::from(f) - e).abs() <= tolerance * scale,
            "{what}: element {i} of {:?} is {f}, not {e} (scale {scale})",
            expected.dims
        );
    }
}

pub(crate) fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all()
        .and_then(|t| t.to_vec1())
        .expect("a tensor of f32 on the CPU")
}

/// The bits, for comparisons that have to be exact.
pub(crate) fn bits(t: &Tensor) -> Vec<u32> {
    values(t).into_iter().map(f32::to_bits).collect()
}
