//! The experiments of the tutorials run to their reports: small, and on made-up data in the layouts of theirs.

mod desk;

use std::{fs, path::Path};

use desk::Desk;
use image::{Rgb, RgbImage};

/// A desk with the experiment files.
fn desk() -> Desk {
    let desk = Desk::new();
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments"));
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = desk::file_name(&path);
        desk.write(&format!("experiments/{name}"), fs::read(&path).unwrap());
    }
    desk
}

/// A folder per split and class with pictures of the class's colour.
fn pictures(desk: &Desk, folder: &str, splits: &[(&str, u32)], classes: &[&str]) {
    for (split, count) in splits {
        for (shade, class) in (1..).zip(classes) {
            for index in 0..*count {
                let color = |x: u32, y: u32| {
                    let noise = ((x * 7 + y * 13 + index * 31) % 40) as u8;
                    Rgb([shade * 60 + noise, 200 - shade * 50, noise * 3])
                };
                let picture = RgbImage::from_fn(40 + index, 44, color);
                let path = desk.path(&format!("data/{folder}/{split}/{class}/{index:02}.png"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                picture.save(path).unwrap();
            }
        }
    }
}

/// Trains a network of `kind` for a step and keeps its weights as `weights/<file>.safetensors`.
fn weights(desk: &Desk, kind: &str, size: u32, file: &str) {
    let text = format!(
        "name = \"{kind}\"\n[data]\nsource = \"generated\"\ntask = \"target\"\nside = 32\ntrain = 3\nval = 3\n\
         [data.transform]\nsize = {size}\ntrain = [\"resize {size}\", \"center-crop\"]\neval = [\"resize {size}\", \"center-crop\"]\n\
         [train]\nepochs = 1\nbatch_size = 3\noptimizer = {{ kind = \"sgd\", lr = 1e-6 }}\n\
         [[variant]]\nname = \"made-up\"\nmodel = {{ kind = \"{kind}\" }}\n"
    );
    desk.write(&format!("{kind}.toml"), text);
    desk.graft(&format!("sweep {kind}.toml")).code(0);
    let best = desk.trial(kind, "made-up", 1).join("best.safetensors");
    fs::create_dir_all(desk.path("weights")).unwrap();
    fs::copy(best, desk.path(&format!("weights/{file}.safetensors"))).unwrap();
}

/// Runs an experiment to its report.
fn sweep(desk: &Desk, name: &str, settings: &[&str]) {
    let set: Vec<String> = settings.iter().map(|set| format!(" --set {set}")).collect();
    let command = format!(
        "sweep experiments/{name}.toml --data-dir data --weights-dir weights{}",
        set.concat()
    );
    desk.graft(&command).code(0);
    for file in [
        "summary.csv",
        "epochs.csv",
        "metrics.csv",
        "curves.png",
        "batch.png",
    ] {
        let path = desk.path(&format!("results/{name}/{file}"));
        assert!(
            fs::metadata(&path).is_ok_and(|file| file.len() > 0),
            "{}",
            path.display()
        );
    }
}

/// The settings of a small run, without spaces, which separate arguments: the middle of the pictures is evaluated.
fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = [
        "data.transform.size=32",
        "data.transform.eval=[\"center-crop\"]",
        "repeats=1",
    ];
    usual.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn ants_and_bees_by_steps_and_continued() {
    let desk = desk();
    let splits = [("train", 6), ("val", 3)];
    pictures(&desk, "hymenoptera_data", &splits, &["ants", "bees"]);
    weights(&desk, "resnet18", 32, "resnet18.tv_in1k");
    sweep(
        &desk,
        "beeant-steps",
        &small(&["train.epochs=2", "train.validate_every=2"]),
    );
    let rows = desk.read("results/beeant-steps/evaluations.csv");
    assert_eq!(
        rows.lines().filter(|row| row.contains(",1,2,val,")).count(),
        3
    );
    assert!(desk.path("results/beeant-steps/steps.png").is_file());
    let mut continued = small(&["train.epochs=2"]);
    continued.retain(|set| *set != "repeats=1");
    continued.push("repeats=2");
    sweep(&desk, "beeant-continued", &continued);
    let second = desk.trial("beeant-continued", "frozen-continued", 2);
    let log = fs::read_to_string(second.join("log.txt")).unwrap();
    assert!(log.contains("going on with the network of"), "{log}");
    let manifest = fs::read_to_string(second.join("trial.toml")).unwrap();
    assert!(manifest.contains("previous = \""), "{manifest}");
}

#[test]
fn hot_dogs() {
    let desk = desk();
    let splits = [("train", 6), ("test", 3)];
    pictures(&desk, "hotdog", &splits, &["hotdog", "not-hotdog"]);
    weights(&desk, "resnet18", 32, "resnet18.tv_in1k");
    sweep(&desk, "hotdog", &small(&["train.epochs=2"]));
}

#[test]
fn cats_and_dogs_split_from_flat_names() {
    let desk = desk();
    for (shade, class) in [(90, "cat"), (160, "dog")] {
        for index in 0..10 {
            let color = |x: u32, y: u32| Rgb([shade, (x * 5 + index) as u8, (y * 3) as u8]);
            let path = desk.path(&format!("kaggle/{class}.{index}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_fn(48, 44, color).save(path).unwrap();
        }
    }
    desk.graft("split kaggle data/cats-dogs --train 12 --val 4 --test 4")
        .code(0);
    weights(&desk, "inception_v3", 299, "inception_v3_google-0cc3c7bd");
    sweep(
        &desk,
        "cats-dogs",
        &["repeats=1", "train.epochs=2", "train.batch_size=6"],
    );
    let metrics = desk.read("results/cats-dogs/metrics.csv");
    assert!(metrics.contains(",test,accuracy,,"), "{metrics}");
    let events = desk.path("results/cats-dogs/tensorboard");
    assert_eq!(fs::read_dir(events).unwrap().count(), 1);
}

#[test]
fn cifar10_in_its_binary_layout() {
    let desk = desk();
    let folder = "data/cifar-10-batches-bin";
    let names = (1..=5).map(|batch| format!("data_batch_{batch}"));
    for (number, name) in names.chain(["test_batch".to_owned()]).enumerate() {
        let record = |label: u8| {
            let pixels =
                (0..3072u32).map(move |k| (k / 7 + u32::from(label) * 20) as u8 ^ number as u8);
            std::iter::once(label).chain(pixels)
        };
        let bytes: Vec<u8> = (0..10).flat_map(record).collect();
        desk.write(&format!("{folder}/{name}.bin"), bytes);
    }
    let classes = "airplane automobile bird cat deer dog frog horse ship truck";
    desk.write(
        &format!("{folder}/batches.meta.txt"),
        classes.replace(' ', "\n"),
    );
    weights(&desk, "resnet18", 32, "resnet18.tv_in1k");
    let more = [
        "data.val=10",
        "train.epochs=2",
        "train.batch_size=16",
        "train.validate_every=2",
        "data.transform.train=[\"center-crop\",\"horizontal-flip\"]",
    ];
    sweep(&desk, "cifar10", &small(&more));
    let metrics = desk.read("results/cifar10/metrics.csv");
    for wanted in [",test,top_5_accuracy,,", ",test,recall,truck,"] {
        assert!(metrics.contains(wanted), "{wanted} is missing:\n{metrics}");
    }
}

/// With fewer pictures and epochs; the whole experiments take minutes.
#[test]
fn chains_and_learning_curves() {
    let desk = desk();
    for (file, from, to) in [
        ("quickstart-source", "train = 4000 ", "train = 200 "),
        ("quickstart-source", "epochs = 8", "epochs = 2"),
        ("poverty-night", "train = 3000", "train = 200"),
        ("poverty-night", "epochs = 8", "epochs = 2"),
    ] {
        let path = format!("experiments/{file}.toml");
        let text = desk.read(&path);
        assert!(text.contains(from), "{from:?} is not in {path}");
        desk.write(&path, text.replace(from, to));
    }
    let few = ["repeats=2", "train.epochs=2", "data.val=20"];
    sweep(&desk, "poverty", &few);
    let chain = desk.trial("poverty", "chain", 2);
    let manifest = fs::read_to_string(chain.join("trial.toml")).unwrap();
    assert!(manifest.contains("trial:poverty-night/night"), "{manifest}");
    let metrics = desk.read("results/poverty/metrics.csv");
    for metric in ["mean_squared_error", "mean_absolute_error", "r2"] {
        assert!(metrics.contains(&format!(",val,{metric},,")), "{metrics}");
    }
    let verdict = desk.graft("report poverty").code(0).stdout;
    assert!(verdict.contains("Mean R²"), "{verdict}");
    let few: Vec<&str> = few
        .into_iter()
        .chain(["grid.\"data.per_class\"=[2,4]"])
        .collect();
    sweep(&desk, "learning-curve", &few);
    assert_eq!(desk.trials("learning-curve").len(), 12);
    assert!(desk.path("results/learning-curve/grid.png").is_file());
}
