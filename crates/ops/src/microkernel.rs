//! The product of a thin strip of one matrix with a narrow panel of another, held in registers: what dense
//! convolutions, direct and Winograd's, spend their time in.
//!
//! As in Goto and van de Geijn (2008), one block of the result stays in registers while the inner dimension runs. The
//! left matrix is read where it lies, with any distance between its rows and columns, so that patches of a picture need
//! not be copied; the inner dimension may consist of several stretches, such as the rows of a patch.

use crate::lanes::{Lanes, Processor};

/// A stretch of the inner dimension: where it begins in either matrix, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// The first element of the left matrix.
    pub(crate) a: usize,
    /// The first element of the right matrix.
    pub(crate) b: usize,
    /// The number of elements.
    pub(crate) len: usize,
}

/// One product: `c[m·c_row + j] (+)= Σ a[s.a + m·a_row + k·a_col] · b[s.b + k·b_row + j]` over the stretches s and their
/// elements k, for `m < rows` and `j < cols`.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) stretches: &'a [Stretch],
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_col: usize,
    pub(crate) b: *const f32,
    pub(crate) b_row: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_row: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Whether the product is added to what is in `c`.
    pub(crate) add: bool,
}

/// The sizes of a product of two whole matrices, `c[m·c_row + j] = Σ a[m·a_row + k·a_col] · b[k·b_row + j]` for `m < rows`,
/// `k < depth` and `j < cols`.
#[derive(Clone, Copy)]
pub(crate) struct Matrices {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) cols: usize,
    pub(crate) a_row: usize,
    pub(crate) a_col: usize,
    pub(crate) b_row: usize,
    pub(crate) c_row: usize,
}

impl Matrices {
    /// Writes the product to `c`.
    pub(crate) fn write(&self, a: &[f32], b: &[f32], c: &mut [f32]) {
        self.multiply(a, b, c, false);
    }

    /// Adds the product to `c`.
    pub(crate) fn add(&self, a: &[f32], b: &[f32], c: &mut [f32]) {
        self.multiply(a, b, c, true);
    }

    fn multiply(&self, a: &[f32], b: &[f32], c: &mut [f32], add: bool) {
        let &Self {
            rows, depth, cols, ..
        } = self;
        if rows == 0 || cols == 0 {
            return;
        }
        let whole = Stretch {
            a: 0,
            b: 0,
            len: depth,
        };
        assert!(
            (rows - 1) * self.c_row + cols <= c.len(),
            "a product reaches past its output"
        );
        assert!(
            depth == 0
                || (rows - 1) * self.a_row + (depth - 1) * self.a_col < a.len()
                    && (depth - 1) * self.b_row + cols <= b.len(),
            "a matrix reaches past its values"
        );
        let product = Product {
            stretches: &[whole],
            a: a.as_ptr(),
            a_row: self.a_row,
            a_col: self.a_col,
            b: b.as_ptr(),
            b_row: self.b_row,
            c: c.as_mut_ptr(),
            c_row: self.c_row,
            rows,
            cols,
            add,
        };
        // SAFETY: the last element of each matrix was seen to lie in its slice, and `c` is borrowed exclusively.
        unsafe { multiply(&product) };
    }
}

/// The most rows of a block in registers.
const MAX_ROWS: usize = 14;

/// The columns of a block in registers, and so of a panel: two vectors.
pub(crate) fn panel_width() -> usize {
    match Processor::here() {
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512 => 32,
        _ => 16,
    }
}

/// Computes `product`, whose `cols` may be any number.
///
/// # Safety
/// Every element that the formula names must be readable, and those of `c` writable and nobody else's.
pub(crate) unsafe fn multiply(product: &Product) {
    match Processor::here() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has AVX-512F; the caller answers for the rest.
        Processor::Avx512 => unsafe { avx512(product) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has AVX2 and FMA; the caller answers for the rest.
        Processor::Avx2 => unsafe { avx2(product) },
        // SAFETY: the caller answers for everything.
        Processor::Portable => unsafe { blocks::<crate::lanes::Portable, 4>(product) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(product: &Product) {
    // SAFETY: the caller answers for everything.
    unsafe { blocks::<std::arch::x86_64::__m512, MAX_ROWS>(product) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(product: &Product) {
    // SAFETY: the caller answers for everything.
    unsafe { blocks::<std::arch::x86_64::__m256, 6>(product) }
}

/// Cuts the product into blocks of at most `most` rows, all about equally high, and two vectors' width.
#[inline(always)]
unsafe fn blocks<L: Lanes, const MOST: usize>(product: &Product) {
    let strips = product.rows.div_ceil(MOST).max(1);
    let (height, taller) = (product.rows / strips, product.rows % strips);
    let mut col = 0;
    while col < product.cols {
        let cols = (product.cols - col).min(2 * L::LEN);
        let mut row = 0;
        for strip in 0..strips {
            let rows = height + usize::from(strip < taller);
            let part = Product {
                a: product.a.wrapping_add(row * product.a_row),
                b: product.b.wrapping_add(col),
                c: product.c.wrapping_add(row * product.c_row + col),
                rows,
                cols,
                ..*product
            };
            // SAFETY: a part of the whole, for which the caller answers.
            unsafe { strip_of::<L, MOST>(&part) };
            row += rows;
        }
        col += cols;
    }
}

/// Picks the block's height at run time.
#[inline(always)]
unsafe fn strip_of<L: Lanes, const MOST: usize>(p: &Product) {
    macro_rules! heights {
        ($($rows:literal)*) => {
            match p.rows {
                $($rows if $rows <= MOST => {
                    // SAFETY: the caller answers for everything.
                    unsafe { widths::<L, $rows>(p) }
                })*
                _ => {}
            }
        };
    }
    heights!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// Picks the block's width at run time.
#[inline(always)]
unsafe fn widths<L: Lanes, const ROWS: usize>(p: &Product) {
    // SAFETY: the caller answers for everything.
    unsafe {
        if p.cols == 2 * L::LEN {
            if p.a_col == 1 {
                block::<L, ROWS, 2, false, true>(p);
            } else {
                block::<L, ROWS, 2, false, false>(p);
            }
        } else if p.cols > L::LEN {
            block::<L, ROWS, 2, true, false>(p);
        } else {
            block::<L, ROWS, 1, true, false>(p);
        }
    }
}

/// One block: `ROWS` × `VECTORS` vectors in registers. With `PARTIAL` the last vector may be incomplete; with `DENSE` the
/// left matrix has its columns side by side.
#[inline(always)]
unsafe fn block<
    L: Lanes,
    const ROWS: usize,
    const VECTORS: usize,
    const PARTIAL: bool,
    const DENSE: bool,
>(
    p: &Product,
) {
    let last = p.cols - (VECTORS - 1) * L::LEN;
    let a_col = if DENSE { 1 } else { p.a_col };
    // SAFETY: all pointers are formed as the formula of `Product` says.
    unsafe {
        let mut sums = [[L::zero(); VECTORS]; ROWS];
        for stretch in p.stretches {
            let mut a = p.a.add(stretch.a);
            let mut b = p.b.add(stretch.b);
            for _ in 0..stretch.len {
                let mut right = [L::zero(); VECTORS];
                for (v, right) in right.iter_mut().enumerate() {
                    *right = if PARTIAL && v == VECTORS - 1 {
                        L::load_first(b.add(v * L::LEN), last)
                    } else {
                        L::load(b.add(v * L::LEN))
                    };
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let left = L::splat(*a.add(m * p.a_row));
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = left.mul_add(right, *sum);
                    }
                }
                a = a.add(a_col);
                b = b.add(p.b_row);
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            for (v, mut sum) in sums.into_iter().enumerate() {
                let c = p.c.add(m * p.c_row + v * L::LEN);
                let n = if PARTIAL && v == VECTORS - 1 {
                    last
                } else {
                    L::LEN
                };
                if p.add {
                    sum = sum.add(L::load_up_to(c, n));
                }
                sum.store_up_to(c, n);
            }
        }
    }
}
