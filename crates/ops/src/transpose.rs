//! Rows to columns, in blocks that stay in registers.

use crate::lanes::{Lanes, for_processor};

/// A matrix whose rows and columns may lie anywhere: `to[columns[j] + i] = from[rows[i] + j]`. A column that is
/// [`NOWHERE`] is left out.
#[derive(Clone, Copy)]
pub(crate) struct Transposition<'a> {
    pub(crate) rows: &'a [usize],
    pub(crate) columns: &'a [usize],
}

/// The place of a column that is not wanted.
pub(crate) const NOWHERE: usize = usize::MAX;

impl Transposition<'_> {
    /// Writes `to`.
    pub(crate) fn apply(&self, from: &[f32], to: &mut [f32]) {
        // SAFETY: the slice is borrowed exclusively.
        unsafe { self.write(from, to.as_mut_ptr(), to.len()) }
    }

    /// Writes the wanted columns behind `to`.
    ///
    /// # Safety
    /// The columns must lie in the `len` floats behind `to`, as is checked, be writable, and be nobody else's.
    pub(crate) unsafe fn write(&self, from: &[f32], to: *mut f32, len: usize) {
        let (Some(&row), Some(column)) = (
            self.rows.iter().max(),
            self.columns
                .iter()
                .filter(|column| **column != NOWHERE)
                .max(),
        ) else {
            return;
        };
        assert!(row + self.columns.len() <= from.len() && column + self.rows.len() <= len);
        // SAFETY: every row and column lies inside of what was checked.
        unsafe { transpose(self, from.as_ptr(), to) }
    }
}

for_processor! {
    unsafe fn transpose(shape: &Transposition, from: *const f32, to: *mut f32) = transpose_with
}

#[inline(always)]
unsafe fn transpose_with<L: Lanes>(shape: &Transposition, from: *const f32, to: *mut f32) {
    // The shorter side goes outside, so that as few lines of the cache as possible are written in turn.
    let (rows, columns) = (shape.rows.chunks(L::LEN), shape.columns.chunks(L::LEN));
    // SAFETY: `Transposition::write` checked the places.
    unsafe {
        if shape.rows.len() <= shape.columns.len() {
            for (i, rows) in rows.enumerate() {
                for (j, columns) in columns.clone().enumerate() {
                    square::<L>(rows, columns, from.add(j * L::LEN), to.add(i * L::LEN));
                }
            }
        } else {
            for (j, columns) in columns.enumerate() {
                for (i, rows) in rows.clone().enumerate() {
                    square::<L>(rows, columns, from.add(j * L::LEN), to.add(i * L::LEN));
                }
            }
        }
    }
}

/// At most `LEN` rows and columns.
#[inline(always)]
unsafe fn square<L: Lanes>(rows: &[usize], columns: &[usize], from: *const f32, to: *mut f32) {
    /// The most lanes of any processor.
    const MOST: usize = 16;
    // SAFETY: the caller answers for the places.
    unsafe {
        let mut block = [L::zero(); MOST];
        for (block, row) in block.iter_mut().zip(rows) {
            *block = L::load_up_to(from.add(*row), columns.len());
        }
        L::transpose(block.as_mut_ptr());
        for (block, &column) in block.into_iter().zip(columns) {
            if column != NOWHERE {
                block.store_up_to(to.add(column), rows.len());
            }
        }
    }
}
