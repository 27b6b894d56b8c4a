//! The generated source.

use graft_data::{
    DataFolders, GeneratedSpec, GeneratedTask, Source, SourceSpec, Split, Target, open,
};

fn spec(task: GeneratedTask, seed: u64) -> GeneratedSpec {
    GeneratedSpec {
        task,
        side: 32,
        train: 30,
        val: 20,
        test: 0,
        seed,
    }
}

fn source(spec: GeneratedSpec) -> std::sync::Arc<dyn Source> {
    let folders = DataFolders {
        search: Vec::new(),
        download_into: "data".into(),
        offline: true,
    };
    open(&SourceSpec::Generated(spec), &folders).unwrap()
}

#[test]
fn pictures_depend_on_seed_task_split_and_number_alone() {
    let load = |task, seed, split, index| source(spec(task, seed)).load(split, index).unwrap();
    let base = load(GeneratedTask::Source, 0, Split::Train, 0);
    assert_eq!(
        (base.width, base.height, base.rgb.len()),
        (32, 32, 32 * 32 * 3)
    );
    assert_eq!(base, load(GeneratedTask::Source, 0, Split::Train, 0));
    for other in [
        load(GeneratedTask::Target, 0, Split::Train, 0),
        load(GeneratedTask::Source, 1, Split::Train, 0),
        load(GeneratedTask::Source, 0, Split::Val, 0),
        load(GeneratedTask::Source, 0, Split::Train, 10),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn satellite_tiles_have_numbers() {
    let night = source(spec(GeneratedTask::NightBrightness, 0));
    let poverty = source(spec(GeneratedTask::Poverty, 0));
    assert_eq!(night.target(), Target::Number);
    assert!(night.classes().is_empty());
    let numbers = |source: &dyn Source| -> Vec<f32> {
        (0..30)
            .map(|i| source.answer(Split::Train, i).number().unwrap())
            .collect()
    };
    let found = numbers(&*night);
    assert!(found.iter().all(|number| (0.0..=1.0).contains(number)));
    assert_eq!(
        found,
        numbers(&*source(spec(GeneratedTask::NightBrightness, 0)))
    );
    assert_ne!(found, numbers(&*poverty));
    let tile = night.load(Split::Train, 3).unwrap();
    assert_eq!(tile, night.load(Split::Train, 3).unwrap());
    assert_ne!(tile, poverty.load(Split::Train, 3).unwrap());
    assert_eq!(poverty.name(Split::Val, 7), "poverty/val/00007");
    assert_ne!(night.fingerprint().unwrap(), poverty.fingerprint().unwrap());
    // One picture is enough to learn from where there are no classes, and two to judge by.
    let mut one = spec(GeneratedTask::Poverty, 0);
    (one.train, one.val) = (1, 2);
    assert_eq!(source(one.clone()).len(Split::Train), 1);
    one.val = 1;
    let folders = DataFolders {
        search: Vec::new(),
        download_into: "data".into(),
        offline: true,
    };
    let error = open(&SourceSpec::Generated(one), &folders).err().unwrap();
    assert!(
        error.to_string().starts_with(
            "R² needs at least two different numbers in validation, and `val` is 1\nhint: "
        ),
        "{error}"
    );
}

#[test]
fn classes_are_balanced_and_tasks_share_none() {
    let (many, few) = (
        source(spec(GeneratedTask::Source, 0)),
        source(spec(GeneratedTask::Target, 0)),
    );
    assert_eq!((many.classes().len(), few.classes().len()), (10, 3));
    assert!(
        few.classes()
            .iter()
            .all(|class| !many.classes().contains(class))
    );
    for class in 0..10 {
        let of_class = (0..30).filter(|&i| many.label(Split::Train, i) == Some(class));
        assert_eq!(of_class.count(), 3);
    }
    assert_eq!(few.name(Split::Val, 7), "target/val/00007");
}

#[test]
fn the_fingerprint_is_the_spec() {
    let base = source(spec(GeneratedTask::Source, 0))
        .fingerprint()
        .unwrap();
    assert_eq!(base.len(), 64);
    assert_eq!(
        base,
        source(spec(GeneratedTask::Source, 0))
            .fingerprint()
            .unwrap()
    );
    assert_ne!(
        base,
        source(spec(GeneratedTask::Source, 1))
            .fingerprint()
            .unwrap()
    );
    let mut larger = spec(GeneratedTask::Source, 0);
    larger.side = 48;
    assert_ne!(base, source(larger).fingerprint().unwrap());
}

#[test]
fn a_test_split_is_there_if_asked_for() {
    let without = source(spec(GeneratedTask::Target, 0));
    assert!(!without.has_test() && without.is_empty(Split::Test));
    let mut asked = spec(GeneratedTask::Target, 0);
    asked.test = 6;
    let with = source(asked);
    assert_eq!((with.has_test(), with.len(Split::Test)), (true, 6));
    assert_ne!(with.fingerprint().unwrap(), without.fingerprint().unwrap());
    let first = |split| with.load(split, 0).unwrap();
    assert!(first(Split::Test) != first(Split::Val) && first(Split::Test) != first(Split::Train));
}

/// What the pictures of today hash to. Trials that are finished would be run again if it changed.
#[test]
fn the_fingerprint_of_two_splits_stays() {
    let text = "graft generated 1 target side 32 train 30 val 20 seed 0";
    let found = source(spec(GeneratedTask::Target, 0))
        .fingerprint()
        .unwrap();
    assert_eq!(found, blake3::hash(text.as_bytes()).to_hex().to_string());
}

#[test]
fn sizes_out_of_range_are_refused() {
    let refuse = |spec| graft_data::Generated::new(&spec).unwrap_err().to_string();
    let mut small = spec(GeneratedTask::Source, 0);
    small.side = 4;
    assert!(refuse(small).contains("`side` goes from 16 to 512"));
    let mut few = spec(GeneratedTask::Source, 0);
    few.val = 9;
    assert!(refuse(few).contains("9 generated pictures can't be the val split of 10 classes"));
}
