//! Sums over many floats, in double precision and in a fixed order.

use crate::parallel::for_each_chunk;
use crate::simd::vectorized;

/// The floats of the widest vector.
const LANES: usize = 16;

/// The sum of each of `columns` columns of a matrix whose rows lie one after another.
pub(crate) fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    /// Floats that one piece of work adds up, about.
    const PIECE: usize = 1 << 15;
    // Several rows side by side fill whole vectors also where there are few columns.
    let wide = columns * (4 * LANES).div_ceil(columns.max(1)).max(1);
    let piece = (PIECE / wide.max(1)).max(1) * wide;
    let mut totals = vec![0f64; columns];
    if values.is_empty() {
        return vec![0.0; columns];
    }
    let mut partial = vec![0f64; values.len().div_ceil(piece) * wide];
    for_each_chunk(&mut partial, wide, values.len(), |i, sums| {
        let start = i * piece;
        add_rows(sums, &values[start..values.len().min(start + piece)]);
    });
    for row in partial.chunks_exact(columns) {
        for (total, value) in totals.iter_mut().zip(row) {
            *total += value;
        }
    }
    totals.into_iter().map(|total| total as f32).collect()
}

/// The sum of the squares of all values.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    const PIECE: usize = 1 << 15;
    let mut sums = vec![0f64; values.len().div_ceil(PIECE)];
    for_each_chunk(&mut sums, 1, values.len(), |i, sum| {
        let start = i * PIECE;
        sum[0] = squares(&values[start..values.len().min(start + PIECE)]);
    });
    sums.into_iter().sum()
}

vectorized! {
    /// Added up in lanes.
    fn squares(values: &[f32]) -> f64 {
        let mut lanes = [0f64; LANES];
        let whole = values.chunks_exact(LANES);
        for (lane, value) in lanes.iter_mut().zip(whole.remainder()) {
            *lane += f64::from(*value) * f64::from(*value);
        }
        for values in whole {
            for (lane, value) in lanes.iter_mut().zip(values) {
                *lane += f64::from(*value) * f64::from(*value);
            }
        }
        lanes.into_iter().sum()
    }
}

vectorized! {
    /// Adds to each of `sums` its column of the rows in `values`, of which the last may be cut. Eight rows are added up as
    /// single floats before their sum goes to the doubles.
    fn add_rows(sums: &mut [f64], values: &[f32]) {
        const GROUP: usize = 8;
        let width = sums.len();
        let groups = values.chunks_exact(GROUP * width);
        let rest = groups.remainder();
        for group in groups {
            let rows: [&[f32]; GROUP] = std::array::from_fn(|i| &group[i * width..][..width]);
            for (i, sum) in sums.iter_mut().enumerate() {
                let x: [f32; GROUP] = std::array::from_fn(|r| rows[r][i]);
                *sum += f64::from(((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7])));
            }
        }
        for row in rest.chunks(width) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
    }
}
