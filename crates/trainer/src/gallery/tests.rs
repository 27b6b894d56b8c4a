//! Inputs made on a GPU against those of the CPU. They run where `GRAFT_TEST_CUDA=1` is set or a device can be opened.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use graft_data::{
    Answer, Batch, DataError, Loader, LoaderOptions, MemoryBudget, Normalization, Picture,
    PictureCache, Source, Split, Transform, TransformSpec, Views,
};
use graft_ops::cuda::{PictureFilter, PicturePixels, PictureStore, PictureView};
use graft_stream::{Purpose, Stream};

use super::Gallery;
use crate::{Resources, device, feed::Feed};

/// Pictures of noise in all shapes.
struct Noise {
    classes: Vec<String>,
    train: usize,
    val: usize,
}

impl Source for Noise {
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train,
            Split::Val => self.val,
            Split::Test => 0,
        }
    }
    fn answer(&self, _: Split, index: usize) -> Answer {
        Answer::Class(index as u32 % 2)
    }
    fn name(&self, split: Split, index: usize) -> String {
        format!("{split}/{index}")
    }
    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError> {
        let mut stream = Stream::new(split as u64, Purpose::Generate, &[index as u64]);
        let (width, height) = (1 + stream.below(150) as u32, 1 + stream.below(150) as u32);
        let rgb = (0..3 * width * height).map(|_| stream.below(256) as u8);
        let rgb = rgb.collect();
        Ok(Picture { width, height, rgb })
    }
    fn fingerprint(&self) -> Result<String, DataError> {
        Ok("0".repeat(64))
    }
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

fn loader(train: &[&str], eval: &[&str], size: u32) -> Loader {
    let source: Arc<dyn Source> = Arc::new(Noise {
        classes: vec!["a".to_owned(), "b".to_owned()],
        train: 61,
        val: 20,
    });
    let steps = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect();
    let spec = TransformSpec {
        size,
        train: steps(train),
        eval: steps(eval),
        views: Views::Fresh,
    };
    let normalization = Normalization {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
    let cache = PictureCache::new(source, MemoryBudget::new(1 << 20));
    let options = LoaderOptions {
        batch_size: 8,
        threads: 1,
        look_ahead: 2,
    };
    let transform = Transform::new(&spec, normalization).unwrap();
    Loader::new(Arc::new(cache), transform, options)
}

/// Two epochs and two validations.
fn batches(loader: &Loader) -> impl Iterator<Item = Batch> {
    let epochs = (1..3).flat_map(|epoch| {
        let validation = loader.evaluation(Split::Val);
        loader.train_epoch(3, 1, epoch, 0).chain(validation)
    });
    epochs.map(Result::unwrap)
}

fn bits(input: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = input.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// The first GPU; none where there is none and none is demanded.
fn gpu() -> Option<Device> {
    match device::open("cuda") {
        Ok(device) => Some(device),
        Err(error) => {
            let demanded = std::env::var_os("GRAFT_TEST_CUDA").is_some_and(|value| value == "1");
            assert!(!demanded, "no CUDA device: {error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

#[test]
fn inputs_made_on_a_gpu_have_the_bits_of_the_cpu() {
    let _alone = device::alone();
    let Some(device) = gpu() else { return };
    let resized = ["resize 40", "center-crop"];
    for (train, eval, size) in [
        (
            &["random-resized-crop", "horizontal-flip"][..],
            &resized[..],
            32,
        ),
        (
            &["resize 35", "random-crop", "random-erasing 0.7"],
            &["resize 33", "center-crop"],
            33,
        ),
        (
            &["resize 5", "pad 50", "horizontal-flip", "random-crop"],
            &["center-crop"],
            47,
        ),
        (
            &["vertical-flip", "random-resized-crop", "horizontal-flip"],
            &resized,
            36,
        ),
        (
            &[
                "random-resized-crop",
                "color-jitter 0.4 0.4 0.4 0.1",
                "random-erasing 1",
            ],
            &resized,
            24,
        ),
    ] {
        for room in [0, 300_000, 1 << 30] {
            let pixels = loader(train, eval, size);
            let source = pixels.source();
            let gallery = Gallery::with_room(&device, source, room).unwrap();
            let feed = Feed::new(&device, pixels.transform(), Some(gallery)).unwrap();
            let views = pixels.clone().with_shelf(feed.shelf());
            for (expected, batch) in batches(&pixels).zip(batches(&views)) {
                assert_eq!(batch.indices, expected.indices);
                let expected = expected.pixels.iter().map(|value| value.to_bits());
                let mut expected: Vec<u32> = expected.collect();
                assert_eq!(
                    bits(&feed.input(batch.clone()).unwrap()),
                    expected,
                    "{train:?} {room}"
                );
                expected.resize(9 * 3 * (size * size) as usize, 0);
                assert_eq!(bits(&feed.filled(batch, 9).unwrap()), expected);
            }
            let shelf = feed.shelf().unwrap();
            let kept = (0..61)
                .filter(|&i| shelf.get(Split::Train, i).is_some())
                .count();
            assert_eq!(shelf.is_full(), room < 1 << 30);
            match room {
                _ if room == 0 || train[1].starts_with("color") => assert_eq!(kept, 0),
                300_000 => assert!((1..61).contains(&kept), "{kept} pictures fit"),
                // Those that were mirrored top to bottom in both epochs are not kept.
                _ if train[0] == "vertical-flip" => assert!((30..61).contains(&kept), "{kept}"),
                _ => assert_eq!(kept, 61),
            }
        }
    }
}

/// As numbers of 16 bits they are the nearest to those of 32.
#[test]
fn inputs_are_rounded_where_they_are_made() {
    let _alone = device::alone();
    let Some(device) = gpu() else { return };
    let mut store = PictureStore::new(&device, 1 << 20).unwrap();
    let rgb: Vec<u8> = (0..3 * 16 * 16).map(|i| (i % 256) as u8).collect();
    let kept = store.add(&rgb, 16).unwrap().unwrap();
    let view = |pixels| PictureView {
        pixels,
        origin: [0, 3],
        across: PictureFilter::Same(16),
        down: PictureFilter::Same(13),
        columns_first: false,
        corner: [0, 1],
        mirrored: true,
        erased: Some([2..5, 4..9]),
    };
    let bytes = PicturePixels::Bytes {
        rgb: &rgb,
        width: 16,
    };
    let views = [view(PicturePixels::Kept(kept)), view(bytes)];
    let values: Vec<f32> = (0..3 * 256).map(|i| i as f32 / 3.0 - 100.0).collect();
    let values = Tensor::from_vec(values, (3, 256), &device).unwrap();
    let render = |dtype| {
        let inputs = store.render(&views, &values, 16, dtype).unwrap();
        inputs.to_device(&Device::Cpu).unwrap()
    };
    let (wide, narrow) = (render(DType::F32), render(DType::BF16));
    assert_eq!(narrow.dtype(), DType::BF16);
    let rounded = wide.to_dtype(DType::BF16).unwrap();
    let exact = |tensor: &Tensor| bits(&tensor.to_dtype(DType::F32).unwrap());
    assert_eq!(exact(&narrow), exact(&rounded));
    let wide = bits(&wide);
    assert_eq!(wide[..768], wide[768..]);
    // Row 2 of the input is row 4 of the picture, from the right; row 0 is black, and a part is erased.
    let value = |c: usize, byte: u8| ((256 * c + usize::from(byte)) as f32 / 3.0 - 100.0).to_bits();
    assert_eq!(wide[3 * 33 + 1], value(1, rgb[3 * (4 * 16 + 14) + 1]));
    assert_eq!((wide[2], wide[3 * (4 * 16 + 2)]), (value(2, 0), 0));
}

/// A worker keeps those of its last cache.
#[test]
fn pictures_stay_on_a_gpu_from_trial_to_trial() {
    let _alone = device::alone();
    let Some(device) = gpu() else { return };
    let source: Arc<dyn Source> = Arc::new(Noise {
        classes: Vec::new(),
        train: 3,
        val: 2,
    });
    let cache = || Arc::new(PictureCache::new(Arc::clone(&source), MemoryBudget::new(0)));
    let (one, other) = (cache(), cache());
    let mut resources = Resources::default();
    let mut shelf = |cache: &Arc<PictureCache>| {
        let gallery = resources.gallery(cache, &device).unwrap();
        Arc::clone(gallery.expect("there is one on a GPU").shelf())
    };
    let first = shelf(&one);
    assert!(Arc::ptr_eq(&first, &shelf(&one)));
    assert!(!Arc::ptr_eq(&first, &shelf(&other)));
    assert!(resources.gallery(&one, &Device::Cpu).unwrap().is_none());
}
