//! Maxima over windows.

use std::cell::Cell;

use candle_core::{Result, Shape, Tensor};

use super::{Geometry, Pool2d};
use crate::activation::{Activation, Gradient};
use crate::kernel::{Kernel, change1, cpu_only, run1};
use crate::output::{uninit, uninit_chunks};
use crate::parallel::{SharedMut, for_each};
use crate::simd::vectorized;
use crate::tape::Tape;

/// The maximum of each window of x, (n, h, w, c), as `torch.nn.functional.max_pool2d`. The gradient goes to the first
/// maximum of a window in row-major order; a window with a NaN gives NaN.
pub fn max_pool2d(tape: &Tape, x: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    pooled(tape, x, pool, false)
}

/// [`max_pool2d`] of the [rectified](crate::relu()) x, in one pass. As the rectifier of the maximum is the maximum of what
/// is rectified, the whole of x need not be rectified.
pub fn max_pool2d_relu(tape: &Tape, x: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    pooled(tape, x, pool, true)
}

fn pooled(tape: &Tape, x: &Tensor, pool: &Pool2d, rectify: bool) -> Result<Tensor> {
    let geometry = Geometry::new("max_pool2d", x, pool)?;
    #[cfg(feature = "cuda")]
    if crate::cuda::has(x) {
        return crate::cuda::pool::pooled(tape, x, geometry, rectify);
    }
    let to_x = tape.target(x);
    let forward = Forward {
        geometry,
        rectify,
        places: Cell::new(to_x.map(|_| Places::of(&geometry))),
    };
    let y = run1(&forward, x)?;
    if let (Some(id), Some(places)) = (to_x, forward.places.take()) {
        let result = rectify.then(|| y.clone());
        tape.record(&y, move |grad, grads| {
            let dy = match &result {
                Some(result) => {
                    let dy = grad.into_owned_tensor()?;
                    change1(&Gradient(Activation::Relu), &dy, result)?;
                    dy
                }
                None => grad.tensor().clone(),
            };
            grads.give(id, run1(&Backward { geometry, places }, &dy)?)
        });
    }
    Ok(y)
}

/// Which pixel of its window each maximum is, counted row by row over the whole window, padding included.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    /// Of windows of up to 256 pixels.
    Small(Vec<u8>),
    /// Of larger ones.
    Large(Vec<u32>),
}

impl Places {
    /// None known yet.
    pub(crate) fn of(geometry: &Geometry) -> Self {
        let len = geometry.output().elem_count();
        if geometry.y.kernel * geometry.x.kernel <= 256 {
            Self::Small(vec![0; len])
        } else {
            Self::Large(vec![0; len])
        }
    }
}

struct Forward {
    geometry: Geometry,
    rectify: bool,
    /// To be filled if they are asked for.
    places: Cell<Option<Places>>,
}

impl Kernel<1> for Forward {
    const NAME: &'static str = "max_pool2d";

    fn shape(&self) -> Shape {
        self.geometry.output()
    }

    fn cpu(&self, [x]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let (g, rectify) = (&self.geometry, self.rectify);
        let (row_len, map) = (g.output_row(), g.y.input * g.input_row());
        let mut places = self.places.take();
        let noted = Noted::new(&mut places);
        // SAFETY: every row of the output is written whole, by one piece of work.
        let out = unsafe {
            uninit(self.shape().elem_count(), |out| {
                for_each(g.n * g.y.output, g.work(), |row| {
                    let (n, i) = (row / g.y.output, row % g.y.output);
                    let band = Band {
                        geometry: g,
                        rows: &x[n * map..][..map],
                        first: 0,
                        rectify,
                    };
                    noted.pool_row(&band, i, out.slice(row * row_len, row_len), row);
                });
            })
        };
        self.places.set(places);
        Ok(out)
    }

    cpu_only!(kernel of 1);
}

/// Places that several rows write to at once.
pub(crate) enum Noted<'a> {
    No,
    Small(SharedMut<'a, u8>),
    Large(SharedMut<'a, u32>),
}

/// Some rows of one picture.
pub(crate) struct Band<'a> {
    pub(crate) geometry: &'a Geometry,
    /// The rows from `first` on.
    pub(crate) rows: &'a [f32],
    pub(crate) first: usize,
    /// Whether the maxima are rectified.
    pub(crate) rectify: bool,
}

impl<'a> Noted<'a> {
    pub(crate) fn new(places: &'a mut Option<Places>) -> Self {
        match places {
            None => Self::No,
            Some(Places::Small(places)) => Self::Small(SharedMut::new(places)),
            Some(Places::Large(places)) => Self::Large(SharedMut::new(places)),
        }
    }

    /// Pools row `i` of a picture into `out`, which is row `row` of all pictures.
    ///
    /// # Safety
    /// No other piece of work may have the same `row`.
    pub(crate) unsafe fn pool_row(&self, band: &Band, i: usize, out: &mut [f32], row: usize) {
        let len = band.geometry.output_row();
        // SAFETY: rows are disjoint and the caller visits each once.
        unsafe {
            match self {
                Self::No => pool_row(band, i, out),
                Self::Small(places) => pool_row_small(band, i, out, places.slice(row * len, len)),
                Self::Large(places) => pool_row_large(band, i, out, places.slice(row * len, len)),
            }
        }
    }
}

vectorized! {
    fn pool_row(band: &Band, i: usize, out: &mut [f32]) {
        windows::<u32>(band, i, out, None);
    }
}

vectorized! {
    fn pool_row_small(band: &Band, i: usize, out: &mut [f32], places: &mut [u8]) {
        windows(band, i, out, Some(places));
    }
}

vectorized! {
    fn pool_row_large(band: &Band, i: usize, out: &mut [f32], places: &mut [u32]) {
        windows(band, i, out, Some(places));
    }
}

/// The maxima of the windows of row `i`.
#[inline(always)]
fn windows<P: Place>(band: &Band, i: usize, out: &mut [f32], mut places: Option<&mut [P]>) {
    let g = band.geometry;
    for j in 0..g.x.output {
        let mut c = 0;
        while c < g.c {
            let places = places.as_deref_mut();
            c += match g.c - c {
                16.. => window::<16, P>(band, [i, j, c], out, places),
                4.. => window::<4, P>(band, [i, j, c], out, places),
                _ => window::<1, P>(band, [i, j, c], out, places),
            };
        }
    }
}

/// A number of a place.
trait Place: Copy {
    fn from_u32(place: u32) -> Self;
    fn into_u32(self) -> u32;
}

impl Place for u8 {
    #[inline(always)]
    fn from_u32(place: u32) -> Self {
        place as u8
    }

    #[inline(always)]
    fn into_u32(self) -> u32 {
        self.into()
    }
}

impl Place for u32 {
    #[inline(always)]
    fn from_u32(place: u32) -> Self {
        place
    }

    #[inline(always)]
    fn into_u32(self) -> u32 {
        self
    }
}

/// The maxima of `L` channels from `c` on of window (i, j). Gives `L`.
#[inline(always)]
#[expect(
    clippy::needless_bitwise_bool,
    reason = "branches keep the compiler from vectors"
)]
fn window<const L: usize, P: Place>(
    band: &Band,
    [i, j, c]: [usize; 3],
    out: &mut [f32],
    places: Option<&mut [P]>,
) -> usize {
    let g = band.geometry;
    let mut best = [f32::NEG_INFINITY; L];
    let mut at = [u32::MAX; L];
    for y in g.y.window(i) {
        for column in g.x.window(j) {
            let place = g.y.element(i, y) * g.x.kernel + g.x.element(j, column);
            let start = ((y - band.first) * g.x.input + column) * g.c + c;
            let x: &[f32; L] = band.rows[start..]
                .first_chunk()
                .expect("a pixel has its channels");
            for k in 0..L {
                // The first pixel of a window counts even where it is −∞.
                let better = (x[k] > best[k]) | x[k].is_nan() | (at[k] == u32::MAX);
                at[k] = if better { place as u32 } else { at[k] };
                best[k] = if better { x[k] } else { best[k] };
            }
        }
    }
    if band.rectify {
        best = best.map(|best| if best <= 0.0 { 0.0 } else { best });
    }
    let start = j * g.c + c;
    out[start..][..L].copy_from_slice(&best);
    if let Some(places) = places {
        for (place, at) in places[start..][..L].iter_mut().zip(at) {
            *place = P::from_u32(at);
        }
    }
    L
}

struct Backward {
    geometry: Geometry,
    places: Places,
}

impl Kernel<1> for Backward {
    const NAME: &'static str = "max_pool2d's gradient";

    fn shape(&self) -> Shape {
        self.geometry.input()
    }

    fn cpu(&self, [dy]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let g = &self.geometry;
        let (len, row) = (self.shape().elem_count(), g.input_row());
        // SAFETY: `collect_row` writes the whole row.
        Ok(unsafe {
            uninit_chunks(len, row, g.work() + len, |row, dx| {
                self.places.collect_row(g, dy, row, dx);
            })
        })
    }

    cpu_only!(kernel of 1);
}

impl Places {
    /// Writes the gradient of row `row` of all pictures' rows to `dx`, given that of the maxima.
    pub(crate) fn collect_row(&self, g: &Geometry, dy: &[f32], row: usize, dx: &mut [f32]) {
        let (n, y) = (row / g.y.input, row % g.y.input);
        match self {
            Self::Small(places) => collect_small(g, dy, places, n, y, dx),
            Self::Large(places) => collect_large(g, dy, places, n, y, dx),
        }
    }
}

vectorized! {
    fn collect_small(g: &Geometry, dy: &[f32], places: &[u8], n: usize, y: usize, dx: &mut [f32]) {
        collect(g, dy, places, n, y, dx);
    }
}

vectorized! {
    fn collect_large(g: &Geometry, dy: &[f32], places: &[u32], n: usize, y: usize, dx: &mut [f32]) {
        collect(g, dy, places, n, y, dx);
    }
}

/// Adds up for every pixel of a row what its windows give it.
#[inline(always)]
fn collect<P: Place>(g: &Geometry, dy: &[f32], places: &[P], n: usize, y: usize, dx: &mut [f32]) {
    let rows = g.y.covering(y);
    for (x, dx) in dx.chunks_exact_mut(g.c).enumerate() {
        let columns = g.x.covering(x);
        let mut c = 0;
        while c < g.c {
            c += match g.c - c {
                16.. => pixel::<16, P>(g, dy, places, [n, y, x, c], [&rows, &columns], dx),
                4.. => pixel::<4, P>(g, dy, places, [n, y, x, c], [&rows, &columns], dx),
                _ => pixel::<1, P>(g, dy, places, [n, y, x, c], [&rows, &columns], dx),
            };
        }
    }
}

/// Writes `L` channels from `c` on of pixel (n, y, x), which lies in the windows of these rows and columns. Gives `L`.
#[inline(always)]
fn pixel<const L: usize, P: Place>(
    g: &Geometry,
    dy: &[f32],
    places: &[P],
    [n, y, x, c]: [usize; 4],
    [rows, columns]: [&std::ops::Range<usize>; 2],
    dx: &mut [f32],
) -> usize {
    let mut sums = [0.0; L];
    for i in rows.clone() {
        for j in columns.clone() {
            let place = (g.y.element(i, y) * g.x.kernel + g.x.element(j, x)) as u32;
            let start = ((n * g.y.output + i) * g.x.output + j) * g.c + c;
            let dy: &[f32; L] = dy[start..].first_chunk().expect("a pixel has its channels");
            let at: &[P; L] = places[start..]
                .first_chunk()
                .expect("there is a place for each");
            let at = at.map(P::into_u32);
            for k in 0..L {
                // Without a branch, for the vectors' sake.
                let mine = u32::from(at[k] == place).wrapping_neg();
                sums[k] += f32::from_bits(dy[k].to_bits() & mine);
            }
        }
    }
    dx[c..][..L].copy_from_slice(&sums);
    L
}
