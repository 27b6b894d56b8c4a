//! The resolved experiment, written as a file and read again, is the same experiment.

mod experiment_support;

use experiment_support::{GOOD, Session};
use proptest::prelude::*;

/// Loads an experiment, writes it, and loads that.
fn check(text: &str) {
    let first = Session::with(text).load();
    let written = first.to_toml().to_owned();
    let second = Session::with(&written).load();
    assert_eq!(first, second, "{text}\nbecame\n{written}");
    assert_eq!(written, second.to_toml());
}

#[test]
fn the_resolved_file_is_as_a_person_would_write_it() {
    let session = Session::with(GOOD).set("grid.train.optimizer.lr=[1e-4, 1]");
    assert_eq!(
        session.load().to_toml(),
        r#"name = "good"
repeats = 2
seed = 7

[data]
source = "image-folder"
path = "pictures"
splits = { train = "train", val = "val" }
exif_orientation = false
on_bad_image = "error"

[data.transform]
size = 224
train = ["random-resized-crop", "horizontal-flip"]
eval = ["resize 256", "center-crop"]
views = "fresh"

[train]
epochs = 20
batch_size = 4
optimizer = { kind = "sgd", lr = 0.0001, momentum = 0.9, weight_decay = 0.0, nesterov = false }
weight_decay_on = "all"
label_smoothing = 0.0
best = "val_accuracy"
evaluate_train = false
training_mode = "always"
precision = "f32"
deterministic = true
keep_last = 0

[[variant]]
name = "scratch"
model = { kind = "convnet", depth = [4, 8], hidden = 512, dropout = 0.5 }
batch_norm = "batch"
head_lr = 1.0
repeat_from = "start"

[[variant]]
name = "pretrained"
model = { kind = "resnet18", weights = "hf:timm/resnet18.tv_in1k" }
transfer = "fine-tune"
batch_norm = "batch"
head_lr = 1.0
repeat_from = "start"

[[variant]]
name = "frozen"
model = { kind = "resnet18", weights = "hf:timm/resnet18.tv_in1k" }
transfer = "frozen"
batch_norm = "running"
head_lr = 1.0
repeat_from = "start"

[grid]
"train.optimizer.lr" = [0.0001, 1]

[report]
reference = "scratch"
tensorboard = false
"#
    );
}

#[test]
fn defaults_that_follow_the_size_still_do() {
    check(&format!("{GOOD}[grid]\ndata.transform.size = [64, 96]\n"));
    check(&format!("{GOOD}[variant.data.transform]\nsize = 96\n"));
    check(&format!(
        "{GOOD}[variant.data.transform]\ntrain = [\"center-crop\"]\n[grid]\n\"data.transform.size\" = [64]\n"
    ));
}

#[test]
fn other_kinds_of_optimizers_and_schedules_stay_what_they_are() {
    let base = GOOD.replace(
        "momentum = 0.9 }",
        "momentum = 0.9 }\nschedule = { kind = \"step\", every = 3, warm_up = { steps = 2 } }",
    );
    for rest in [
        "[variant.train]\noptimizer = { kind = \"adamw\" }\nschedule = { kind = \"exponential\" , factor = 0.5 }\n",
        "[variant.train.optimizer]\nkind = \"rmsprop\"\nweight_decay = 0.1\n",
        "[grid]\n\"train.optimizer.kind\" = [\"adamw\", \"sgd\", \"rmsprop\"]\n",
        "[grid]\n\"train.optimizer.kind\" = [\"adamw\", \"adam\"]\n\"train.optimizer.lr\" = [1e-3]\n",
        "[grid]\n\"train.schedule.kind\" = [\"step\", \"cosine\", \"plateau\"]\n",
    ] {
        check(&format!("{base}{rest}"));
    }
}

#[test]
fn texts_with_quotes_and_other_letters_survive() {
    check(&GOOD.replace("\"pictures\"", r#""a\"b\\c\n\u0007größe ' ''' # = [""#));
    check(&GOOD.replace("\"pictures\"", r"'C:\pictures'"));
}

/// A number as a person may write it.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (1e-9..1e6_f64).prop_map(|x| format!("{x:?}")),
        (1e-9..1.0_f64).prop_map(|x| format!("{x:e}")),
        (1..1000_i32).prop_map(|n| n.to_string()),
    ]
}

fn maybe(line: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::option::of(line).prop_map(|line| line.map_or(String::new(), |line| line + "\n"))
}

/// Keys of `[data.transform]`.
fn transform() -> impl Strategy<Value = String> {
    let train = prop::sample::select(vec![
        "train = [\"random-resized-crop\"]",
        "train = [\"resize 300\", \"horizontal-flip\", \"center-crop\"]",
    ]);
    let eval = Just("eval = [\"resize 256\", \"center-crop\"]".to_owned());
    (
        maybe((32..300_u32).prop_map(|size| format!("size = {size}"))),
        maybe(train.prop_map(str::to_owned)),
        maybe(eval),
    )
        .prop_map(|(a, b, c)| a + &b + &c)
}

/// Keys of an optimizer as an inline table with or without those that must be there.
fn optimizer(whole: bool) -> impl Strategy<Value = String> {
    let momentum = prop::option::of(0.0..0.999_f64);
    (number(), prop::option::of(number()), momentum).prop_map(move |(lr, other, momentum)| {
        let mut keys = Vec::new();
        if whole {
            keys.push("kind = \"sgd\"".to_owned());
            keys.push(format!("lr = {lr}"));
        } else if let Some(lr) = other {
            keys.push(format!("lr = {lr}"));
        }
        keys.extend(momentum.map(|m| format!("momentum = {m:?}")));
        format!("{{ {} }}", keys.join(", "))
    })
}

fn variant(index: usize) -> impl Strategy<Value = String> {
    let weights = "weights = \"file:w.safetensors\"";
    let model = prop::sample::select(vec![
        "model = { kind = \"convnet\" }".to_owned(),
        "model = { kind = \"convnet\", depth = [2, 3], dropout = 0 }".to_owned(),
        format!("model = {{ kind = \"resnet18\", {weights} }}"),
        format!("model = {{ kind = \"resnet18\", {weights} }}\ntransfer = \"frozen\""),
        format!("model = {{ {weights}, kind = \"convnet\" }}\ntransfer = \"fine-tune\""),
    ]);
    (
        model,
        maybe(Just("batch_norm = \"running\"".to_owned())),
        maybe(number().prop_map(|n| format!("head_lr = {n}"))),
        maybe(
            (1..9_u32, optimizer(false)).prop_map(|(epochs, optimizer)| {
                format!("[variant.train]\nepochs = {epochs}\noptimizer = {optimizer}")
            }),
        ),
        maybe(transform().prop_map(|t| format!("[variant.data.transform]\n{t}"))),
    )
        .prop_map(move |(model, norm, head, train, transform)| {
            format!("[[variant]]\nname = \"v{index}\"\n{model}\n{norm}{head}{train}{transform}")
        })
}

fn grid() -> impl Strategy<Value = String> {
    let axes = vec![
        "\"train.optimizer.lr\" = [1e-4, 1]",
        "train.batch_size = [8, 16]",
        "\"data.transform.size\" = [64, 96]",
        "\"train.optimizer\" = [{ kind = \"sgd\", lr = 1, momentum = 0 }, { kind = \"sgd\", lr = 2 }]",
        "head_lr = [1, 2.5]",
        "\"batch_norm\" = [\"running\"]",
        "data.transform.train = [[\"center-crop\"], [\"random-resized-crop\"]]",
    ];
    prop::sample::subsequence(axes, 0..=3)
        .prop_shuffle()
        .prop_filter("axes overlap", |axes| {
            axes.iter()
                .filter(|axis| axis.contains("optimizer"))
                .count()
                < 2
        })
        .prop_map(|axes| {
            if axes.is_empty() {
                String::new()
            } else {
                format!("[grid]\n{}\n", axes.join("\n"))
            }
        })
}

fn source() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "source = \"image-folder\"\npath = \"p\"\nsplits = { val = \"test\" }\non_bad_image = \"skip\"\n",
        "source = \"image-folder\"\nurl = \"https://h/x.zip\"\npath = \"/p\"\nexif_orientation = true\n",
        "source = \"generated\"\ntask = \"source\"\nside = 64\ntrain = 9\nval = 4\n",
    ])
    .prop_map(str::to_owned)
}

fn experiment() -> impl Strategy<Value = String> {
    let variants = (1..4_usize)
        .prop_flat_map(|count| (0..count).map(variant).collect::<Vec<_>>())
        .prop_map(|variants| variants.join("\n"));
    (
        maybe((1..5_u32).prop_map(|n| format!("repeats = {n}"))),
        maybe((0..i64::MAX).prop_map(|n| format!("seed = {n}"))),
        source(),
        maybe(transform().prop_map(|t| format!("[data.transform]\n{t}"))),
        optimizer(true),
        variants,
        grid(),
    )
        .prop_map(
            |(repeats, seed, source, transform, optimizer, variants, grid)| {
                format!(
                    "name = \"x\"\n{repeats}{seed}[data]\n{source}{transform}\
                 [train]\nepochs = 3\nbatch_size = 4\noptimizer = {optimizer}\n{grid}{variants}"
                )
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_experiment_survives_writing_and_reading(text in experiment()) {
        check(&text);
    }

    /// Whatever is written, there is an experiment or a list of problems.
    #[test]
    fn nothing_panics(
        text in experiment(),
        at in any::<prop::sample::Index>(),
        length in 0..20_usize,
        insert in prop::sample::select(vec!["", "\n", "=", "[", "]", "\"", "{", "}", "1", "-", ".", "x", "[[variant]]\n", "\n[train]\n", "kind", "é"]),
    ) {
        let mut letters: Vec<char> = text.chars().collect();
        let start = at.index(letters.len());
        let end = (start + length).min(letters.len());
        letters.splice(start..end, insert.chars());
        let text: String = letters.into_iter().collect();
        if let Err(problems) = Session::with(&text).load_file("x.toml") {
            prop_assert!(!problems.as_slice().is_empty());
            prop_assert!(problems.to_string().contains("x.toml"));
        }
    }

    #[test]
    fn no_argument_panics(argument in "[a-z.=\"{}\\[\\]0-9-]{0,30}", key in prop::sample::select(vec!["", "train.", "variant.frozen.", "grid.", "grid=", "variant=", "train=", "data.transform="])) {
        let _ = Session::with(GOOD).set(&format!("{key}{argument}")).load_file("x.toml");
    }
}
