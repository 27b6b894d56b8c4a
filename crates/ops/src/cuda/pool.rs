//! Pooling, and what else goes over whole maps.

use candle_core::{Result, Tensor};

use super::array::{Array, Buffer};
use super::gpu::Gpu;
use super::launch::Launch;
use crate::pool::Geometry;
use crate::tape::Tape;

/// Which pixel of its window each maximum is: bytes, or 32 bits for windows of more pixels.
pub(crate) struct Places {
    bytes: Buffer<u8>,
    wide: bool,
}

/// The kernels' `Pool`.
fn words(g: &Geometry) -> [usize; 12] {
    let (y, x) = (&g.y, &g.x);
    [
        g.n, g.c, y.input, x.input, y.output, x.output, y.kernel, x.kernel, y.stride, x.stride,
        y.padding, x.padding,
    ]
}

/// The maxima of x, or with `terms` of the normalised x, and where they are if that is asked.
pub(crate) fn max_pool(
    gpu: &Gpu,
    x: &Array,
    terms: Option<&Buffer<f32>>,
    geometry: &Geometry,
    rectify: bool,
    with_places: bool,
) -> Result<(Array, Option<Places>)> {
    let y = Array::new(gpu, geometry.output(), x.kind())?;
    let wide = geometry.y.kernel * geometry.x.kernel > 256;
    let places = if with_places {
        let bytes = gpu.buffer(y.len() * if wide { 4 } else { 1 })?;
        Some(Places { bytes, wide })
    } else {
        None
    };
    Launch::of(gpu, "max_pool", x.kind())
        .at(x)
        .maybe_at(terms)
        .at(&y)
        .maybe_at(places.as_ref().map(|places| &places.bytes))
        .flag(wide)
        .flag(rectify)
        .sizes(words(geometry))
        .each(y.len())?;
    Ok((y, places))
}

/// The gradient of x from that of the maxima; with `result` the maxima were rectified.
pub(crate) fn max_pool_gradient(
    gpu: &Gpu,
    dy: &Array,
    result: Option<&Array>,
    places: &Places,
    geometry: &Geometry,
) -> Result<Array> {
    const OP: &str = "max_pool2d's gradient";
    if let Some(result) = result {
        result.must_be(OP, dy.kind())?;
    }
    let dx = Array::new(gpu, geometry.input(), dy.kind())?;
    Launch::of(gpu, "max_pool_gradient", dy.kind())
        .at(dy)
        .maybe_at(result)
        .at(&places.bytes)
        .flag(places.wide)
        .at(&dx)
        .sizes(words(geometry))
        .each(dx.len())?;
    Ok(dx)
}

/// [`max_pool2d`](crate::max_pool2d()) on CUDA tensors.
pub(crate) fn pooled(tape: &Tape, x: &Tensor, geometry: Geometry, rectify: bool) -> Result<Tensor> {
    const OP: &str = "max_pool2d";
    let gpu = Gpu::of(OP, &[x])?;
    let to_x = tape.target(x);
    let x = Array::of(OP, &gpu, x)?;
    let (y, places) = max_pool(&gpu, &x, None, &geometry, rectify, to_x.is_some())?;
    let result = y.tensor().clone();
    if let (Some(id), Some(places)) = (to_x, places) {
        tape.record(&result, move |grad, grads| {
            let dy = Array::of(OP, &gpu, grad.tensor())?;
            let rectified = rectify.then_some(&y);
            let dx = max_pool_gradient(&gpu, &dy, rectified, &places, &geometry)?;
            grads.give(id, dx.into_tensor())
        });
    }
    Ok(result)
}

/// Windows of which means are taken: the kernels' `Means`.
#[derive(Clone, Copy)]
pub(crate) struct Means {
    pool: [usize; 12],
    /// Whether the windows divide the maps into about equal parts.
    adaptive: bool,
    /// Whether the zeros of the padding count.
    count_padding: bool,
    /// The shapes of x and of the means.
    input: [usize; 4],
    output: [usize; 4],
}

impl Means {
    /// Of the windows of a pool.
    pub(crate) fn of_windows(g: &Geometry, count_padding: bool) -> Self {
        Self {
            pool: words(g),
            adaptive: false,
            count_padding,
            input: [g.n, g.y.input, g.x.input, g.c],
            output: [g.n, g.y.output, g.x.output, g.c],
        }
    }

    /// Of (oh, ow) about equal parts of maps.
    pub(crate) fn of_parts([n, h, w, c]: [usize; 4], (oh, ow): (usize, usize)) -> Self {
        Self {
            pool: [n, c, h, w, oh, ow, 0, 0, 0, 0, 0, 0],
            adaptive: true,
            count_padding: false,
            input: [n, h, w, c],
            output: [n, oh, ow, c],
        }
    }

    fn words(&self) -> impl Iterator<Item = usize> {
        let flags = [self.adaptive.into(), self.count_padding.into()];
        self.pool.into_iter().chain(flags)
    }
}

/// The mean of each window, with its backward pass on the tape.
pub(crate) fn averaged(tape: &Tape, x: &Tensor, means: Means) -> Result<Tensor> {
    const OP: &str = "average pool";
    let gpu = Gpu::of(OP, &[x])?;
    let values = Array::of(OP, &gpu, x)?;
    let y = averages("average_pool", &gpu, &values, &means, means.output)?.into_tensor();
    if let Some(to_x) = tape.target(x) {
        tape.record(&y, move |grad, grads| {
            let dy = Array::of(OP, &gpu, grad.tensor())?;
            let dx = averages("average_pool_gradient", &gpu, &dy, &means, means.input)?;
            grads.give(to_x, dx.into_tensor())
        });
    }
    Ok(y)
}

/// What the kernel `name` makes of the values.
fn averages(
    name: &'static str,
    gpu: &Gpu,
    values: &Array,
    means: &Means,
    [n, h, w, c]: [usize; 4],
) -> Result<Array> {
    let result = Array::new(gpu, (n, h, w, c), values.kind())?;
    Launch::of(gpu, name, values.kind())
        .at(values)
        .at(&result)
        .sizes(means.words())
        .each(result.len())?;
    Ok(result)
}

/// Maps (n, h, w, c).
#[derive(Clone, Copy)]
pub(crate) struct Maps {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
}

impl Maps {
    fn pixels(&self) -> usize {
        self.h * self.w
    }

    fn len(&self) -> usize {
        self.n * self.pixels() * self.c
    }
}

/// The sums over each map of x, or of x · dy, times `factor`: (n, c).
pub(crate) fn picture_sums(
    gpu: &Gpu,
    x: &Array,
    dy: Option<&Array>,
    maps: Maps,
    factor: f64,
) -> Result<Array> {
    let sums = Array::new(gpu, (maps.n, maps.c), x.kind())?;
    if let Some(dy) = dy {
        dy.must_be("scale_channels' gradient", x.kind())?;
    }
    let blocks = (maps.n * maps.c.div_ceil(32)).min(65_535);
    Launch::of(gpu, "picture_sums", x.kind())
        .at(x)
        .maybe_at(dy)
        .at(&sums)
        .size(maps.n)
        .size(maps.pixels())
        .size(maps.c)
        .double(factor)
        .grid([blocks, 1, 1], [32, 8])?;
    Ok(sums)
}

/// The mean of each map: (n, c).
pub(crate) fn global_average(gpu: &Gpu, x: &Array, maps: Maps) -> Result<Array> {
    picture_sums(gpu, x, None, maps, 1.0 / maps.pixels() as f64)
}

/// The gradient of x from that of the maps' means.
pub(crate) fn global_average_gradient(gpu: &Gpu, dy: &Array, maps: Maps) -> Result<Array> {
    let Maps { n, h, w, c } = maps;
    let dx = Array::new(gpu, (n, h, w, c), dy.kind())?;
    Launch::of(gpu, "global_average_gradient", dy.kind())
        .at(dy)
        .at(&dx)
        .size(n)
        .size(maps.pixels())
        .size(c)
        .each(maps.len())?;
    Ok(dx)
}

/// Writes each channel of each picture times its gate to y, which may be x.
pub(crate) fn scale_channels(
    gpu: &Gpu,
    x: &Array,
    gate: &Array,
    y: &Array,
    maps: Maps,
) -> Result<()> {
    gate.must_be("scale_channels", x.kind())?;
    Launch::of(gpu, "scale_channels", x.kind())
        .at(x)
        .at(gate)
        .at(y)
        .size(maps.n)
        .size(maps.pixels())
        .size(maps.c)
        .each(maps.len())
}

/// Each channel of each picture times its gate.
pub(crate) fn scaled_channels(gpu: &Gpu, x: &Array, gate: &Array, maps: Maps) -> Result<Array> {
    let y = Array::new(gpu, x.tensor().shape().clone(), x.kind())?;
    scale_channels(gpu, x, gate, &y, maps)?;
    Ok(y)
}
