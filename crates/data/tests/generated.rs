//! The generated source.

use graft_data::{DataFolders, GeneratedSpec, GeneratedTask, Source, SourceSpec, Split, open};

fn spec(task: GeneratedTask, seed: u64) -> GeneratedSpec {
    GeneratedSpec {
        task,
        side: 32,
        train: 30,
        val: 20,
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
        let of_class = (0..30).filter(|&i| many.label(Split::Train, i) == class);
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
fn sizes_out_of_range_are_refused() {
    let refuse = |spec| graft_data::Generated::new(&spec).unwrap_err().to_string();
    let mut small = spec(GeneratedTask::Source, 0);
    small.side = 4;
    assert!(refuse(small).contains("`side` goes from 16 to 512"));
    let mut few = spec(GeneratedTask::Source, 0);
    few.val = 9;
    assert!(refuse(few).contains("9 generated pictures can't be the val split of 10 classes"));
}
