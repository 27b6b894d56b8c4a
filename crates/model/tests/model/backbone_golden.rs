//! Golden values of whole backbones: numbers, and fingerprints of tensors that would be too large to keep.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};

use crate::made_up::{flat, made_up};

/// What values may differ by, relative to the largest logit or to the norm. `PyTorch`'s own float32 and float64 differ by up to
/// 3e-5 in the gradients of the deepest networks, by less in those of smaller ones, by up to 1e-5 in logits, and by 1e-6 in
/// statistics.
const TOLERANCE: f64 = 1e-4;

/// The norm, the products with two made-up vectors, and five elements.
fn fingerprint(name: &str, values: &[f32]) -> Vec<f64> {
    let dot = |other: &[f32]| -> f64 {
        let pairs = values.iter().zip(other);
        pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let products = (0..2).map(|k| dot(&made_up(&format!("{name}/{k}"), values.len())));
    let elements = (0..5).map(|j| f64::from(values[j * values.len() / 5]));
    let norm = dot(values).sqrt();
    std::iter::once(norm)
        .chain(products)
        .chain(elements)
        .collect()
}

/// The numbers of one fingerprint; the first is the norm.
pub(crate) type Fingerprint = Vec<f32>;

/// What a script found of one network.
pub(crate) struct Golden(HashMap<String, Tensor>);

impl Golden {
    /// The values in `golden/backbones/<name>.safetensors`.
    pub(crate) fn read(name: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/backbones");
        let path = format!("{folder}/{name}.safetensors");
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    /// How many values have a name that begins so.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.0.keys().filter(|key| key.starts_with(start)).count()
    }

    /// Compares numbers, relative to the largest.
    pub(crate) fn check(&self, key: &str, found: &[f32]) {
        let expected = flat(&self.0[key]);
        assert_eq!(expected.len(), found.len(), "{key}");
        let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
        for (expected, found) in expected.iter().zip(found) {
            let error = f64::from((expected - found).abs() / largest);
            assert!(
                error <= TOLERANCE,
                "{key}: expected {expected}, found {found}, off by {error:.1e} of the largest"
            );
        }
    }

    /// Compares fingerprints of named tensors, each relative to what `norm` makes of its name and of all the expected.
    pub(crate) fn check_all(
        &self,
        key: &str,
        found: &BTreeMap<&str, Vec<f32>>,
        norm: impl Fn(&str, &BTreeMap<&str, Fingerprint>) -> f32,
    ) {
        let expected = self.0[key].to_vec2::<f32>().unwrap();
        assert_eq!(expected.len(), found.len(), "{key}");
        let expected: BTreeMap<&str, Fingerprint> = found.keys().copied().zip(expected).collect();
        for (name, found) in found {
            let norm = norm(name, &expected);
            assert!(norm > 0.0, "{key} of {name} is 0: the case tests nothing");
            let found = fingerprint(name, found);
            for (i, (expected, found)) in expected[name].iter().zip(found).enumerate() {
                let error = (f64::from(*expected) - found).abs() / f64::from(norm);
                assert!(
                    error <= TOLERANCE,
                    "{key} of {name}, number {i}: expected {expected}, found {found}, off by {error:.1e} of the norm"
                );
            }
        }
    }
}
