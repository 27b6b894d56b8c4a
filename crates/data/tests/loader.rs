//! The loader: order, draws, determinism, memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use graft_data::{
    Answer, Batch, DataError, Generated, GeneratedSpec, GeneratedTask, Loader, LoaderOptions,
    MemoryBudget, Mode, Normalization, Picture, PictureCache, Scratch, Source, Split, Step,
    Transform, TransformSpec, Views, view,
};
use graft_stream::{Purpose, Stream};

/// The generated source, counting its pictures and failing at one of them.
struct Counting {
    inner: Generated,
    loads: AtomicUsize,
    bad: Option<usize>,
    panics: bool,
}

impl Counting {
    fn new(train: usize) -> Self {
        Self {
            inner: Generated::new(&GeneratedSpec {
                task: GeneratedTask::Target,
                side: 20,
                train,
                val: 7,
                test: 0,
                seed: 3,
            })
            .unwrap(),
            loads: AtomicUsize::new(0),
            bad: None,
            panics: false,
        }
    }
}

impl Source for Counting {
    fn classes(&self) -> &[String] {
        self.inner.classes()
    }
    fn len(&self, split: Split) -> usize {
        self.inner.len(split)
    }
    fn answer(&self, split: Split, index: usize) -> Answer {
        self.inner.answer(split, index)
    }
    fn name(&self, split: Split, index: usize) -> String {
        self.inner.name(split, index)
    }
    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        if split == Split::Train && self.bad == Some(index) {
            assert!(!self.panics, "a picture that makes a decoder panic");
            return Err(DataError::Spec(format!("bad picture {index}")));
        }
        self.inner.load(split, index)
    }
    fn fingerprint(&self) -> Result<String, DataError> {
        self.inner.fingerprint()
    }
    fn notes(&self) -> Vec<String> {
        self.inner.notes()
    }
}

fn transform() -> Transform {
    transform_with(Views::Fresh)
}

fn transform_with(views: Views) -> Transform {
    let spec = TransformSpec {
        size: 16,
        train: vec![Step::RandomResizedCrop, Step::HorizontalFlip],
        eval: vec![Step::Resize(18), Step::CenterCrop(None)],
        views,
    };
    let normalization = Normalization {
        mean: [0.5; 3],
        std: [0.25; 3],
    };
    Transform::new(&spec, normalization).unwrap()
}

fn loader(source: Counting, budget: usize, threads: usize) -> (Arc<Counting>, Loader) {
    let source = Arc::new(source);
    let cache = PictureCache::new(
        Arc::clone(&source) as Arc<dyn Source>,
        MemoryBudget::new(budget),
    );
    let options = LoaderOptions {
        batch_size: 4,
        threads,
        look_ahead: 3,
    };
    (source, Loader::new(Arc::new(cache), transform(), options))
}

fn epoch(loader: &Loader, epoch: u64, skip: usize) -> Vec<Batch> {
    loader
        .train_epoch(5, 1, epoch, skip)
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn order_and_draws_are_those_of_the_streams() {
    let (source, loader) = loader(Counting::new(10), 0, 0);
    let order = Stream::new(5, Purpose::Shuffle, &[1, 2]).permutation(10);
    let batches = epoch(&loader, 2, 0);
    assert_eq!(loader.batches(Split::Train), 3);
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.labels.len()).collect();
    assert_eq!(sizes, [4, 4, 2]);
    let found: Vec<usize> = batches
        .iter()
        .flat_map(|batch| batch.indices.clone())
        .collect();
    assert_eq!(found, order);
    for batch in &batches {
        assert_eq!(
            (batch.size, batch.pixels.len()),
            (16, batch.labels.len() * 3 * 256)
        );
        for (k, &index) in batch.indices.iter().enumerate() {
            assert_eq!(Some(batch.labels[k]), source.label(Split::Train, index));
            let mut expected = vec![0.0; 3 * 256];
            let mut stream = Stream::new(5, Purpose::Augment, &[1, 2, index as u64]);
            let picture = source.inner.load(Split::Train, index).unwrap();
            transform()
                .apply(
                    &picture,
                    Mode::Training,
                    &mut stream,
                    &mut Scratch::default(),
                    &mut expected,
                )
                .unwrap();
            assert_eq!(batch.pixels[k * 768..(k + 1) * 768], expected);
        }
    }
}

#[test]
fn threads_and_memory_change_nothing() {
    let (_, reference) = loader(Counting::new(30), 0, 0);
    let expected: Vec<Vec<Batch>> = (0..3).map(|e| epoch(&reference, e, 0)).collect();
    assert_ne!(expected[0], expected[1]);
    let judged: Vec<Batch> = reference
        .evaluation(Split::Val)
        .map(Result::unwrap)
        .collect();
    for threads in [0, 1, 2, 4] {
        for budget in [0, 20_000, 1 << 20] {
            let (_, loader) = loader(Counting::new(30), budget, threads);
            for (e, expected) in expected.iter().enumerate() {
                assert_eq!(&epoch(&loader, e as u64, 0), expected);
                assert_eq!(epoch(&loader, e as u64, 5), expected[5..]);
                for _ in 0..2 {
                    let found: Vec<Batch> =
                        loader.evaluation(Split::Val).map(Result::unwrap).collect();
                    assert_eq!(found, judged);
                }
            }
        }
    }
}

#[test]
fn a_picture_is_decoded_once_while_the_budget_lasts() {
    let (source, roomy) = loader(Counting::new(12), 1 << 20, 2);
    for e in 0..3 {
        epoch(&roomy, e, 0);
    }
    assert_eq!(source.loads.load(Ordering::Relaxed), 12);
    // A picture takes 1200 bytes: five fit.
    let (source, tight) = loader(Counting::new(12), 6100, 0);
    for e in 0..3 {
        epoch(&tight, e, 0);
    }
    assert_eq!(source.loads.load(Ordering::Relaxed), 12 + 7 + 7);
}

#[test]
fn the_budget_is_given_back() {
    let source = Arc::new(Counting::new(12));
    let budget = MemoryBudget::new(1 << 20);
    let cache = PictureCache::new(source as Arc<dyn Source>, Arc::clone(&budget));
    let options = LoaderOptions {
        batch_size: 4,
        threads: 2,
        look_ahead: 2,
    };
    let loader = Loader::new(Arc::new(cache), transform(), options);
    assert_eq!(loader.evaluation(Split::Val).count(), 2);
    assert_eq!(budget.used(), 7 * (20 * 20 * 3 + 16 * 16 * 3));
    drop(loader);
    assert_eq!(budget.used(), 0);
}

#[test]
fn an_error_comes_in_its_place_and_ends_the_epoch() {
    for threads in [0, 1, 3] {
        let mut source = Counting::new(30);
        let order = Stream::new(5, Purpose::Shuffle, &[1, 0]).permutation(30);
        source.bad = Some(order[9]);
        let (_, loader) = loader(source, 0, threads);
        let results: Vec<_> = loader.train_epoch(5, 1, 0, 0).collect();
        assert_eq!(results.len(), 3, "{threads} threads");
        assert!(results[0].is_ok() && results[1].is_ok());
        let text = results[2].as_ref().unwrap_err().to_string();
        assert_eq!(text, format!("bad picture {}", order[9]));
    }
}

#[test]
fn a_panic_in_a_thread_is_an_error_and_no_hang() {
    let mut source = Counting::new(8);
    source.bad = Some(0);
    source.panics = true;
    let (_, loader) = loader(source, 0, 1);
    let last = loader.train_epoch(5, 1, 0, 0).last().unwrap();
    assert!(matches!(last, Err(DataError::Thread { .. })));
}

#[test]
fn dropping_the_iterator_stops_the_threads() {
    let (source, loader) = loader(Counting::new(3000), 0, 2);
    let mut batches = loader.train_epoch(5, 1, 0, 0);
    assert!(batches.next().unwrap().is_ok());
    drop(batches);
    let loads = source.loads.load(Ordering::Relaxed);
    // At most the look-ahead beyond what was taken.
    assert!(loads <= 4 * 4 + 4, "{loads} pictures were loaded");
    assert_eq!(loader.train_epoch(5, 1, 0, 750).count(), 0);
}

#[test]
fn a_picture_has_as_many_inputs_as_views_in_all_repeats_together() {
    let cache = PictureCache::new(
        Arc::new(Counting::new(10)) as Arc<dyn Source>,
        MemoryBudget::new(0),
    );
    let options = LoaderOptions {
        batch_size: 4,
        threads: 2,
        look_ahead: 3,
    };
    let loader = Loader::new(Arc::new(cache), transform_with(Views::Fixed(3)), options);
    let mut inputs: Vec<Vec<Vec<f32>>> = vec![Vec::new(); 10];
    for repeat in 1..4 {
        let orders: Vec<Vec<usize>> = (1..6).map(|e| loader.train_order(5, repeat, e)).collect();
        assert_ne!(orders[0], orders[1]);
        for (e, order) in (1..).zip(&orders) {
            let batches: Vec<Batch> = loader
                .train_epoch(5, repeat, e, 0)
                .map(Result::unwrap)
                .collect();
            // The same pictures, asked for view by view and in other batches.
            let pairs: Vec<(usize, u32)> = order
                .iter()
                .map(|&i| (i, view(3, 5, repeat, e, i as u64)))
                .collect();
            let views: Vec<f32> = loader
                .in_batches_of(7, 1)
                .views(5, &pairs)
                .flat_map(|batch| batch.unwrap().pixels)
                .collect();
            let pixels: Vec<f32> = batches.iter().flat_map(|b| b.pixels.clone()).collect();
            assert_eq!(pixels, views);
            for (&index, input) in order.iter().zip(pixels.chunks_exact(768)) {
                if !inputs[index].iter().any(|known| known == input) {
                    inputs[index].push(input.to_vec());
                }
            }
        }
    }
    let counts: Vec<usize> = inputs.iter().map(Vec::len).collect();
    assert_eq!(counts, [3; 10]);
}

#[test]
fn some_pictures_are_judged_as_in_the_whole_split() {
    let (_, loader) = loader(Counting::new(4), 1 << 20, 1);
    let all: Vec<f32> = loader
        .evaluation(Split::Val)
        .flat_map(|batch| batch.unwrap().pixels)
        .collect();
    let some: Vec<Batch> = loader
        .evaluation_of(Split::Val, vec![6, 2])
        .map(Result::unwrap)
        .collect();
    assert_eq!((some.len(), &some[0].indices[..]), (1, &[6, 2][..]));
    assert_eq!(some[0].pixels[..768], all[6 * 768..7 * 768]);
    assert_eq!(some[0].pixels[768..], all[2 * 768..3 * 768]);
}
