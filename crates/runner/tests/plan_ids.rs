//! The id of a trial changes with everything that decides its result, and with nothing else.

mod experiment_support;

use std::collections::BTreeSet;

use experiment_support::{GOOD, Session, plan};
use graft_data::{
    DataSpec, GeneratedSpec, GeneratedTask, SourceSpec, Step, Subset, TransformSpec, Views,
};
use graft_model::{ModelSpec, TransferMode, TransferSpec, WeightsSpec};
use graft_runner::plan::trial_id;
use graft_trainer::{OptimizerSpec, Recipe, TrialSpec};
use proptest::prelude::*;

/// The ids of all trials of an experiment.
fn ids(text: &str) -> Vec<String> {
    let plan = plan(&Session::with(text).load());
    plan.trials.into_iter().map(|trial| trial.key.id).collect()
}

#[test]
fn the_way_a_file_is_written_does_not_count() {
    let expected = ids(GOOD);
    assert_eq!(expected.iter().collect::<BTreeSet<_>>().len(), 6);
    let reordered = r#"
        # The same experiment.
        seed = 0x7
        repeats = 2
        name = "another-name"   # names do not count
        [train]
        optimizer.momentum = 9e-1
        optimizer.lr = 0.000_1
        optimizer.kind = 'sgd'
        batch_size = 4
        epochs = 20
        [[variant]]
        model = { dropout = 0.5, hidden = 512, depth = [4, 8], kind = "convnet" }
        name = "a"
        [[variant]]
        transfer = "fine-tune"
        name = "b"
        [variant.model]
        weights = "hf:timm/resnet18.tv_in1k"
        kind = "resnet18"
        [[variant]]
        batch_norm = "running"
        head_lr = 1
        transfer = "frozen"
        name = "c"
        train = { epochs = 20 }
        model = { weights = "hf:timm/resnet18.tv_in1k", kind = "resnet18" }
        [data]
        path = "pictures"
        source = "image-folder"
        [report]
        reference = "b"
    "#;
    assert_eq!(ids(reordered), expected);
    assert_eq!(ids(Session::with(GOOD).load().to_toml()), expected);
    let more = GOOD.replace("repeats = 2", "repeats = 3");
    assert_eq!(ids(&more)[..6], expected);
    let cell = format!("{GOOD}[grid]\n\"train.optimizer.lr\" = [1e-4]\n");
    assert_eq!(ids(&cell), expected);
}

#[test]
fn everything_that_decides_the_result_counts() {
    let expected = ids(GOOD);
    for (from, to) in [
        ("seed = 7", "seed = 8"),
        ("path = \"pictures\"", "path = \"others\""),
        (
            "path = \"pictures\"",
            "path = \"pictures\"\nexif_orientation = true",
        ),
        (
            "path = \"pictures\"",
            "path = \"pictures\"\non_bad_image = \"skip\"",
        ),
        ("size = 224", "size = 223"),
        (
            "size = 224",
            "size = 224\ntrain = [\"random-resized-crop\"]",
        ),
        ("size = 224", "size = 224\nviews = 20"),
        (
            "size = 224",
            "size = 224\neval = [\"resize 250\", \"center-crop\"]",
        ),
        ("epochs = 20", "epochs = 21"),
        ("batch_size = 4", "batch_size = 5"),
        ("lr = 1e-4", "lr = 1.0000000000000002e-4"),
        ("momentum = 0.9", "momentum = 0.91"),
        ("momentum = 0.9", "momentum = 0.9, weight_decay = 1e-9"),
    ] {
        let changed = ids(&GOOD.replace(from, to));
        for (old, new) in expected.iter().zip(&changed) {
            assert_ne!(old, new, "{to}");
        }
    }
    // What a variant says counts for it alone. Index 0 is scratch, 1 pretrained, 2 frozen.
    let end = "tv_in1k\" }\ntransfer = \"frozen\"";
    for (from, to, index) in [
        ("hidden = 512", "hidden = 511", 0),
        ("depth = [4, 8]", "depth = [8, 4]", 0),
        ("dropout = 0.5", "dropout = 0.25", 0),
        (
            end,
            "tv_in1k\" }\ntransfer = \"frozen\"\nbatch_norm = \"batch\"",
            2,
        ),
        (end, "tv_in1k\" }\ntransfer = \"frozen\"\nhead_lr = 10", 2),
        (end, "tv_in1k\" }\ntransfer = \"fine-tune\"", 2),
        (end, "tv2_in1k\" }\ntransfer = \"frozen\"", 2),
        (
            end,
            "tv_in1k\", cut = \"layer3\" }\ntransfer = \"frozen\"",
            2,
        ),
        (
            end,
            "tv_in1k\", head = { hidden = [8] } }\ntransfer = \"frozen\"",
            2,
        ),
        (end, "tv_in1k\" }\nfreeze = \"layer3\"", 2),
    ] {
        let changed = ids(&GOOD.replace(from, to));
        for (i, (old, new)) in expected.iter().zip(&changed).enumerate() {
            assert_eq!(old != new, i % 3 == index, "{to}");
        }
    }
}

/// A trial in which every part is written out.
fn spec() -> TrialSpec {
    TrialSpec {
        format: 3,
        seed: 7,
        repeat: 3,
        data: DataSpec {
            source: SourceSpec::Generated(GeneratedSpec {
                task: GeneratedTask::Target,
                side: 32,
                train: 60,
                val: 400,
                test: 0,
                seed: 0,
            }),
            subset: Subset::Whole,
            transform: TransformSpec {
                size: 32,
                train: vec![Step::RandomResizedCrop, Step::HorizontalFlip],
                eval: vec![Step::Resize(37), Step::CenterCrop(None)],
                views: Views::Fresh,
            },
        },
        data_fingerprint: "d".to_owned(),
        model: ModelSpec::new(
            "convnet",
            toml::toml! { depth = [16, 32]
            hidden = 128
            dropout = 0.2 },
        ),
        weights: Some(WeightsSpec::File("w.safetensors".to_owned())),
        previous: None,
        weights_fingerprint: Some("w".to_owned()),
        transfer: TransferSpec::of(TransferMode::Frozen),
        recipe: Recipe::new(
            20,
            8,
            OptimizerSpec::Sgd {
                lr: 0.005,
                momentum: 0.9,
                weight_decay: 0.0,
                nesterov: false,
            },
        ),
    }
}

/// This id must not change by accident: all finished trials would be run again. It may change with a new key in a
/// trial, and then the change belongs into the changelog.
#[test]
fn a_known_trial_has_its_known_id() {
    assert_eq!(trial_id(&spec()), "28bf4628c259c622");
}

#[test]
fn where_weights_lie_does_not_count_but_what_they_are_does() {
    let mut moved = spec();
    moved.weights = Some(WeightsSpec::Url("https://h/w.pth".to_owned()));
    assert_eq!(trial_id(&moved), trial_id(&spec()));
    moved.weights_fingerprint = Some("other".to_owned());
    assert_ne!(trial_id(&moved), trial_id(&spec()));
}

#[test]
fn where_pictures_lie_does_not_count_but_what_they_are_does() {
    let id = |path: &str, fingerprint: &str| {
        let session = Session::with(&GOOD.replace(
            "path = \"pictures\"",
            &format!("path = \"{path}\"\nurl = \"https://h/{path}.zip\"\nsplits.val = \"{path}\""),
        ));
        let mut spec = plan(&session.load()).trials[0].spec.clone();
        fingerprint.clone_into(&mut spec.data_fingerprint);
        trial_id(&spec)
    };
    assert_eq!(id("a", "1"), id("b", "1"));
    assert_ne!(id("a", "1"), id("a", "2"));
}

#[test]
fn numbers_are_told_apart_by_their_bits() {
    let with = |dropout: f64| {
        let mut spec = spec();
        spec.model
            .options
            .insert("dropout".to_owned(), dropout.into());
        trial_id(&spec)
    };
    assert_ne!(with(0.1), with(0.1_f64.next_up()));
    assert_eq!(with(0.0), with(-0.0));
}

proptest! {
    /// A trial that went through JSON, as on its way to a worker, is the same trial.
    #[test]
    fn json_keeps_the_id(lr in 1e-12..1e3_f64, dropout in 0.0..1.0_f64) {
        let mut spec = spec();
        spec.model.options.insert("dropout".to_owned(), dropout.into());
        spec.recipe.optimizer = OptimizerSpec::Sgd { lr, momentum: 0.9, weight_decay: 0.0, nesterov: false };
        let text = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(trial_id(&serde_json::from_str(&text).unwrap()), trial_id(&spec));
    }
}
