//! Biases of convolutions and linear layers.

use candle_core::Result;

use crate::cuda::array::{Array, Kind};
use crate::cuda::columns::Columns;
use crate::cuda::gpu::Gpu;
use crate::cuda::launch::Launch;

/// y += bias for each row.
pub(crate) fn add(gpu: &Gpu, y: &Array, bias: &Array, columns: Columns) -> Result<()> {
    let split = columns.split(&[y]);
    let launch = Launch::of(gpu, "add_bias", y.kind())
        .at(y)
        .at(bias)
        .size(columns.rows)
        .size(columns.c)
        .flag(split.wide);
    columns.visit(&split, launch)
}

/// The sums of all rows, as f32.
pub(crate) fn gradient(gpu: &Gpu, dy: &Array, columns: Columns) -> Result<Array> {
    let split = columns.split(&[dy]);
    let pieces = columns.pieces(&split);
    let sums = pieces.sums(gpu)?;
    let gradient = Array::new(gpu, columns.c, Kind::F32)?;
    pieces.form(
        Launch::of(gpu, "column_sums", dy.kind())
            .at(dy)
            .size(columns.rows)
            .size(columns.c)
            .size(pieces.chunk)
            .at(&sums)
            .flag(split.wide),
    )?;
    pieces.finish(
        Launch::new(gpu, "finish_column_sums")
            .at(&sums)
            .size(pieces.count)
            .size(columns.c)
            .at(&gradient),
    )?;
    Ok(gradient)
}
