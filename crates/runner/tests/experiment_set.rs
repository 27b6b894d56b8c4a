//! `--set KEY=VALUE`: values from the command line in the place of the file's.

mod experiment_support;

use experiment_support::{GOOD, Session};
use graft_model::WeightsSpec;
use graft_runner::experiment::Experiment;
use graft_trainer::{Course, OptimizerSpec};

fn with(arguments: &[&str]) -> Experiment {
    let session = Session::with(GOOD);
    arguments.iter().fold(session, |s, a| s.set(a)).load()
}

fn errors(argument: &str) -> String {
    Session::with(GOOD).set(argument).errors()
}

#[test]
fn values_of_the_file_are_replaced() {
    let experiment = with(&[
        "repeats=3",
        "train.epochs=4",
        "data.transform.size=96",
        "seed = 11",
    ]);
    assert_eq!((experiment.repeats, experiment.seed), (3, 11));
    for variant in &experiment.variants {
        assert_eq!(variant.settings[0].train.epochs, 4);
        assert_eq!(variant.settings[0].transform.size, 96);
        assert_eq!(
            variant.settings[0].transform.eval[0].to_string(),
            "resize 110"
        );
    }
}

#[test]
fn a_later_argument_wins() {
    assert_eq!(with(&["repeats=3", "repeats=5"]).repeats, 5);
}

#[test]
fn a_variant_goes_by_its_name() {
    let experiment = with(&[
        "variant.frozen.model.weights=file:w.safetensors",
        "variant.frozen.train.epochs=3",
        "variant.\"scratch\".head_lr=10",
    ]);
    let settings = |name| &experiment.variant(name).unwrap().settings[0];
    let file = WeightsSpec::File("w.safetensors".to_owned());
    assert_eq!(settings("frozen").weights, Some(file));
    assert_eq!(settings("frozen").train.epochs, 3);
    assert_eq!(settings("pretrained").train.epochs, 20);
    assert_eq!(settings("scratch").transfer.head_lr, 10.0);
}

#[test]
fn a_variant_may_have_dots_in_its_name() {
    let text = GOOD.replace("\"frozen\"\nmodel", "\"frozen.v1\"\nmodel");
    for key in [
        "variant.frozen.v1.head_lr=2",
        "variant.\"frozen.v1\".head_lr=2",
    ] {
        let experiment = Session::with(&text).set(key).load();
        let settings = &experiment.variant("frozen.v1").unwrap().settings[0];
        assert_eq!(settings.transfer.head_lr, 2.0);
    }
}

#[test]
fn tables_that_are_not_in_the_file_are_made() {
    assert_eq!(with(&["report.reference=frozen"]).reference, "frozen");
    let grid = "[1e-3, 1e-2]";
    for key in ["grid.\"train.optimizer.lr\"", "grid.train.optimizer.lr"] {
        let experiment = with(&[&format!("{key}={grid}")]);
        assert_eq!(experiment.cells, ["lr=0.001", "lr=0.01"]);
    }
    // An axis is replaced however it is written.
    let text = format!("{GOOD}[grid]\ntrain.optimizer.lr = [0.1, 0.2]\n");
    let experiment = Session::with(&text)
        .set("grid.\"train.optimizer.lr\"=[0.3]")
        .load();
    assert_eq!(experiment.cells, ["lr=0.3"]);
}

#[test]
fn a_table_is_replaced_as_a_whole() {
    let experiment = with(&["train.optimizer={ kind = \"sgd\", lr = 1 }"]);
    let optimizer = &experiment.variants[0].settings[0].train.optimizer;
    assert_eq!(
        *optimizer,
        OptimizerSpec::Sgd {
            lr: 1.0,
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false
        }
    );
}

#[test]
fn another_kind_of_network_has_its_own_options_but_keeps_its_weights() {
    let experiment = with(&["variant.scratch.model.kind=resnet18"]);
    let settings = &experiment.variants[0].settings[0];
    assert_eq!(settings.model.kind, "resnet18");
    assert!(settings.model.options.is_empty());
    let experiment = with(&[
        "variant.pretrained.model.depth=[2]",
        "variant.pretrained.model.kind=convnet",
    ]);
    let settings = &experiment.variants[1].settings[0];
    assert_eq!(settings.model.options["depth"].to_string(), "[2]");
    assert!(
        settings.weights.is_some(),
        "left out silently, it would train from scratch"
    );
}

#[test]
fn another_kind_keeps_the_keys_that_it_has_too() {
    let text = GOOD.replace(
        "lr = 1e-4, momentum = 0.9 }",
        "lr = 1e-4, momentum = 0.9, weight_decay = 0.5 }\nschedule = { kind = \"step\", every = 5, factor = 0.5, warm_up = { steps = 3 } }",
    );
    let adam = |weight_decay| OptimizerSpec::Adam {
        lr: 1e-4,
        betas: (0.9, 0.999),
        eps: 1e-8,
        weight_decay,
    };
    let optimizer = |experiment: &Experiment, variant: usize, cell: usize| {
        let settings = &experiment.variants[variant].settings[cell];
        settings.train.optimizer.clone()
    };
    let set = |argument: &str| Session::with(&text).set(argument).load();
    let experiment = set("train.optimizer.kind=adam");
    assert_eq!(optimizer(&experiment, 2, 0), adam(0.5));
    let experiment = set("variant.frozen.train.optimizer.kind=adam");
    assert_eq!(optimizer(&experiment, 2, 0), adam(0.5));
    assert!(matches!(
        optimizer(&experiment, 0, 0),
        OptimizerSpec::Sgd { .. }
    ));
    let experiment = set("grid.train.optimizer.kind=[\"sgd\", \"adam\"]");
    assert_eq!(optimizer(&experiment, 0, 1), adam(0.5));
    // In the variant itself, whose own keys go before.
    let variant = "transfer = \"frozen\"\ntrain = { optimizer = { kind = \"adamw\", eps = 1e-3 } }";
    let written = text.replace("transfer = \"frozen\"", variant);
    let experiment = Session::with(&written).load();
    assert_eq!(
        optimizer(&experiment, 2, 0),
        OptimizerSpec::Adamw {
            lr: 1e-4,
            betas: (0.9, 0.999),
            eps: 1e-3,
            weight_decay: 0.5,
        }
    );
    // Defaults of the other kind are none that anybody wrote.
    let experiment = Session::with(&written.replace(", weight_decay = 0.5", "")).load();
    let OptimizerSpec::Adamw { weight_decay, .. } = optimizer(&experiment, 2, 0) else {
        panic!("another kind");
    };
    assert_eq!(weight_decay, 0.01);
    // Keys that stand beside the kind must be its own.
    let errors = Session::with(&text)
        .set("train.optimizer={ kind = \"adam\", lr = 1, momentum = 0.5 }")
        .errors();
    assert!(
        errors.contains("train.optimizer.momentum: unknown key"),
        "{errors}"
    );
    // Schedules likewise.
    let experiment = set("train.schedule.kind=exponential");
    let schedule = &experiment.variants[0].settings[0].train.schedule;
    assert_eq!(schedule.course, Course::Exponential { factor: 0.5 });
    assert!(schedule.warm_up.is_some());
}

#[test]
fn errors_name_the_argument() {
    for (argument, message) in [
        ("train.epoch=4", "unknown key; did you mean `train.epochs`?"),
        ("epochs=4", "unknown key; did you mean `train.epochs`?"),
        (
            "train.epochs=four",
            "expected a whole number from 1 to 100000, found \"four\"",
        ),
        (
            "train.epochs=-1",
            "expected a whole number from 1 to 100000, found -1",
        ),
        (
            "train.epochs=",
            "expected a whole number from 1 to 100000, found \"\"",
        ),
        (
            "train.epochs.x=1",
            "train.epochs: expected a whole number from 1 to 100000, found a table",
        ),
        (
            "variant.frozn.head_lr=1",
            "no variant is called `frozn`; did you mean `variant.frozen`?",
        ),
        (
            "variant.zzz.head_lr=1",
            "no variant is called `zzz`; there is `scratch`, `pretrained` or `frozen`",
        ),
        (
            "variant.frozen=1",
            "expected a key of the variant, such as `variant.frozen.model.weights=VALUE`",
        ),
        (
            "variant.frozen.model.wieghts=file:w",
            "unknown key; did you mean `variant.frozen.model.weights`?",
        ),
        (
            "variant.frozen.epochs=4",
            "unknown key; did you mean `variant.frozen.train.epochs`?",
        ),
        (
            "variant.frozen.model.weights=w.safetensors",
            "`w.safetensors` does not say where weights are: expected `hf:OWNER/REPO`, `https://…`, `file:PATH` or `trial:EXPERIMENT/VARIANT`",
        ),
        (
            "grid.train.optimizer.lrr=[1]",
            "unknown key; did you mean `train.optimizer.lr`?",
        ),
        (
            "grid.train.optimizer.lr=[]",
            "the axis has no values; expected at least one\n  hint: leave the axis out, or give it values such as [1e-4, 1e-3]",
        ),
        (
            "grid.train.optimizer.lr=[-1]",
            "grid.\"train.optimizer.lr\"[1]: expected a number above 0, at most 1e38, found -1",
        ),
        (
            "train.optimizer={kind=\"sgd\", lr=1, x=2}",
            "train.optimizer.x: unknown key; expected `kind`, `lr`, `momentum`, `weight_decay` or `nesterov`",
        ),
        ("repeats", "expected KEY=VALUE, such as `train.epochs=4`"),
        (
            "=4",
            "`` is not a key: expected names with dots between them",
        ),
        (
            "train..epochs=4",
            "`train..epochs` is not a key: expected names with dots between them",
        ),
        (
            "report.reference=scrach",
            "no variant is called \"scrach\"; did you mean `scratch`?",
        ),
    ] {
        let expected = format!("error: --set {argument}: {message}\n1 problem; nothing was run");
        assert_eq!(errors(argument), expected);
    }
}
