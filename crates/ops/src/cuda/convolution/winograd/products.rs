//! Products of many small matrices.

use candle_core::Result;

use crate::cuda::array::Buffer;
use crate::cuda::gpu::Gpu;
use crate::cuda::product::{Matrix, Product};

/// `to = a · b` for each of `count` matrices of f32, which follow one another without gaps. All are seen by columns.
pub(super) struct Products {
    /// Whether a and b lie transposed.
    pub(super) transposed: [bool; 2],
    /// m, n, k of (m, k) · (k, n).
    pub(super) sizes: [usize; 3],
    pub(super) count: usize,
    /// Whether they are added to what is there.
    pub(super) add: bool,
}

impl Products {
    /// Computes them.
    pub(super) fn multiply(&self, gpu: &Gpu, [a, b, to]: [&Buffer<f32>; 3]) -> Result<()> {
        let [m, n, k] = self.sizes;
        let [a_turned, b_turned] = self.transposed;
        let matrices = |buffer, turned: bool, rows: usize, columns: usize| {
            let matrix = Matrix::of_floats(buffer, if turned { columns } else { rows });
            let matrix = matrix.apart(rows * columns);
            if turned { matrix.turned() } else { matrix }
        };
        let product = Product {
            rows: n,
            columns: m,
            inner: k,
            count: self.count,
            adds: self.add,
        };
        // Seen by rows every matrix is its transpose: toᵀ = bᵀ · aᵀ.
        let (a, b) = (matrices(a, a_turned, m, k), matrices(b, b_turned, k, n));
        product.compute(gpu, b, a, matrices(to, false, m, n))
    }
}
