//! How maps are cut for batch norm, and the loops over the pieces.
//!
//! The memory of maps (n, h, w, c) is seen as rows of some pixels each, so many that a row is whole vectors; in each
//! column of such rows lies always the same channel. Kernels take what they know of the channels as rows, too.

use super::Channel;
use crate::parallel::for_each_chunk;
use crate::simd::vectorized;

/// The floats of the widest vector.
pub(super) const LANES: usize = 16;
/// Rows that are added up as single floats before their sum goes to the doubles.
const GROUP: usize = 8;
/// Groups that are added up so.
const GROUPS: usize = 4;
/// About the smallest number of values that a piece of work has.
const SMALLEST_PIECE: usize = 1 << 13;
/// About the largest number of pieces: each leaves a row of sums.
const MOST_PIECES: usize = 64;

/// Maps of `c` channels seen as rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    /// All values.
    pub(super) len: usize,
    pub(super) c: usize,
    /// The length of a row, a multiple of `c` and of [`LANES`]. The last row may be cut.
    pub(super) width: usize,
    /// The length of a piece of work, some rows. The last one may be shorter.
    pub(super) piece: usize,
}

impl Rows {
    pub(super) fn new(len: usize, c: usize) -> Self {
        let mut width = c.max(1);
        while !width.is_multiple_of(LANES) || width < 4 * LANES {
            width *= 2;
        }
        let group = GROUP * width;
        let piece = SMALLEST_PIECE.max(len / MOST_PIECES);
        Self {
            len,
            c,
            width,
            piece: piece.div_ceil(group) * group,
        }
    }

    /// A row of what `value` says of each channel.
    pub(super) fn row(&self, value: impl Fn(usize) -> f32) -> Vec<f32> {
        let one: Vec<f32> = (0..self.c).map(value).collect();
        one.repeat(self.width / self.c.max(1))
    }

    /// What normalising takes, as rows.
    pub(super) fn terms(&self, channels: &[Channel], weight: &[f32], bias: &[f32]) -> Terms {
        Terms {
            means: self.row(|c| channels[c].mean as f32),
            scales: self.row(|c| (channels[c].inv_std * f64::from(weight[c])) as f32),
            shifts: self.row(|c| bias[c]),
        }
    }

    pub(super) fn pieces(&self) -> usize {
        self.len.div_ceil(self.piece)
    }

    /// Where a piece starts, and how long it is.
    pub(super) fn piece(&self, i: usize) -> (usize, usize) {
        let start = i * self.piece;
        (start, self.piece.min(self.len - start))
    }

    /// Two sums for each channel. `add(sums, piece)` adds to the columns' sums, two rows, those of one of the pieces, of which
    /// each begins with a first channel.
    pub(super) fn sums(
        &self,
        pieces: usize,
        add: impl Fn(&mut [f64], usize) + Send + Sync,
    ) -> Vec<(f64, f64)> {
        let mut partial = vec![0.0; pieces * 2 * self.width];
        for_each_chunk(&mut partial, 2 * self.width, self.len, |i, sums| {
            add(sums, i);
        });
        let mut totals = vec![(0.0, 0.0); self.c];
        let step = self.c.max(1);
        for rows in partial.chunks_exact(2 * self.width) {
            let (first, second) = rows.split_at(self.width);
            for (first, second) in first.chunks_exact(step).zip(second.chunks_exact(step)) {
                for (total, (first, second)) in totals.iter_mut().zip(first.iter().zip(second)) {
                    total.0 += first;
                    total.1 += second;
                }
            }
        }
        totals
    }
}

type Vector = [f32; LANES];

/// Whole vectors of a slice whose length is a multiple of theirs.
#[inline(always)]
fn vectors(values: &[f32]) -> &[Vector] {
    values.as_chunks().0
}

/// The sum of eight floats, the same way everywhere.
#[inline(always)]
fn tree(x: [f32; GROUP]) -> f32 {
    ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]))
}

/// The vectors of each of the eight rows of a group.
#[inline(always)]
fn rows_of(group: &[f32], width: usize) -> [&[Vector]; GROUP] {
    std::array::from_fn(|r| vectors(&group[r * width..][..width]))
}

/// Sums of some groups of rows as single floats, on their way to the doubles.
struct Short {
    sums: Vec<f32>,
    groups: usize,
}

impl Short {
    fn new(width: usize) -> Self {
        Self {
            sums: vec![0.0; 2 * width],
            groups: 0,
        }
    }

    /// The vectors of the first and of the second sum.
    #[inline(always)]
    fn rows(&mut self) -> (&mut [Vector], &mut [Vector]) {
        let width = self.sums.len() / 2;
        let (first, second) = self.sums.split_at_mut(width);
        (first.as_chunks_mut().0, second.as_chunks_mut().0)
    }

    /// Counts a group and moves the sums to `long` if they are of enough groups.
    #[inline(always)]
    fn count(&mut self, long: &mut [f64]) {
        self.groups += 1;
        if self.groups == GROUPS {
            self.flush(long);
        }
    }

    #[inline(always)]
    fn flush(&mut self, long: &mut [f64]) {
        for (long, short) in long.iter_mut().zip(&mut self.sums) {
            *long += f64::from(*short);
            *short = 0.0;
        }
        self.groups = 0;
    }
}

vectorized! {
    /// Adds to `sums`, two rows, the columns' sums of x − around and of its square.
    pub(super) fn add_squares(sums: &mut [f64], x: &[f32], around: &[f32]) {
        let width = around.len();
        let mut short = Short::new(width);
        let groups = x.chunks_exact(GROUP * width);
        let rest = groups.remainder();
        for group in groups {
            let x = rows_of(group, width);
            let (short_sums, short_squares) = short.rows();
            let columns = short_sums.iter_mut().zip(short_squares).zip(vectors(around));
            for (v, ((sum, square), around)) in columns.enumerate() {
                let (mut s, mut q) = (*sum, *square);
                for i in 0..LANES {
                    let d: [f32; GROUP] = std::array::from_fn(|r| x[r][v][i] - around[i]);
                    s[i] += tree(d);
                    q[i] += tree(d.map(|d| d * d));
                }
                (*sum, *square) = (s, q);
            }
            short.count(sums);
        }
        short.flush(sums);
        let (sums, squares) = sums.split_at_mut(width);
        for row in rest.chunks(width) {
            let columns = sums.iter_mut().zip(squares.iter_mut()).zip(around);
            for (((sum, square), around), x) in columns.zip(row) {
                let d = x - around;
                *sum += f64::from(d);
                *square += f64::from(d * d);
            }
        }
    }
}

/// What normalising takes, as rows.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) means: Vec<f32>,
    pub(super) scales: Vec<f32>,
    pub(super) shifts: Vec<f32>,
}

impl Terms {
    /// The terms from the column `start` on; made once per loop, so that the compiler sees equal lengths.
    #[inline(always)]
    fn cut(&self, len: usize) -> [&[f32]; 3] {
        [&self.means[..len], &self.scales[..len], &self.shifts[..len]]
    }
}

#[inline(always)]
fn normal(x: f32, [mean, scale, shift]: [f32; 3]) -> f32 {
    (x - mean) * scale + shift
}

/// Not `max`, which would turn NaN into 0.
#[inline(always)]
fn positive(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// `gradient` where `y`, the rectifier's argument or result, let it pass.
#[inline(always)]
fn passed(gradient: f32, y: f32) -> f32 {
    if y <= 0.0 { 0.0 } else { gradient }
}

/// Calls `set(out, x, terms)` for each value.
#[inline(always)]
fn each(out: &mut [f32], x: &[f32], terms: &Terms, set: impl Fn(&mut f32, f32, [f32; 3])) {
    let width = terms.means.len();
    for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
        let x = &x[..out.len()];
        let [means, scales, shifts] = terms.cut(out.len());
        for i in 0..out.len() {
            set(&mut out[i], x[i], [means[i], scales[i], shifts[i]]);
        }
    }
}

/// Calls `set(out, x, z, terms)` for each value.
#[inline(always)]
fn each2(
    out: &mut [f32],
    x: &[f32],
    z: &[f32],
    terms: &Terms,
    set: impl Fn(&mut f32, f32, f32, [f32; 3]),
) {
    let width = terms.means.len();
    for ((out, x), z) in out
        .chunks_mut(width)
        .zip(x.chunks(width))
        .zip(z.chunks(width))
    {
        let (x, z) = (&x[..out.len()], &z[..out.len()]);
        let [means, scales, shifts] = terms.cut(out.len());
        for i in 0..out.len() {
            set(&mut out[i], x[i], z[i], [means[i], scales[i], shifts[i]]);
        }
    }
}

vectorized! {
    /// Writes the normalised x, of which only what is positive if `rectify`.
    pub(super) fn normalise(out: &mut [f32], x: &[f32], terms: &Terms, rectify: bool) {
        if rectify {
            each(out, x, terms, |out, x, terms| *out = positive(normal(x, terms)));
        } else {
            each(out, x, terms, |out, x, terms| *out = normal(x, terms));
        }
    }
}

vectorized! {
    /// Writes what is positive of the normalised x plus `other`.
    pub(super) fn normalise_and_add(out: &mut [f32], x: &[f32], other: &[f32], terms: &Terms) {
        each2(out, x, other, terms, |out, x, other, terms| {
            *out = positive(normal(x, terms) + other);
        });
    }
}

vectorized! {
    /// As [`normalise`], in place.
    pub(super) fn normalise_in_place(x: &mut [f32], terms: &Terms, rectify: bool) {
        let width = terms.means.len();
        for x in x.chunks_mut(width) {
            let [means, scales, shifts] = terms.cut(x.len());
            for i in 0..x.len() {
                let y = normal(x[i], [means[i], scales[i], shifts[i]]);
                x[i] = if rectify { positive(y) } else { y };
            }
        }
    }
}

vectorized! {
    /// As [`normalise_and_add`], in place.
    pub(super) fn normalise_and_add_in_place(x: &mut [f32], other: &[f32], terms: &Terms) {
        each(x, other, terms, |x, other, terms| *x = positive(normal(*x, terms) + other));
    }
}

/// Adds to `short` the columns' sums of the gradient and of its product with x − mean. With `BY_X` the gradient passes a
/// rectifier behind the normalisation first.
#[inline(always)]
fn add_group_products<const BY_X: bool>(short: &mut Short, dy: &[f32], x: &[f32], terms: &Terms) {
    let width = terms.means.len();
    let (dy, x) = (rows_of(dy, width), rows_of(x, width));
    let [means, scales, shifts] = terms.cut(width).map(vectors);
    let (sums, products) = short.rows();
    for (v, (sum, product)) in sums.iter_mut().zip(products).enumerate() {
        let (mean, scale, shift) = (&means[v], &scales[v], &shifts[v]);
        let (mut s, mut p) = (*sum, *product);
        for i in 0..LANES {
            let g: [f32; GROUP] = std::array::from_fn(|r| {
                if BY_X {
                    passed(
                        dy[r][v][i],
                        normal(x[r][v][i], [mean[i], scale[i], shift[i]]),
                    )
                } else {
                    dy[r][v][i]
                }
            });
            s[i] += tree(g);
            p[i] += tree(std::array::from_fn(|r| g[r] * (x[r][v][i] - mean[i])));
        }
        (*sum, *product) = (s, p);
    }
}

/// Adds to `sums`, two rows, what [`add_group_products`] does, of rows that are no whole group.
#[inline(always)]
fn add_rest_products<const BY_X: bool>(sums: &mut [f64], dy: &[f32], x: &[f32], terms: &Terms) {
    let width = terms.means.len();
    let (sums, products) = sums.split_at_mut(width);
    for (dy, x) in dy.chunks(width).zip(x.chunks(width)) {
        let [means, scales, shifts] = terms.cut(dy.len());
        for i in 0..dy.len() {
            let g = if BY_X {
                passed(dy[i], normal(x[i], [means[i], scales[i], shifts[i]]))
            } else {
                dy[i]
            };
            sums[i] += f64::from(g);
            products[i] += f64::from(g * (x[i] - means[i]));
        }
    }
}

vectorized! {
    /// Adds to `sums`, two rows, the columns' sums of the gradient and of its product with x − mean. The gradient is `dy`,
    /// or what of it passes the rectifier behind the normalisation, if there is one.
    pub(super) fn add_products(sums: &mut [f64], dy: &[f32], x: &[f32], terms: &Terms, rectified: bool) {
        let group = GROUP * terms.means.len();
        let mut short = Short::new(terms.means.len());
        let (dys, xs) = (dy.chunks_exact(group), x.chunks_exact(group));
        let (dy_rest, x_rest) = (dys.remainder(), xs.remainder());
        if rectified {
            for (dy, x) in dys.zip(xs) {
                add_group_products::<true>(&mut short, dy, x, terms);
                short.count(sums);
            }
            add_rest_products::<true>(sums, dy_rest, x_rest, terms);
        } else {
            for (dy, x) in dys.zip(xs) {
                add_group_products::<false>(&mut short, dy, x, terms);
                short.count(sums);
            }
            add_rest_products::<false>(sums, dy_rest, x_rest, terms);
        }
        short.flush(sums);
    }
}

vectorized! {
    /// Clears the gradient where the rectifier's result `y` was not positive, and adds it to `sums` as
    /// [`add_products`] does.
    pub(super) fn mask_and_add_products(sums: &mut [f64], dy: &mut [f32], y: &[f32], x: &[f32], terms: &Terms) {
        let group = GROUP * terms.means.len();
        let mut short = Short::new(terms.means.len());
        for ((dy, y), x) in dy.chunks_mut(group).zip(y.chunks(group)).zip(x.chunks(group)) {
            for (dy, y) in dy.iter_mut().zip(y) {
                *dy = passed(*dy, *y);
            }
            if dy.len() == group {
                add_group_products::<false>(&mut short, dy, x, terms);
                short.count(sums);
            } else {
                add_rest_products::<false>(sums, dy, x, terms);
            }
        }
        short.flush(sums);
    }
}

/// What the gradient of the input takes beside [`Terms`], as rows.
pub(super) struct Slopes {
    pub(super) offsets: Vec<f32>,
    pub(super) slopes: Vec<f32>,
}

#[inline(always)]
fn slope(g: f32, x: f32, [mean, scale]: [f32; 2], [offset, slope]: [f32; 2]) -> f32 {
    (g - offset - (x - mean) * slope) * scale
}

vectorized! {
    /// Turns the gradient of the result into that of the input, in place.
    pub(super) fn input_gradient_in_place(dy: &mut [f32], x: &[f32], terms: &Terms, of: &Slopes, rectified: bool) {
        let width = terms.means.len();
        for (dy, x) in dy.chunks_mut(width).zip(x.chunks(width)) {
            let x = &x[..dy.len()];
            let [means, scales, shifts] = terms.cut(dy.len());
            let (offsets, slopes) = (&of.offsets[..dy.len()], &of.slopes[..dy.len()]);
            if rectified {
                for i in 0..dy.len() {
                    let g = passed(dy[i], normal(x[i], [means[i], scales[i], shifts[i]]));
                    dy[i] = slope(g, x[i], [means[i], scales[i]], [offsets[i], slopes[i]]);
                }
            } else {
                for i in 0..dy.len() {
                    dy[i] = slope(dy[i], x[i], [means[i], scales[i]], [offsets[i], slopes[i]]);
                }
            }
        }
    }
}

vectorized! {
    /// The gradient of the input from that of the result.
    pub(super) fn input_gradient(out: &mut [f32], dy: &[f32], x: &[f32], terms: &Terms, of: &Slopes) {
        let width = terms.means.len();
        for ((out, dy), x) in out.chunks_mut(width).zip(dy.chunks(width)).zip(x.chunks(width)) {
            let (dy, x) = (&dy[..out.len()], &x[..out.len()]);
            let [means, scales, _] = terms.cut(out.len());
            let (offsets, slopes) = (&of.offsets[..out.len()], &of.slopes[..out.len()]);
            for i in 0..out.len() {
                out[i] = slope(dy[i], x[i], [means[i], scales[i]], [offsets[i], slopes[i]]);
            }
        }
    }
}
