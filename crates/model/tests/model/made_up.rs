//! Weights and inputs from a formula that `scripts/golden_model.py` computes too.

use candle_core::{Device, Tensor};
use graft_model::Network;

/// Numbers in [−1, 1), multiples of 2⁻²³: `SplitMix64` started from the FNV-1a hash of the name.
pub(crate) fn made_up(name: &str, count: usize) -> Vec<f32> {
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |key, byte| {
        (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (1..=count as u64)
        .map(|i| {
            let mut z = key.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            (z >> 40) as f32 * 2f32.powi(-23) - 1.0
        })
        .collect()
}

/// Made-up pictures `(batch, size, size, 3)`: the formula's are `(batch, 3, size, size)`.
pub(crate) fn input(batch: usize, size: usize) -> Tensor {
    let values = made_up("input", batch * 3 * size * size);
    channels_last(&Tensor::from_vec(values, (batch, 3, size, size), &Device::Cpu).unwrap())
}

/// PyTorch's `(n, c, h, w)` as `(n, h, w, c)`.
pub(crate) fn channels_last(maps: &Tensor) -> Tensor {
    let turned = maps.permute((0, 2, 3, 1)).unwrap();
    turned.contiguous().unwrap()
}

/// Weights that keep the size of activations; scales near 1; small biases; positive variances.
pub(crate) fn fill(network: &Network) {
    let state = network
        .state()
        .into_iter()
        .map(|(name, tensor)| {
            let (offset, scale) = if tensor.rank() > 1 {
                let fan_in = tensor.elem_count() / tensor.dims()[0];
                (0.0, (6.0 / fan_in as f64).sqrt() as f32)
            } else if name.ends_with("running_var") {
                (3.0, 0.5)
            } else if name.ends_with("weight") {
                (1.0, 0.2)
            } else {
                (0.0, 0.1)
            };
            let values: Vec<f32> = made_up(&name, tensor.elem_count())
                .into_iter()
                .map(|u| offset + scale * u)
                .collect();
            let tensor = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
            (name, tensor)
        })
        .collect();
    network.restore(&state).unwrap();
}

/// The norm, the products with three made-up vectors, and 32 elements.
pub(crate) fn fingerprint(name: &str, values: &[f32]) -> Vec<f64> {
    let dot = |other: &[f32]| {
        values
            .iter()
            .zip(other)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum::<f64>()
    };
    let products = (0..3).map(|k| dot(&made_up(&format!("{name}/{k}"), values.len())));
    let elements = (0..32).map(|j| f64::from(values[j * values.len() / 32]));
    std::iter::once(dot(values).sqrt())
        .chain(products)
        .chain(elements)
        .collect()
}

/// All elements of a tensor in row-major order.
pub(crate) fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
