//! `graft predict --trial`: a picture gets, bit for bit, the probability that validation gave it.

mod desk;

use std::{collections::BTreeMap, fs, path::Path};

use desk::Desk;
use graft_data::{Generated, GeneratedSpec, GeneratedTask, Source, Split};
use image::RgbImage;
use serde_json::Value;

/// Validation pictures without the one that is turned: more than a batch of the evaluation, and not a multiple of it.
const VAL: usize = 36;

const EXPERIMENT: &str = r#"
name = "bits"
seed = 3

[data]
source = "image-folder"
path = "pictures"
exif_orientation = true

[data.transform]
size = 64
train = ["random-resized-crop", "horizontal-flip"]
eval = ["resize 72", "center-crop"]

[train]
epochs = 4
batch_size = 8
optimizer = { kind = "sgd", lr = 0.001, momentum = 0.9 }
"#;

const TUNED: &str = r#"
[[variant]]
name = "convnet"
model = { kind = "convnet", depth = [4, 8], hidden = 20 }

[[variant]]
name = "resnet"
model = { kind = "resnet18" }

[[variant]]
name = "squeezenet"
model = { kind = "squeezenet1_1" }
train = { epochs = 1, optimizer = { lr = 1e-4 } }
"#;

const FROZEN: &str = r#"
[[variant]]
name = "convnet"
model = { kind = "convnet", depth = [4, 8], hidden = 20, weights = "trial:bits/convnet" }
transfer = "frozen"

[[variant]]
name = "resnet"
model = { kind = "resnet18", weights = "trial:bits/resnet" }
transfer = "frozen"

[[variant]]
name = "squeezenet"
model = { kind = "squeezenet1_1", weights = "trial:bits/squeezenet" }
transfer = "frozen"
"#;

/// Generated pictures, cut to many sizes, in folders, and a photograph that its EXIF data turns.
fn write_pictures(desk: &Desk) {
    let source = Generated::new(&GeneratedSpec {
        task: GeneratedTask::Target,
        side: 48,
        train: 24,
        val: VAL,
        test: 0,
        seed: 1,
    })
    .unwrap();
    for split in Split::ALL {
        for index in 0..source.len(split) {
            let picture = source.load(split, index).unwrap();
            let picture = RgbImage::from_raw(picture.width, picture.height, picture.rgb).unwrap();
            let (cut, low) = ((index % 5) as u32, (index % 7) as u32);
            let part = image::imageops::crop_imm(&picture, cut, low, 48 - 2 * cut, 48 - 2 * low);
            let class = &source.classes()[source.label(split, index).unwrap() as usize];
            let folder = desk.path(&format!("pictures/{split}/{class}"));
            fs::create_dir_all(&folder).unwrap();
            part.to_image()
                .save(folder.join(format!("{index:03}.png")))
                .unwrap();
        }
    }
    let turned = include_bytes!("../../data/tests/golden/turned.jpg");
    desk.write(
        &format!("pictures/val/{}/turned.jpg", source.classes()[1]),
        turned,
    );
}

/// What validation noted: index of the most probable class and probability as they are written, by file.
fn validation(trial: &Path) -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(trial.join("predictions.csv")).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (
            format!("pictures/{}", cells[1]),
            (cells[3].to_owned(), cells[4].to_owned()),
        )
    });
    rows.collect()
}

/// What `graft predict` says, in its order.
fn predicted(desk: &Desk, arguments: &str) -> Vec<(String, (String, String))> {
    let done = desk
        .graft(&format!("predict --format csv --top 1 {arguments}"))
        .code(0);
    assert_eq!(done.stderr, "");
    let rows = done.stdout.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (
            cells[0].to_owned(),
            (cells[2].to_owned(), cells[4].to_owned()),
        )
    });
    rows.collect()
}

fn check(desk: &Desk, trial: &Path, what: &str) {
    let expected = validation(trial);
    assert_eq!(expected.len(), VAL + 1);
    let probabilities: std::collections::BTreeSet<_> = expected
        .values()
        .map(|(_, probability)| probability)
        .collect();
    assert!(
        probabilities.len() > VAL / 4,
        "{what}: hardly any two pictures differ: {expected:?}"
    );
    let trial_text = trial.display();

    let all = predicted(desk, &format!("--trial {trial_text} pictures/val"));
    assert_eq!(
        all.iter().cloned().collect::<BTreeMap<_, _>>(),
        expected,
        "{what}"
    );
    assert!(all.is_sorted_by_key(|(path, _)| path.clone()), "{all:?}");

    // Other batches, another order, one thread, and the checkpoint alone.
    let backwards: Vec<&str> = all
        .iter()
        .rev()
        .take(7)
        .map(|(path, _)| path.as_str())
        .collect();
    fs::copy(
        trial.join("best.safetensors"),
        desk.path("moved.safetensors"),
    )
    .unwrap();
    let arguments = format!(
        "--trial moved.safetensors --threads 1 {}",
        backwards.join(" ")
    );
    for (path, answer) in predicted(desk, &arguments) {
        assert_eq!(expected[&path], answer, "{what}: {path} among seven");
    }
    let turned = all
        .iter()
        .find(|(path, _)| path.ends_with("turned.jpg"))
        .unwrap();
    for path in [&turned.0, &all[0].0] {
        let alone = predicted(desk, &format!("--trial {trial_text} {path}"));
        assert_eq!(
            alone,
            [(path.clone(), expected[path].clone())],
            "{what}: alone"
        );
    }

    // JSON has the same number, and the probabilities of all classes.
    let json = desk
        .graft(&format!(
            "predict --trial {trial_text} --format json {}",
            turned.0
        ))
        .code(0);
    let line: Value = serde_json::from_str(&json.stdout).unwrap();
    let classes = line["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 3);
    let probability: f64 = expected[&turned.0].1.parse().unwrap();
    assert_eq!(
        classes[0]["probability"].as_f64(),
        Some(probability),
        "{what}"
    );
    let sum: f64 = classes
        .iter()
        .map(|class| class["probability"].as_f64().unwrap())
        .sum();
    assert!((sum - 1.0).abs() < 1e-6, "{what}: {sum}");
}

#[test]
fn probabilities_are_those_of_validation() {
    let desk = Desk::new();
    write_pictures(&desk);
    desk.write("bits.toml", format!("{EXPERIMENT}{TUNED}"));
    desk.graft("sweep bits.toml --data-dir .").code(0);
    let frozen = EXPERIMENT
        .replace("\"bits\"", "\"frozen\"")
        .replace("lr = 0.001", "lr = 1e-5");
    desk.write("frozen.toml", format!("{frozen}{FROZEN}"));
    desk.graft("sweep frozen.toml --data-dir .").code(0);
    for experiment in ["bits", "frozen"] {
        for variant in ["convnet", "resnet", "squeezenet"] {
            let trial = desk.trial(experiment, variant, 1);
            check(&desk, &trial, &format!("{experiment}/{variant}"));
        }
    }
}
