//! The trials of an experiment: which, in which order, and how much work they are.

mod experiment_support;

use std::collections::BTreeSet;

use experiment_support::{GOOD, Session, plan};
use graft_data::SourceSpec;
use graft_runner::plan::{Estimate, Fingerprints, Pictures, Plan, Work};

#[test]
fn every_variant_has_its_first_repeat_before_any_has_its_second() {
    let text = format!("{GOOD}[grid]\n\"train.batch_size\" = [4, 8]\n");
    let plan = plan(&Session::with(&text).load());
    let order: Vec<_> = plan
        .trials
        .iter()
        .map(|t| (t.key.repeat, t.key.variant.as_str(), t.key.cell.as_str()))
        .collect();
    let mut expected = Vec::new();
    for repeat in [1, 2] {
        for variant in ["scratch", "pretrained", "frozen"] {
            for cell in ["batch_size=4", "batch_size=8"] {
                expected.push((repeat, variant, cell));
            }
        }
    }
    assert_eq!(order, expected);
    let folders: BTreeSet<_> = plan.trials.iter().map(|t| t.key.folder_name()).collect();
    assert_eq!(folders.len(), 12);
    assert!(plan.trials.iter().all(|t| t.dependencies.is_empty()));
}

#[test]
fn a_trial_has_everything_that_decides_its_result() {
    let plan = plan(&Session::with(GOOD).load());
    let trial = &plan.trials[5];
    assert_eq!(
        (&*trial.experiment, &*trial.key.variant),
        ("good", "frozen")
    );
    assert_eq!((trial.spec.seed, trial.spec.repeat), (7, 2));
    assert_eq!(trial.spec.data_fingerprint, "content of pictures");
    assert_eq!(
        trial.spec.weights_fingerprint.as_deref(),
        Some("content of hf:timm/resnet18.tv_in1k")
    );
    assert_eq!(plan.trials[3].spec.weights_fingerprint, None);
    assert_eq!(trial.key.cell, "base");
}

/// An experiment whose second variant starts from one of the parent's.
fn child(repeats: u32) -> Session {
    let start = GOOD.find("[[variant]]\nname = \"pretrained\"").unwrap();
    let child = GOOD[..start]
        .replace("name = \"good\"", "name = \"child\"")
        .replace("repeats = 2", "repeats = 3");
    let model = "model = { kind = \"resnet18\", weights = \"trial:parent/pretrained\" }";
    let child = format!("{child}[[variant]]\nname = \"further\"\n{model}\n");
    let parent = GOOD
        .replace("name = \"good\"", "name = \"parent\"")
        .replace("repeats = 2", &format!("repeats = {repeats}"));
    Session::with(&child).file("parent.toml", &parent)
}

#[test]
fn only_the_trials_of_a_parent_that_are_needed_come_first() {
    let names = |repeats| {
        let plan = plan(&child(repeats).load());
        let name = |index: usize| {
            let t = &plan.trials[index];
            format!("{} {} {}", t.experiment, t.key.variant, t.key.repeat)
        };
        let line = |(index, t): (usize, &graft_runner::plan::PlannedTrial)| {
            let from: Vec<_> = t.dependencies.iter().map(|&index| name(index)).collect();
            format!("{} <- {}", name(index), from.join(" "))
        };
        plan.trials.iter().enumerate().map(line).collect::<Vec<_>>()
    };
    assert_eq!(
        names(1),
        [
            "parent pretrained 1 <- ",
            "child scratch 1 <- ",
            "child further 1 <- parent pretrained 1",
            "child scratch 2 <- ",
            "child further 2 <- parent pretrained 1",
            "child scratch 3 <- ",
            "child further 3 <- parent pretrained 1",
        ]
    );
    assert_eq!(
        names(3),
        [
            "parent pretrained 1 <- ",
            "parent pretrained 2 <- ",
            "parent pretrained 3 <- ",
            "child scratch 1 <- ",
            "child further 1 <- parent pretrained 1",
            "child scratch 2 <- ",
            "child further 2 <- parent pretrained 2",
            "child scratch 3 <- ",
            "child further 3 <- parent pretrained 3",
        ]
    );
}

#[test]
fn a_parent_s_trials_are_those_of_its_own_sweep() {
    let session = child(1);
    let own = plan(&session.load_file("parent.toml").unwrap());
    let ours = plan(&session.load());
    let key = |plan: &Plan| {
        let trial = plan.of("parent").find(|t| t.key.variant == "pretrained");
        trial.unwrap().key.clone()
    };
    assert_eq!(key(&own), key(&ours));
}

#[test]
fn fingerprints_are_asked_for_once_and_their_errors_passed_on() {
    struct Count(Vec<String>);
    impl Fingerprints for Count {
        type Error = String;
        fn data(&mut self, _: &SourceSpec) -> Result<String, String> {
            self.0.push("data".to_owned());
            Ok("d".to_owned())
        }
        fn weights(&mut self, weights: &graft_model::WeightsSpec) -> Result<String, String> {
            self.0.push(weights.to_string());
            Err(format!("{weights} is missing"))
        }
    }
    let mut count = Count(Vec::new());
    let error = Plan::new(&Session::with(GOOD).load(), &mut count).unwrap_err();
    assert_eq!(error, "hf:timm/resnet18.tv_in1k is missing");
    assert_eq!(count.0, ["data", "hf:timm/resnet18.tv_in1k"]);
}

#[test]
fn the_work_is_added_up_as_a_table() {
    let plan = plan(&child(1).load());
    let pictures = Pictures {
        train: 245,
        val: 153,
    };
    let estimate = Estimate::new(
        &plan,
        |_| Some(pictures),
        |trial| trial.key.variant == "scratch" && trial.key.repeat < 3,
    );
    assert_eq!(
        estimate.to_string(),
        "\
experiment  variant     cell  trials  finished  epochs  steps  pictures
parent      pretrained  base       1         0      20   1240      7960
child       scratch     base       3         2      20   1240      7960
child       further     base       3         0      60   3720     23880
total                              7         2     100   6200     39800
"
    );
    assert_eq!(estimate.total.left(), 5);
    let unknown = Estimate::new(&plan, |_| None, |_| false);
    assert_eq!(
        unknown.total,
        Work {
            trials: 7,
            finished: 0,
            epochs: 140,
            steps: None,
            pictures: None
        }
    );
    assert!(
        unknown
            .to_string()
            .ends_with("? is not known before the pictures are there\n")
    );
}
