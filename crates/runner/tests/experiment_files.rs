//! The experiment files that come with the program.

mod experiment_support;

use std::path::{Path, PathBuf};

use experiment_support::plan;
use graft_data::SourceSpec;
use graft_model::{TransferMode, WeightsSpec};
use graft_runner::experiment::Experiment;
use graft_trainer::OptimizerSpec;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments")
}

fn load(name: &str) -> Experiment {
    Experiment::load(&folder().join(format!("{name}.toml")), &[]).unwrap_or_else(|p| panic!("{p}"))
}

#[test]
fn every_file_is_good_and_named_as_its_experiment() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(load(stem).name, stem);
            count += 1;
        }
    }
    assert!(count >= 5, "{count} experiments");
}

#[test]
fn beeant_is_the_published_protocol() {
    for (name, kind, weights) in [
        ("beeant", "resnet18", "hf:timm/resnet18.tv_in1k"),
        (
            "beeant-squeezenet",
            "squeezenet1_1",
            "file:squeezenet1_1-imagenet.safetensors",
        ),
    ] {
        let experiment = load(name);
        let names: Vec<_> = experiment
            .variants
            .iter()
            .map(|v| v.name.as_str())
            .collect();
        assert_eq!(names, ["scratch", "pretrained", "frozen"]);
        assert_eq!(
            (experiment.repeats, &*experiment.reference),
            (10, "scratch")
        );
        for variant in &experiment.variants {
            let [settings] = variant.settings.as_slice() else {
                panic!("{name} has a grid");
            };
            assert_eq!((settings.train.epochs, settings.train.batch_size), (20, 4));
            assert_eq!(
                settings.train.optimizer,
                OptimizerSpec::Sgd {
                    lr: 1e-4,
                    momentum: 0.9,
                    weight_decay: 0.0,
                    nesterov: false
                }
            );
            assert_eq!(settings.transform.size, 224);
            if variant.name == "scratch" {
                assert_eq!(settings.model.kind, "convnet");
                assert_eq!(settings.model.options["depth"].to_string(), "[4, 8]");
                assert_eq!(settings.model.options["hidden"].as_integer(), Some(512));
                assert_eq!(settings.model.options["dropout"].as_float(), Some(0.5));
                assert_eq!(settings.weights, None);
            } else {
                assert_eq!(settings.model.kind, kind);
                assert_eq!(
                    settings.weights,
                    Some(weights.parse::<WeightsSpec>().unwrap())
                );
            }
        }
        let frozen = &experiment.variants[2].settings[0];
        assert_eq!(frozen.transfer.mode, TransferMode::Frozen);
        assert_eq!(plan(&experiment).trials.len(), 30);
    }
}

#[test]
fn the_quickstart_needs_no_download() {
    for name in ["quickstart", "quickstart-source", "smoke"] {
        let experiment = load(name);
        assert!(
            matches!(experiment.source, SourceSpec::Generated(_)),
            "{name}"
        );
        for settings in experiment.variants.iter().flat_map(|v| &v.settings) {
            let fetched = !matches!(settings.weights, None | Some(WeightsSpec::Trial { .. }));
            assert!(!fetched, "{name}");
        }
    }
    let plan = plan(&load("quickstart"));
    assert_eq!(plan.of("quickstart").count(), 30);
    assert_eq!(plan.of("quickstart-source").count(), 1);
    assert_eq!(plan.trials[0].experiment, "quickstart-source");
}
