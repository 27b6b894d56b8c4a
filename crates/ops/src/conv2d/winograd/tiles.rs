//! The tiles that maps are cut into, and their way into and out of the transformed space.

use super::transform::{
    INPUT, OUTPUT, PAIRS, input, input_pair, output, output_gradient, output_gradient_pair,
};
use crate::conv2d::margin::Maps;
use crate::lanes::{Lanes, for_processor};

/// The tiles of the maps that a convolution writes, and of those that it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    /// The maps that are read, and how far before them the first tile begins.
    pub(super) read: Maps,
    pub(super) padding: (usize, usize),
    /// The maps that are written.
    pub(super) written: Maps,
    /// Tiles along either axis.
    rows: usize,
    columns: usize,
}

impl Tiles {
    pub(super) fn new(read: Maps, padding: (usize, usize), written: Maps) -> Self {
        Self {
            read,
            padding,
            written,
            rows: written.height.div_ceil(OUTPUT),
            columns: written.width.div_ceil(OUTPUT),
        }
    }

    /// The number of tiles of all maps.
    pub(super) fn count(&self) -> usize {
        self.read.n * self.rows * self.columns
    }

    /// The map, and the first row and column that a tile writes.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (n, within) = (
            tile / (self.rows * self.columns),
            tile % (self.rows * self.columns),
        );
        let (row, column) = (within / self.columns, within % self.columns);
        (n, row * OUTPUT, column * OUTPUT)
    }

    /// Where each of a tile's inputs lies, or nothing where it is padding.
    fn inputs(&self, tile: usize) -> [[Option<usize>; INPUT]; INPUT] {
        let (n, top, left) = self.place(tile);
        let maps = self.read;
        std::array::from_fn(|y| {
            std::array::from_fn(|x| {
                let y = (top + y)
                    .checked_sub(self.padding.0)
                    .filter(|y| *y < maps.height)?;
                let x = (left + x)
                    .checked_sub(self.padding.1)
                    .filter(|x| *x < maps.width)?;
                Some(((n * maps.height + y) * maps.width + x) * maps.channels)
            })
        })
    }

    /// Where each of a tile's outputs lies, or nothing where it is outside of the map.
    fn outputs(&self, tile: usize) -> [[Option<usize>; OUTPUT]; OUTPUT] {
        let (n, top, left) = self.place(tile);
        let maps = self.written;
        std::array::from_fn(|y| {
            std::array::from_fn(|x| {
                let (y, x) = (top + y, left + x);
                (y < maps.height && x < maps.width)
                    .then(|| ((n * maps.height + y) * maps.width + x) * maps.channels)
            })
        })
    }
}

/// The order of transformed values: `stride` floats apart, each with `channels` floats a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Floats from one value of a tile to the next. Odd in cache lines, so that the values of a tile do not meet in one set.
    pub(super) stride: usize,
    /// Floats from one tile to the next.
    pub(super) channels: usize,
}

impl Space {
    /// A space for so many tiles and channels.
    pub(super) fn new(tiles: usize, channels: usize) -> Self {
        const LINE: usize = 16;
        let channels = channels.next_multiple_of(LINE);
        let stride = tiles * channels;
        Self {
            stride: stride
                + if (stride / LINE).is_multiple_of(2) {
                    LINE
                } else {
                    0
                },
            channels,
        }
    }

    /// The floats of so many values.
    pub(super) fn len(&self, values: usize) -> usize {
        values * self.stride
    }
}

/// Some tiles of some channels.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) first: usize,
    pub(super) count: usize,
    /// The first channel and the number of channels.
    pub(super) channel: usize,
    pub(super) channels: usize,
    pub(super) space: Space,
}

for_processor! {
    /// Transforms the inputs of a part's tiles to `out`.
    ///
    /// # Safety
    /// `x` holds the maps that the tiles read; `out` has room for the values of the part in its space.
    pub(super) unsafe fn transform_inputs(part: &Part, x: *const f32, out: *mut f32) = inputs_with
}

#[inline(always)]
unsafe fn inputs_with<L: Lanes>(part: &Part, x: *const f32, out: *mut f32) {
    let stride = part.space.stride;
    for tile in 0..part.count {
        let places = part.tiles.inputs(part.first + tile);
        let inside = places.iter().flatten().all(Option::is_some);
        let mut c = 0;
        while c < part.channels {
            let left = part.channels - c;
            let to = out.wrapping_add(tile * part.space.channels + c);
            // SAFETY: the caller answers for the maps and the room; no load reaches behind the part's channels.
            unsafe {
                if inside && left >= L::LEN {
                    // The places of a tile inside of the map are at fixed distances.
                    let row = part.tiles.read.width * part.tiles.read.channels;
                    let from = x.add(places[0][0].unwrap_or_default() + part.channel + c);
                    let load = |i: usize, j: usize| {
                        L::load(from.add(i * row + j * part.tiles.read.channels))
                    };
                    input_tile(load, to, stride);
                } else {
                    let load = |i: usize, j: usize| match places[i][j] {
                        Some(place) => L::load_up_to(x.add(place + part.channel + c), left),
                        None => L::zero(),
                    };
                    input_tile(load, to, stride);
                }
            }
            c += L::LEN;
        }
    }
}

/// Writes the values of one tile.
#[expect(
    clippy::needless_range_loop,
    reason = "iterators over both rows keep the compiler from holding them in registers"
)]
#[inline(always)]
unsafe fn input_tile<L: Lanes>(load: impl Fn(usize, usize) -> L, out: *mut f32, stride: usize) {
    // SAFETY: the caller answers for the processor and the room behind `out`.
    unsafe {
        for pair in 0..PAIRS {
            let mut rows = [[L::zero(); INPUT]; 2];
            for j in 0..INPUT {
                // Rows that a pair does not need are not loaded: the compiler drops them.
                let [a, b] = input_pair(pair, std::array::from_fn(|i| load(i, j)));
                rows[0][j] = a;
                rows[1][j] = b;
            }
            for (i, row) in rows.into_iter().enumerate() {
                for (j, value) in input(row).into_iter().enumerate() {
                    value.store(out.add(((2 * pair + i) * INPUT + j) * stride));
                }
            }
        }
    }
}

for_processor! {
    /// Transforms the gradients of a part's outputs to `out`.
    ///
    /// # Safety
    /// `dy` holds the maps that the tiles write; `out` has room for the values of the part in its space.
    pub(super) unsafe fn transform_output_gradients(part: &Part, dy: *const f32, out: *mut f32) = output_gradients_with
}

#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "iterators over both rows keep the compiler from holding them in registers"
)]
unsafe fn output_gradients_with<L: Lanes>(part: &Part, dy: *const f32, out: *mut f32) {
    let stride = part.space.stride;
    for tile in 0..part.count {
        let places = part.tiles.outputs(part.first + tile);
        let mut c = 0;
        while c < part.channels {
            let left = part.channels - c;
            let to = out.wrapping_add(tile * part.space.channels + c);
            // SAFETY: as in `inputs_with`.
            unsafe {
                let load = |i: usize, j: usize| match places[i][j] {
                    Some(place) => L::load_up_to(dy.add(place + part.channel + c), left),
                    None => L::zero(),
                };
                for pair in 0..PAIRS {
                    let mut rows = [[L::zero(); OUTPUT]; 2];
                    for j in 0..OUTPUT {
                        let [a, b] =
                            output_gradient_pair(pair, std::array::from_fn(|i| load(i, j)));
                        rows[0][j] = a;
                        rows[1][j] = b;
                    }
                    for (i, row) in rows.into_iter().enumerate() {
                        for (j, value) in output_gradient(row).into_iter().enumerate() {
                            value.store(to.add(((2 * pair + i) * INPUT + j) * stride));
                        }
                    }
                }
            }
            c += L::LEN;
        }
    }
}

for_processor! {
    /// Transforms the products of a part's tiles, in `products`, back to outputs, and adds `bias` (of the part's channels)
    /// where it is not null.
    ///
    /// # Safety
    /// `products` holds the values of the part in its space; `y` has room for the maps that the tiles write, of which
    /// nobody else writes these tiles' channels.
    pub(super) unsafe fn transform_products(part: &Part, products: *const f32, bias: *const f32, y: *mut f32) = products_with
}

#[inline(always)]
unsafe fn products_with<L: Lanes>(
    part: &Part,
    products: *const f32,
    bias: *const f32,
    y: *mut f32,
) {
    for tile in 0..part.count {
        let places = part.tiles.outputs(part.first + tile);
        let inside = places.iter().flatten().all(Option::is_some);
        let mut c = 0;
        while c < part.channels {
            let left = part.channels - c;
            // SAFETY: as in `inputs_with`.
            unsafe {
                let from = products.add(tile * part.space.channels + c);
                let shift = if bias.is_null() {
                    L::zero()
                } else {
                    L::load_up_to(bias.add(c), left)
                };
                let mut rows = [[L::zero(); INPUT]; OUTPUT];
                for j in 0..INPUT {
                    let column = std::array::from_fn(|i| {
                        L::load(from.add((i * INPUT + j) * part.space.stride))
                    });
                    for (row, value) in rows.iter_mut().zip(output(column)) {
                        row[j] = value;
                    }
                }
                for (row, places) in rows.into_iter().zip(places) {
                    for (value, place) in output(row).into_iter().zip(places) {
                        let Some(place) = place else { continue };
                        let to = y.add(place + part.channel + c);
                        let value = value.add(shift);
                        if inside && left >= L::LEN {
                            value.store(to);
                        } else {
                            value.store_up_to(to, left);
                        }
                    }
                }
            }
            c += L::LEN;
        }
    }
}
