//! Matrix products through the `gemm` crate, always on the calling thread.

use gemm::Parallelism;

/// A matrix somewhere in a slice: element (r, c) is `values[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    values: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix whose rows start `row_stride` elements apart.
    pub(crate) fn rows(values: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(
            reach(rows, cols, row_stride) <= values.len(),
            "a matrix reaches past its values"
        );
        Self {
            values,
            rows,
            cols,
            row_stride,
            col_stride: 1,
        }
    }

    /// The transposed matrix.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// The number of elements from the first to the last of a row-major matrix.
pub(crate) fn reach(rows: usize, cols: usize, row_stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        0
    } else {
        (rows - 1) * row_stride + cols
    }
}

/// What becomes of the values that the product is written over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// They are replaced.
    Replace,
    /// The product is added to them.
    Add,
}

/// `out (+)= a · b`, where `out` is row-major with rows `row_stride` elements apart.
pub(crate) fn gemm(out: &mut [f32], row_stride: usize, mode: Into, a: Mat, b: Mat) {
    assert!(
        reach(a.rows, b.cols, row_stride) <= out.len(),
        "a product reaches past its output"
    );
    // SAFETY: the whole reach of the product lies in `out`, which is borrowed exclusively.
    unsafe { gemm_raw(out.as_mut_ptr(), row_stride, mode, a, b) }
}

/// As [`gemm`], for an output that shares its rows with other pieces of work.
///
/// # Safety
/// `out` must be valid for writes at `r * row_stride + c` for every element (r, c) of the product, and nothing else
/// may read or write these elements meanwhile.
pub(crate) unsafe fn gemm_raw(out: *mut f32, row_stride: usize, mode: Into, a: Mat, b: Mat) {
    assert_eq!(a.cols, b.rows, "the inner sizes of a product differ");
    // SAFETY: `Mat` has checked that a and b lie inside their slices; the caller answers for `out`. The strides are
    // sizes of existing slices, so they fit isize.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out,
            1,
            row_stride as isize,
            mode == Into::Add,
            a.values.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
