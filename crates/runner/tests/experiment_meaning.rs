//! What an experiment file means: defaults, what variants override, and the grid.

mod experiment_support;

use experiment_support::{GOOD, Session};
use graft_data::{GeneratedTask, OnBadImage, SourceSpec, Views};
use graft_model::{BatchNormMode, TransferMode, WeightsSpec};
use graft_runner::experiment::{Experiment, Settings};
use graft_trainer::OptimizerSpec;

fn load(text: &str) -> Experiment {
    Session::with(text).load()
}

fn settings<'e>(experiment: &'e Experiment, variant: &str) -> &'e Settings {
    &experiment.variant(variant).unwrap().settings[0]
}

fn steps(steps: &[graft_data::Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

#[test]
fn every_default_is_filled_in() {
    let experiment = load(
        r#"
        name = "x"
        [data]
        source = "image-folder"
        path = "p"
        [train]
        epochs = 1
        batch_size = 2
        optimizer = { kind = "sgd", lr = 1 }
        [[variant]]
        name = "a"
        model = { kind = "convnet" }
        [[variant]]
        name = "b"
        model = { kind = "resnet18", weights = "file:w" }
        [[variant]]
        name = "c"
        model = { kind = "resnet18", weights = "file:w" }
        transfer = "frozen"
        "#,
    );
    assert_eq!((experiment.repeats, experiment.seed), (1, 0));
    assert_eq!(experiment.reference, "a");
    assert_eq!(experiment.cells, ["base"]);
    let SourceSpec::ImageFolder(folder) = &experiment.source else {
        panic!("{:?}", experiment.source);
    };
    assert_eq!(
        (&*folder.splits.train, &*folder.splits.val),
        ("train", "val")
    );
    assert_eq!(folder.url, None);
    assert!(!folder.exif_orientation);
    assert_eq!(folder.on_bad_image, OnBadImage::Error);

    let a = settings(&experiment, "a");
    assert_eq!(a.transform.size, 224);
    assert_eq!(
        steps(&a.transform.train),
        ["random-resized-crop", "horizontal-flip"]
    );
    assert_eq!(steps(&a.transform.eval), ["resize 256", "center-crop"]);
    assert_eq!(
        a.train.optimizer,
        OptimizerSpec::Sgd {
            lr: 1.0,
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false
        }
    );
    assert_eq!(a.weights, None);
    assert!(a.model.options.contains_key("dropout"));
    let transfer = |name| {
        let transfer = &settings(&experiment, name).transfer;
        (transfer.mode, transfer.batch_norm, transfer.head_lr)
    };
    assert_eq!(
        transfer("a"),
        (TransferMode::FineTune, BatchNormMode::Batch, 1.0)
    );
    assert_eq!(
        transfer("b"),
        (TransferMode::FineTune, BatchNormMode::Batch, 1.0)
    );
    assert_eq!(
        transfer("c"),
        (TransferMode::Frozen, BatchNormMode::Running, 1.0)
    );
}

#[test]
fn generated_pictures_give_the_size() {
    let experiment = load(
        r#"
        name = "x"
        [data]
        source = "generated"
        task = "target"
        side = 48
        train = 10
        val = 5
        [train]
        epochs = 1
        batch_size = 2
        optimizer = { kind = "sgd", lr = 1 }
        [[variant]]
        name = "a"
        model = { kind = "convnet" }
        "#,
    );
    let SourceSpec::Generated(generated) = &experiment.source else {
        panic!("{:?}", experiment.source);
    };
    assert_eq!(generated.task, GeneratedTask::Target);
    assert_eq!(
        (
            generated.side,
            generated.train,
            generated.val,
            generated.seed
        ),
        (48, 10, 5, 0)
    );
    assert_eq!(settings(&experiment, "a").transform.size, 48);
}

#[test]
fn a_variant_overrides_key_by_key() {
    let experiment = load(&format!(
        r#"{GOOD}
        batch_norm = "batch"
        head_lr = 10
        train = {{ epochs = 5 }}
        [variant.data.transform]
        size = 96
        [[variant]]
        name = "fast"
        model = {{ kind = "convnet" }}
        [variant.train.optimizer]
        lr = 0.1
        weight_decay = 1e-4
        "#
    ));
    let scratch = settings(&experiment, "scratch");
    assert_eq!((scratch.train.epochs, scratch.train.batch_size), (20, 4));
    let frozen = settings(&experiment, "frozen");
    assert_eq!((frozen.train.epochs, frozen.train.batch_size), (5, 4));
    assert_eq!(frozen.transform.size, 96);
    assert_eq!(steps(&frozen.transform.eval), ["resize 110", "center-crop"]);
    assert_eq!(frozen.transfer.batch_norm, BatchNormMode::Batch);
    assert_eq!(frozen.transfer.head_lr, 10.0);
    assert_eq!(
        settings(&experiment, "fast").train.optimizer,
        OptimizerSpec::Sgd {
            lr: 0.1,
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: false
        }
    );
}

#[test]
fn what_every_variant_has_need_not_be_in_the_file_as_well() {
    let optimizer = "optimizer = { kind = \"sgd\", lr = 1e-4, momentum = 0.9 }\n";
    let mut text = GOOD.replace(optimizer, "");
    for (name, lr) in [("scratch", 0.1), ("pretrained", 0.2), ("frozen", 0.3)] {
        let own =
            format!("name = \"{name}\"\ntrain = {{ optimizer = {{ kind = \"sgd\", lr = {lr} }} }}");
        text = text.replace(&format!("name = \"{name}\""), &own);
    }
    let experiment = load(&text);
    let lr = settings(&experiment, "frozen").train.optimizer.lr();
    assert_eq!(lr, 0.3);
    let text = GOOD.replace("lr = 1e-4, ", "") + "[grid]\ntrain.optimizer.lr = [0.1, 0.2]\n";
    assert_eq!(load(&text).cells, ["lr=0.1", "lr=0.2"]);
}

#[test]
fn a_grid_multiplies_every_variant() {
    let experiment = load(&format!(
        "{GOOD}\n[grid]\n\"train.optimizer.lr\" = [1e-4, 1]\n\"train.batch_size\" = [8, 16]\n\
         \"data.transform.size\" = [64]\nhead_lr = [10]\n"
    ));
    assert_eq!(
        experiment.cells,
        [
            "lr=0.0001,batch_size=8,size=64,head_lr=10",
            "lr=0.0001,batch_size=16,size=64,head_lr=10",
            "lr=1,batch_size=8,size=64,head_lr=10",
            "lr=1,batch_size=16,size=64,head_lr=10",
        ]
    );
    for variant in &experiment.variants {
        let seen: Vec<_> = variant
            .settings
            .iter()
            .map(|settings| {
                let OptimizerSpec::Sgd { lr, momentum, .. } = settings.train.optimizer else {
                    panic!("another optimizer")
                };
                assert_eq!(momentum, 0.9);
                assert_eq!(settings.transfer.head_lr, 10.0);
                assert_eq!(steps(&settings.transform.eval)[0], "resize 73");
                (lr, settings.train.batch_size)
            })
            .collect();
        assert_eq!(seen, [(1e-4, 8), (1e-4, 16), (1.0, 8), (1.0, 16)]);
    }
}

#[test]
fn sizes_and_transforms_may_come_from_different_places() {
    let eval = "eval = [\"resize 72\", \"center-crop 64\"]";
    let text = GOOD.replace("size = 224", eval);
    let experiment = load(&format!("{text}[grid]\n\"data.transform.size\" = [64]\n"));
    assert_eq!(settings(&experiment, "frozen").transform.size, 64);
}

#[test]
fn a_grid_wins_over_what_a_variant_overrides() {
    let experiment = load(&format!(
        "{GOOD}train = {{ epochs = 5 }}\n[grid]\n\"train.epochs\" = [1, 2]\n"
    ));
    let epochs = |settings: &Settings| settings.train.epochs;
    let frozen = &experiment.variant("frozen").unwrap().settings;
    assert_eq!(frozen.iter().map(epochs).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn options_of_a_network_can_be_an_axis() {
    let text = &GOOD[..GOOD.find("[[variant]]\nname = \"pretrained\"").unwrap()];
    let experiment = load(&format!(
        "{text}[grid]\nmodel.depth = [[4], [4, 8]]\nmodel.dropout = [0, 0.5]\n"
    ));
    assert_eq!(
        experiment.cells,
        [
            "depth=[4],dropout=0",
            "depth=[4],dropout=0.5",
            "depth=[4 8],dropout=0",
            "depth=[4 8],dropout=0.5"
        ]
    );
    let model = &experiment.variants[0].settings[1].model;
    assert_eq!(model.options["depth"].to_string(), "[4]");
    assert_eq!(model.options["dropout"].as_float(), Some(0.5));
    assert_eq!(model.options["hidden"].as_integer(), Some(512));
}

#[test]
fn statistics_follow_a_transfer_mode_on_an_axis() {
    let start = GOOD.find("[[variant]]\nname = \"pretrained\"").unwrap();
    let first = GOOD.find("[[variant]]").unwrap();
    let text = format!("{}{}", &GOOD[..first], &GOOD[start..]);
    let text = format!("{text}[grid]\ntransfer = [\"fine-tune\", \"frozen\"]\n");
    let experiment = load(&text);
    for variant in &experiment.variants {
        let modes: Vec<_> = variant
            .settings
            .iter()
            .map(|s| s.transfer.batch_norm)
            .collect();
        assert_eq!(modes, [BatchNormMode::Batch, BatchNormMode::Running]);
    }
    assert_eq!(load(experiment.to_toml()), experiment);
}

#[test]
fn weights_are_read() {
    let session = Session::with(GOOD).set("variant.frozen.model.weights=hf:a/b@c/d.safetensors");
    let experiment = session.load();
    assert_eq!(
        settings(&experiment, "frozen").weights,
        Some(WeightsSpec::Hub {
            repo: "a/b".into(),
            revision: Some("c".into()),
            file: Some("d.safetensors".into())
        })
    );
}

#[test]
fn views_are_fresh_unless_the_file_a_variant_the_grid_or_the_command_line_says_otherwise() {
    let views = |experiment: &Experiment| -> Vec<Views> {
        let settings = experiment.variants.iter().flat_map(|v| &v.settings);
        settings.map(|settings| settings.transform.views).collect()
    };
    assert_eq!(views(&load(GOOD)), [Views::Fresh; 3]);
    let all = load(&GOOD.replace("size = 224", "size = 224\nviews = 20"));
    assert_eq!(views(&all), [Views::Fixed(20); 3]);
    assert!(
        all.to_toml().contains("\nviews = 20\n"),
        "{}",
        all.to_toml()
    );
    let one = load(&format!("{GOOD}data.transform.views = 5\n"));
    let (fresh, fixed) = (Views::Fresh, Views::Fixed);
    assert_eq!(views(&one), [fresh, fresh, fixed(5)]);
    let back = load(&format!(
        "{GOOD}[grid]\n\"data.transform.views\" = [\"fresh\", 2]\n"
    ));
    assert_eq!(
        views(&back),
        [fresh, fixed(2), fresh, fixed(2), fresh, fixed(2)]
    );
    let set = Session::with(GOOD)
        .set("data.transform.views=20")
        .set("variant.scratch.data.transform.views=fresh")
        .load();
    assert_eq!(views(&set), [fresh, fixed(20), fixed(20)]);
}
