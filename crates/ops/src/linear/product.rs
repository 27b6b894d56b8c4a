//! The products of a linear layer with its weight, which is read once whatever the batch.
//!
//! Each result is the same sum in the same order for every batch size, number of threads and width of vectors.

use crate::lanes::{Lanes, for_processor};

/// Partial sums of a dot product.
const LANES: usize = 16;
/// The most rows of either matrix in a tile of the result.
const TILE: usize = 4;
/// Floats of a row that are worked through at a time where more than a tile of rows needs them.
const BLOCK: usize = 1024;

/// Rows of the weight, each as long as a row of x.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) weight: &'a [f32],
    pub(super) x: &'a [f32],
    /// The length of a row.
    pub(super) len: usize,
}

impl Rows<'_> {
    /// How many floats of `scratch` [`Rows::dots`] needs for so many rows of the weight and of x.
    pub(super) fn scratch(rows: usize, n: usize) -> usize {
        rows.next_multiple_of(TILE) * n.next_multiple_of(TILE) * LANES
    }

    /// Calls `set(row, n, dot product)` for every row of the weight and row n of x.
    pub(super) fn dots(&self, scratch: &mut [f32], mut set: impl FnMut(usize, usize, f32)) {
        let (rows, n) = (self.weight.len() / self.len, self.x.len() / self.len);
        let scratch = &mut scratch[..Self::scratch(rows, n)];
        scratch.fill(0.0);
        // SAFETY: the sums of every tile fit the scratch, and the rows lie in their slices.
        unsafe { add_products(self, rows, n, scratch.as_mut_ptr()) };
        let across = n.next_multiple_of(TILE);
        for (i, sums) in scratch.as_chunks::<LANES>().0.iter().enumerate() {
            let (row, n_at) = (i / across, i % across);
            if row < rows && n_at < n {
                set(row, n_at, fold(*sums));
            }
        }
    }
}

/// Adds the lanes pairwise.
#[inline]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

for_processor! {
    unsafe fn add_products(of: &Rows, rows: usize, n: usize, sums: *mut f32) = add_products_with
}

#[inline(always)]
unsafe fn add_products_with<L: Lanes>(of: &Rows, rows: usize, n: usize, sums: *mut f32) {
    // SAFETY: the caller answers for the arguments. Tiles of 16 × 1 or 4 × 2 sums fit the registers.
    unsafe {
        if L::LEN == LANES {
            add_tiles::<L, 4, 4>(of, rows, n, sums);
        } else {
            add_tiles::<L, 2, 2>(of, rows, n, sums);
        }
    }
}

#[inline(always)]
unsafe fn add_tiles<L: Lanes, const R: usize, const N: usize>(
    of: &Rows,
    rows: usize,
    n: usize,
    sums: *mut f32,
) {
    let across = n.next_multiple_of(TILE);
    let block = if n <= N { of.len } else { BLOCK };
    for row in (0..rows).step_by(R) {
        for start in (0..of.len).step_by(block) {
            let len = block.min(of.len - start);
            for column in (0..n).step_by(N) {
                // Past the end of a matrix its last row is taken again; nobody looks at the sums.
                let weight: [*const f32; R] = std::array::from_fn(|r| {
                    of.weight[(row + r).min(rows - 1) * of.len + start..].as_ptr()
                });
                let x: [*const f32; N] = std::array::from_fn(|j| {
                    of.x[(column + j).min(n - 1) * of.len + start..].as_ptr()
                });
                // SAFETY: the caller answers for the sums; `len` floats lie behind every pointer.
                unsafe {
                    let sums = sums.add((row * across + column) * LANES);
                    add_tile::<L, R, N>(weight, x, len, sums, across);
                }
            }
        }
    }
}

#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "indices into the tile, its places in memory and both matrices"
)]
unsafe fn add_tile<L: Lanes, const R: usize, const N: usize>(
    weight: [*const f32; R],
    x: [*const f32; N],
    len: usize,
    sums: *mut f32,
    across: usize,
) {
    let parts = LANES / L::LEN;
    let place = |r: usize, j: usize, part: usize| (r * across + j) * LANES + part * L::LEN;
    // SAFETY: the caller answers for the pointers.
    unsafe {
        let mut tile = [[[L::zero(); 2]; N]; R];
        for r in 0..R {
            for j in 0..N {
                for part in 0..parts {
                    tile[r][j][part] = L::load(sums.add(place(r, j, part)));
                }
            }
        }
        let whole = len - len % LANES;
        for at in (0..whole).step_by(LANES) {
            for part in 0..parts {
                let from = at + part * L::LEN;
                let x = x.map(|x| L::load(x.add(from)));
                for r in 0..R {
                    let w = L::load(weight[r].add(from));
                    for j in 0..N {
                        tile[r][j][part] = w.mul_add(x[j], tile[r][j][part]);
                    }
                }
            }
        }
        for part in 0..parts {
            let from = whole + part * L::LEN;
            if from >= len {
                break;
            }
            let x = x.map(|x| L::load_up_to(x.add(from), len - from));
            for r in 0..R {
                let w = L::load_up_to(weight[r].add(from), len - from);
                for j in 0..N {
                    tile[r][j][part] = w.mul_add(x[j], tile[r][j][part]);
                }
            }
        }
        for r in 0..R {
            for j in 0..N {
                for part in 0..parts {
                    tile[r][j][part].store(sums.add(place(r, j, part)));
                }
            }
        }
    }
}

/// A stretch of the columns of the input's gradient: `dx[n·len + k] = Σ dy[n·rows + r] · weight[r·len + k]` for the `width`
/// columns k that begin where `weight` and `dx` point.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) weight: *const f32,
    pub(super) dy: &'a [f32],
    pub(super) dx: *mut f32,
    pub(super) n: usize,
    pub(super) rows: usize,
    /// The length of a whole row of weight and dx.
    pub(super) len: usize,
    pub(super) width: usize,
}

/// The columns of a stretch.
pub(super) const STRETCH: usize = 1024;

for_processor! {
    /// Computes a stretch.
    ///
    /// # Safety
    /// Every element that the formula names must be readable, and those of `dx` writable and nobody else's. There is at
    /// least one row.
    pub(super) unsafe fn combine(columns: &Columns) = combine_with
}

#[inline(always)]
unsafe fn combine_with<L: Lanes>(columns: &Columns) {
    for row in (0..columns.rows).step_by(TILE) {
        for n in (0..columns.n).step_by(TILE) {
            // SAFETY: the caller answers for the columns.
            unsafe {
                match columns.rows - row {
                    1 => add_rows::<L, 1>(columns, row, n),
                    2 => add_rows::<L, 2>(columns, row, n),
                    3 => add_rows::<L, 3>(columns, row, n),
                    _ => add_rows::<L, TILE>(columns, row, n),
                }
            }
        }
    }
}

/// Adds `R` rows of the weight to up to [`TILE`] rows of dx, of which nothing is there yet at row 0.
#[inline(always)]
unsafe fn add_rows<L: Lanes, const R: usize>(of: &Columns, row: usize, n: usize) {
    let pictures = TILE.min(of.n - n);
    // SAFETY: the caller answers for the pointers.
    unsafe {
        let mut factors = [[L::zero(); R]; TILE];
        for (j, factors) in factors.iter_mut().enumerate().take(pictures) {
            for (r, factor) in factors.iter_mut().enumerate() {
                *factor = L::splat(of.dy[(n + j) * of.rows + row + r]);
            }
        }
        let whole = of.width - of.width % L::LEN;
        for at in (0..whole).step_by(L::LEN) {
            let w = std::array::from_fn(|r| L::load(of.weight.add((row + r) * of.len + at)));
            for (j, factors) in factors.iter().enumerate().take(pictures) {
                let dx = of.dx.add((n + j) * of.len + at);
                let start = if row == 0 { L::zero() } else { L::load(dx) };
                sum(start, w, factors).store(dx);
            }
        }
        let left = of.width - whole;
        if left > 0 {
            let w = std::array::from_fn(|r| {
                L::load_first(of.weight.add((row + r) * of.len + whole), left)
            });
            for (j, factors) in factors.iter().enumerate().take(pictures) {
                let dx = of.dx.add((n + j) * of.len + whole);
                let start = if row == 0 {
                    L::zero()
                } else {
                    L::load_first(dx, left)
                };
                sum(start, w, factors).store_first(dx, left);
            }
        }
    }
}

/// `start` plus the products.
#[inline(always)]
unsafe fn sum<L: Lanes, const R: usize>(start: L, w: [L; R], factors: &[L; R]) -> L {
    let mut sum = start;
    for r in 0..R {
        // SAFETY: the caller answers for the processor.
        sum = unsafe { w[r].mul_add(factors[r], sum) };
    }
    sum
}
