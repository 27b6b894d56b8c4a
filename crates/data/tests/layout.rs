//! Layouts of views: who makes inputs by them gets the bytes and numbers that the transform gives.

use std::{collections::BTreeSet, sync::Arc};

use graft_data::{
    Batch, Generated, GeneratedSpec, GeneratedTask, Loader, LoaderOptions, MemoryBudget, Mode,
    Normalization, Origin, Picture, PictureCache, PictureView, Scratch, Shelf, Shelved, Source,
    Split, Transform, TransformError, TransformSpec, ViewLayout, Views, Weights,
};
use graft_stream::{Purpose, Stream};

const NORMALIZATION: Normalization = Normalization {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

fn transform(size: u32, train: &[&str], eval: &[&str]) -> Transform {
    let steps = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect();
    let spec = TransformSpec {
        size,
        train: steps(train),
        eval: steps(eval),
        views: Views::Fresh,
    };
    Transform::new(&spec, NORMALIZATION).unwrap()
}

fn picture(width: u32, height: u32, stream: &mut Stream) -> Picture {
    let rgb = (0..3 * width * height).map(|_| stream.below(256) as u8);
    Picture {
        width,
        height,
        rgb: rgb.collect(),
    }
}

/// Columns and rows, each pixel by its definition.
struct Grid {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

impl Grid {
    fn of(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Self {
            width,
            pixels: places.map(|(x, y)| pixel(x, y)).collect(),
        }
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        self.pixels[y * self.width + x]
    }

    fn height(&self) -> usize {
        self.pixels.len() / self.width.max(1)
    }
}

/// The sum that makes a pixel.
fn weighed(weights: &Weights, place: usize, pixel: impl Fn(usize) -> [u8; 3]) -> [u8; 3] {
    let factors = &weights.factors()[place * weights.stride()..][..weights.stride()];
    std::array::from_fn(|c| {
        let range = weights.ranges()[place].clone();
        let products = range
            .zip(factors)
            .map(|(source, factor)| i64::from(pixel(source)[c]) * i64::from(*factor));
        let sum = products.sum::<i64>() + (1 << (Weights::BITS - 1));
        (sum >> Weights::BITS).clamp(0, 255) as u8
    })
}

fn columns(grid: &Grid, weights: &Weights) -> Grid {
    Grid::of(weights.ranges().len(), grid.height(), |x, y| {
        weighed(weights, x, |source| grid.at(source, y))
    })
}

fn rows(grid: &Grid, weights: &Weights) -> Grid {
    Grid::of(grid.width, weights.ranges().len(), |x, y| {
        weighed(weights, y, |source| grid.at(x, source))
    })
}

/// Makes the input by the layout: bytes, and whether each pixel is erased.
fn render(picture: &Picture, layout: &ViewLayout, size: u32) -> Vec<Option<[u8; 3]>> {
    let (window, part) = (layout.window, layout.part());
    let mut grid = Grid::of(window.width as usize, window.height as usize, |x, y| {
        let place = (window.y as usize + y) * picture.width as usize + window.x as usize + x;
        picture.rgb[3 * place..3 * place + 3].try_into().unwrap()
    });
    let (across, down) = (layout.across(), layout.down());
    if part.width > 0 && part.height > 0 {
        let resize_rows = |grid| match &down {
            Some(weights) => rows(&grid, weights),
            None => Grid::of(grid.width, part.height as usize, |x, y| {
                grid.at(x, part.y as usize + y)
            }),
        };
        if layout.columns_come_first() {
            grid = resize_rows(grid);
        }
        grid = match &across {
            Some(weights) => columns(&grid, weights),
            None => Grid::of(part.width as usize, grid.height(), |x, y| {
                grid.at(part.x as usize + x, y)
            }),
        };
        if !layout.columns_come_first() {
            grid = resize_rows(grid);
        }
    }
    let seen = layout.seen;
    let (left, top) = (i64::from(part.x) - seen.x, i64::from(part.y) - seen.y);
    let place = |x: i64, y: i64| {
        let erased = layout.erased.is_some_and(|erased| {
            (erased.x..erased.x + i64::from(erased.width)).contains(&x)
                && (erased.y..erased.y + i64::from(erased.height)).contains(&y)
        });
        let x = if layout.flip {
            i64::from(size) - 1 - x
        } else {
            x
        };
        let (x, y) = (x - left, y - top);
        let inside = |place: i64, length: u32| (0..i64::from(length)).contains(&place);
        let pixel = if inside(x, part.width) && inside(y, part.height) {
            grid.at(x as usize, y as usize)
        } else {
            [0; 3]
        };
        (!erased).then_some(pixel)
    };
    let rows = 0..i64::from(size);
    rows.flat_map(|y| (0..i64::from(size)).map(move |x| (x, y)))
        .map(|(x, y)| place(x, y))
        .collect()
}

/// The numbers that a rendered input has.
fn normalized(pixels: &[Option<[u8; 3]>], transform: &Transform) -> Vec<f32> {
    let value = |pixel: &Option<[u8; 3]>| {
        let channel = |c: usize| match pixel {
            Some(bytes) => transform.values()[c][usize::from(bytes[c])],
            None => 0.0,
        };
        [0, 1, 2].map(channel)
    };
    pixels.iter().flat_map(value).collect()
}

/// Steps that a window can follow, and such as need pixels for some or all draws.
const LISTS: [&[&str]; 16] = [
    &["random-resized-crop", "horizontal-flip"],
    &["resize 41", "center-crop"],
    &["resize 35", "random-crop", "horizontal-flip"],
    &[
        "resize 20",
        "center-crop 60",
        "horizontal-flip",
        "center-crop",
    ],
    &["center-crop 50", "horizontal-flip", "resize 33"],
    &["resize 33", "pad 6", "horizontal-flip", "random-crop"],
    &["horizontal-flip", "center-crop 90", "center-crop"],
    &[
        "random-resized-crop",
        "pad 4",
        "random-crop",
        "horizontal-flip",
    ],
    &[
        "random-resized-crop",
        "horizontal-flip",
        "random-erasing 0.7",
    ],
    &[
        "resize 5",
        "pad 40",
        "horizontal-flip",
        "random-crop",
        "random-erasing 1",
    ],
    &["resize 60", "resize 33", "center-crop"],
    &["vertical-flip", "random-resized-crop"],
    &["random-resized-crop", "color-jitter 0.4 0.4 0.4 0.1"],
    &["center-crop", "pad 4 reflect", "random-crop"],
    &["resize 38", "rotation 15 bilinear", "center-crop"],
    &["rand-augment", "random-resized-crop"],
];

#[test]
fn inputs_made_by_layouts_have_the_bits_of_the_transform() {
    let mut draws = Stream::new(7, Purpose::Generate, &[]);
    let mut scratch = Scratch::default();
    let (mut made, mut both_orders) = ([0; LISTS.len()], BTreeSet::new());
    for trial in 0..25 {
        for (list, steps) in LISTS.iter().enumerate() {
            let transform = transform(33, steps, &["resize 33", "center-crop"]);
            let (width, height) = (1 + draws.below(130) as u32, 1 + draws.below(130) as u32);
            let picture = picture(width, height, &mut draws);
            let stream = Stream::new(1, Purpose::Augment, &[list as u64, trial]);
            let (mut drawn, mut again) = (stream.clone(), stream);
            let mut input = vec![f32::NAN; transform.input_len()];
            let applied = transform.apply(
                &picture,
                Mode::Training,
                &mut again,
                &mut scratch,
                &mut input,
            );
            let layout = transform.layout((width, height), Mode::Training, &mut drawn);
            let layout = match (applied, layout) {
                (Ok(()), Ok(Some(layout))) => layout,
                (Ok(()), Ok(None)) => continue,
                (applied, layout) => {
                    assert_eq!(applied.unwrap_err(), layout.unwrap_err(), "{steps:?}");
                    continue;
                }
            };
            made[list] += 1;
            if layout.across().is_some() && layout.down().is_some() {
                both_orders.insert(layout.columns_come_first());
            }
            let pixels = render(&picture, &layout, 33);
            let found = normalized(&pixels, &transform);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(&found),
                bits(&input),
                "{width} × {height} {steps:?} {layout:?}"
            );
            assert_eq!(drawn.unit_f64(), again.unit_f64(), "{steps:?}");
        }
    }
    // All of the first lists; half of those with a vertical flip; none of those that change bytes.
    assert!(made[..10].iter().all(|&made| made > 10), "{made:?}");
    assert!((2..24).contains(&made[11]), "{made:?}");
    assert!(made[12..].iter().all(|&made| made == 0), "{made:?}");
    assert_eq!(both_orders.len(), 2);
}

#[test]
fn a_crop_that_has_no_room_is_the_same_error() {
    let transform = transform(33, &["pad 4", "random-crop"], &["center-crop"]);
    let mut stream = Stream::from_key(0);
    let error = transform.layout((24, 90), Mode::Training, &mut stream);
    assert!(matches!(
        error,
        Err(TransformError::TooSmall {
            side: 33,
            width: 32,
            height: 98
        })
    ));
}

fn loader(train: &[&str], budget: usize, threads: usize) -> Loader {
    let source = Generated::new(&GeneratedSpec {
        task: GeneratedTask::Target,
        side: 20,
        train: 10,
        val: 7,
        test: 0,
        seed: 3,
    });
    let source: Arc<dyn Source> = Arc::new(source.unwrap());
    let cache = PictureCache::new(source, MemoryBudget::new(budget));
    let options = LoaderOptions {
        batch_size: 4,
        threads,
        look_ahead: 2,
    };
    let transform = transform(16, train, &["resize 18", "center-crop"]);
    Loader::new(Arc::new(cache), transform, options)
}

/// Keeps up to `room` pictures and makes inputs of them.
struct Keeper {
    shelf: Arc<Shelf>,
    pictures: Vec<Arc<Picture>>,
    room: usize,
}

impl Keeper {
    fn new(loader: &Loader, room: usize) -> Self {
        Self {
            shelf: Arc::new(Shelf::new(&**loader.source())),
            pictures: Vec::new(),
            room,
        }
    }

    fn render(&mut self, view: &PictureView, transform: &Transform) -> Vec<f32> {
        let picture = match &view.origin {
            Origin::Shelved(shelved) => &self.pictures[shelved.place],
            Origin::Picture(picture) if self.shelf.get(view.split, view.index).is_some() => picture,
            Origin::Picture(picture) => {
                if self.pictures.len() < self.room {
                    let place = self.pictures.len();
                    let (width, height) = (picture.width, picture.height);
                    let shelved = Shelved {
                        width,
                        height,
                        place,
                    };
                    assert_eq!(self.shelf.put(view.split, view.index, shelved), shelved);
                    self.pictures.push(Arc::clone(picture));
                } else {
                    self.shelf.set_full();
                }
                picture
            }
            Origin::Made(picture) => picture,
        };
        normalized(
            &render(picture, &view.layout, transform.size() as u32),
            transform,
        )
    }

    /// The batch with pixels.
    fn batch(&mut self, mut batch: Batch, transform: &Transform) -> Batch {
        assert_eq!(
            (batch.pixels.len(), batch.views.len()),
            (0, batch.indices.len())
        );
        for view in std::mem::take(&mut batch.views) {
            batch.pixels.extend(self.render(&view, transform));
        }
        batch
    }
}

#[test]
fn batches_of_views_have_the_inputs_of_batches_of_pixels() {
    let resized: &[&str] = &["random-resized-crop", "horizontal-flip"];
    let changed: &[&str] = &["vertical-flip", "random-resized-crop", "random-erasing 0.6"];
    for (train, room, budget) in [
        (resized, 100, 1 << 20),
        (resized, 6, 1 << 20),
        (resized, 0, 0),
        (changed, 100, 0),
        (changed, 5, 1 << 20),
    ] {
        let plain = loader(train, 1 << 20, 0);
        for threads in [0, 2] {
            let loader = loader(train, budget, threads);
            let mut keeper = Keeper::new(&loader, room);
            let seen = loader.clone().with_shelf(Some(Arc::clone(&keeper.shelf)));
            for epoch in 1..4 {
                let expected = plain
                    .train_epoch(5, 1, epoch, 0)
                    .chain(plain.evaluation(Split::Val));
                let found = seen
                    .train_epoch(5, 1, epoch, 0)
                    .chain(seen.evaluation(Split::Val));
                let found: Vec<Batch> = found
                    .map(|batch| keeper.batch(batch.unwrap(), seen.transform()))
                    .collect();
                let expected: Vec<Batch> = expected.map(Result::unwrap).collect();
                assert_eq!(found, expected, "{train:?} {room}");
            }
            let expected: Vec<Batch> = plain
                .views(5, &[(3, 1), (2, 0)])
                .map(Result::unwrap)
                .collect();
            let found = seen.views(5, &[(3, 1), (2, 0)]).map(Result::unwrap);
            let found: Vec<Batch> = found
                .map(|batch| keeper.batch(batch, seen.transform()))
                .collect();
            assert_eq!(found, expected);
            assert!(keeper.pictures.len() <= room);
            // Without a shelf there are pixels again.
            let again = seen.with_shelf(None).evaluation(Split::Val).next();
            assert!(!again.unwrap().unwrap().pixels.is_empty());
        }
    }
}

#[test]
fn pictures_on_the_shelf_are_neither_decoded_nor_made_again() {
    let loader = loader(&["random-resized-crop"], 0, 0);
    let mut keeper = Keeper::new(&loader, 100);
    let seen = loader.with_shelf(Some(Arc::clone(&keeper.shelf)));
    for batch in seen.train_epoch(5, 1, 1, 0) {
        keeper.batch(batch.unwrap(), seen.transform());
    }
    assert_eq!(keeper.pictures.len(), 10);
    for batch in seen.train_epoch(5, 1, 2, 0) {
        for view in batch.unwrap().views {
            let place = keeper.shelf.get(Split::Train, view.index);
            assert_eq!(Some(view.origin), place.map(Origin::Shelved));
        }
    }
    // What a full shelf has no room for comes in the size of the input.
    keeper.shelf.set_full();
    for batch in seen.evaluation(Split::Val) {
        for view in batch.unwrap().views {
            assert!(
                matches!(&view.origin, Origin::Made(made) if made.width == 16),
                "{view:?}"
            );
            assert_eq!(view.layout, ViewLayout::whole(16, 16));
        }
    }
}
