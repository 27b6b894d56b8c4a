//! Parts of the training pictures: nested, stratified, drawn anew in each repeat.

use std::sync::Arc;

use graft_data::{
    Answer, DataError, Generated, GeneratedSpec, GeneratedTask, Loader, LoaderOptions,
    MemoryBudget, Normalization, Picture, PictureCache, Source, Split, Step, Subset, Target,
    Transform, TransformSpec, Views,
};

/// 3 classes with 20 or 21 training pictures each.
fn source() -> Generated {
    Generated::new(&GeneratedSpec {
        task: GeneratedTask::Target,
        side: 16,
        train: 61,
        val: 7,
        test: 4,
        seed: 0,
    })
    .unwrap()
}

/// The same pictures with numbers.
struct Numbers(Generated);

impl Source for Numbers {
    fn target(&self) -> Target {
        Target::Number
    }
    fn classes(&self) -> &[String] {
        &[]
    }
    fn len(&self, split: Split) -> usize {
        self.0.len(split)
    }
    fn answer(&self, _: Split, index: usize) -> Answer {
        Answer::Number(index as f32)
    }
    fn name(&self, split: Split, index: usize) -> String {
        self.0.name(split, index)
    }
    fn load(&self, split: Split, index: usize) -> Result<Picture, DataError> {
        self.0.load(split, index)
    }
    fn fingerprint(&self) -> Result<String, DataError> {
        self.0.fingerprint()
    }
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

fn picked(subset: Subset, source: &dyn Source, repeat: u64) -> Vec<usize> {
    let picked = subset.pick(source, 7, repeat).unwrap().unwrap();
    assert!(picked.is_sorted());
    assert_eq!(subset.count(source).unwrap(), picked.len());
    picked
}

#[test]
fn smaller_subsets_are_parts_of_larger_ones() {
    let source = source();
    let mut larger: Vec<usize> = (0..61).collect();
    for size in [20, 10, 5, 1] {
        let subset = picked(Subset::PerClass(size), &source, 1);
        assert!(subset.iter().all(|picture| larger.contains(picture)));
        for class in 0..3 {
            let of_class = |&&i: &&usize| source.label(Split::Train, i) == Some(class);
            assert_eq!(subset.iter().filter(of_class).count(), size);
        }
        larger = subset;
    }
    let fifth = picked(Subset::Fraction(0.2), &source, 1);
    let half = picked(Subset::Fraction(0.5), &source, 1);
    // 21, 20 and 20 pictures: rounded class by class.
    assert_eq!((fifth.len(), half.len()), (4 + 4 + 4, 11 + 10 + 10));
    assert!(fifth.iter().all(|picture| half.contains(picture)));
    // Both ways draw from the same order, and no class is left without a picture.
    assert_eq!(fifth, picked(Subset::PerClass(4), &source, 1));
    assert_eq!(picked(Subset::Fraction(1e-6), &source, 1).len(), 3);
}

#[test]
fn every_repeat_and_seed_has_its_own() {
    let source = source();
    let subset = Subset::PerClass(5);
    assert_eq!(picked(subset, &source, 1), picked(subset, &source, 1));
    assert_ne!(picked(subset, &source, 1), picked(subset, &source, 2));
    assert_ne!(
        Some(picked(subset, &source, 1)),
        subset.pick(&source, 8, 1).unwrap()
    );
    assert_eq!(Subset::Whole.pick(&source, 7, 1).unwrap(), None);
    assert_eq!(Subset::Whole.count(&source).unwrap(), 61);
}

#[test]
fn what_cannot_be_picked_says_why() {
    let text = Subset::PerClass(21)
        .count(&source())
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("`per_class = 21` is more than there are training pictures: `half` has 20, `arrow` has 20\nhint: "),
        "{text}"
    );
    let numbers = Numbers(source());
    assert_eq!(picked(Subset::Fraction(0.25), &numbers, 1).len(), 15);
    let text = Subset::PerClass(2)
        .pick(&numbers, 0, 1)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("needs classes, and these pictures have numbers"),
        "{text}"
    );
}

#[test]
fn a_loader_shows_the_subset_in_the_places_of_the_whole() {
    let spec = TransformSpec {
        size: 16,
        train: vec![Step::RandomResizedCrop],
        eval: vec![Step::CenterCrop(None)],
        views: Views::Fresh,
    };
    let normalization = Normalization {
        mean: [0.5; 3],
        std: [0.25; 3],
    };
    let cache = PictureCache::new(Arc::new(source()), MemoryBudget::new(1 << 20));
    let options = LoaderOptions {
        batch_size: 4,
        threads: 0,
        look_ahead: 1,
    };
    let transform = Transform::new(&spec, normalization).unwrap();
    let whole = Loader::new(Arc::new(cache), transform, options);
    let kept = picked(Subset::PerClass(3), &source(), 1);
    let part = whole.clone().with_train(Some(kept.clone()));
    assert_eq!(
        (part.pictures(Split::Train), part.batches(Split::Train)),
        (9, 3)
    );
    assert_eq!(
        (part.pictures(Split::Val), part.pictures(Split::Test)),
        (7, 4)
    );
    let inputs = |loader: &Loader| {
        let batches = loader.train_epoch(7, 1, 2, 0).map(Result::unwrap);
        let pictures = batches.flat_map(|batch| {
            let pixels: Vec<Vec<f32>> = batch.pixels.chunks(768).map(<[f32]>::to_vec).collect();
            batch.indices.into_iter().zip(pixels)
        });
        pictures.collect::<Vec<_>>()
    };
    let (all, some) = (inputs(&whole), inputs(&part));
    let mut shown: Vec<usize> = some.iter().map(|(index, _)| *index).collect();
    assert_eq!(shown, part.in_batches_of(2, 1).train_order(7, 1, 2));
    shown.sort_unstable();
    assert_eq!(shown, kept);
    // A picture is cropped as it would be in the whole.
    assert!(some.iter().all(|input| all.contains(input)));
    let seen: Vec<usize> = part
        .evaluation(Split::Train)
        .flat_map(|batch| batch.unwrap().indices)
        .collect();
    assert_eq!(seen, kept);
    assert_eq!(part.evaluation(Split::Test).count(), 1);
}
