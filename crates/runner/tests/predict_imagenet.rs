//! `graft predict` with real weights on real pictures, where there are any: weights in a folder of `$GRAFT_WEIGHTS_DIR` or in the
//! shared folder beside the sources, pictures in one of `$GRAFT_DATA_DIR` or likewise.

mod desk;

use std::{
    env,
    path::{Path, PathBuf},
};

use desk::{Desk, Finished};
use graft_model::WeightFile;
use image::RgbImage;

const SQUEEZENET: &str = "squeezenet1_1-imagenet.safetensors";
const ANT: &str = "310";
const BEE: &str = "309";

/// A file or folder of one of these folders, if there is one.
fn found(variable: &str, shared: &str, name: &str) -> Option<PathBuf> {
    let folders = env::var_os(variable).unwrap_or_default();
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared")
        .join(shared);
    let found = env::split_paths(&folders)
        .chain([shared])
        .map(|folder| folder.join(name))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: there is no {name}");
    }
    found
}

fn weights(name: &str) -> Option<PathBuf> {
    found("GRAFT_WEIGHTS_DIR", "weights", name)
}

fn pictures() -> Option<PathBuf> {
    found("GRAFT_DATA_DIR", "data", "hymenoptera_data/val")
}

/// The cells of CSV without its header.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let rows = csv.lines().skip(1);
    rows.map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}

/// The picture in the file that comes with the weights, of 224 pixels with values from 0 to 255. In the middle of a black
/// picture of 256 pixels the resize leaves it alone.
fn check_picture(file: &Path) -> RgbImage {
    let file = WeightFile::open(file).unwrap();
    let device = graft_trainer::device::open("cpu").unwrap();
    let input = file.get("input", &device).unwrap().unwrap();
    let values: Vec<f32> = input.flatten_all().unwrap().to_vec1().unwrap();
    let mut picture = RgbImage::new(256, 256);
    for y in 0..224 {
        for x in 0..224 {
            let value = |channel: usize| values[(channel * 224 + y) * 224 + x].round() as u8;
            let pixel = image::Rgb([value(0), value(1), value(2)]);
            picture.put_pixel(16 + x as u32, 16 + y as u32, pixel);
        }
    }
    picture
}

/// `scripts/golden_predict.py` has run torchvision's networks and transforms on these pictures.
fn check_golden(model: &str, name: &str, arguments: &str) {
    let check = "squeezenet1_1-imagenet.check.safetensors";
    let (Some(weights), Some(check), Some(pictures)) = (weights(name), weights(check), pictures())
    else {
        return;
    };
    let desk = Desk::new();
    check_picture(&check).save(desk.path("check.png")).unwrap();
    let golden = rows(include_str!("golden/predict.csv"));
    let golden: Vec<&Vec<String>> = golden.iter().filter(|row| row[0] == model).collect();
    let mut command = desk.command(&format!(
        "predict --model {model} {arguments} --format csv --weights"
    ));
    command.arg(weights);
    command.args(golden.iter().map(|row| match row[1].as_str() {
        "check.png" => desk.path("check.png"),
        photograph => pictures.join(photograph),
    }));
    let done = Finished::from(command.output().unwrap()).code(0);
    let found = rows(&done.stdout);
    assert_eq!(found.len(), 5 * golden.len());
    for (golden, found) in golden.iter().zip(found.chunks(5)) {
        let of_class = found.iter().find(|row| row[2] == golden[2]);
        let of_class = of_class.unwrap_or_else(|| panic!("{golden:?} is not in {found:?}"));
        let probability: f64 = of_class[4].parse().unwrap();
        let expected: f64 = golden[3].parse().unwrap();
        // A resize is up to one level away from Pillow's, and that is felt.
        let is_resized = golden[1] != "check.png" || model != "squeezenet1_1";
        let tolerance = if is_resized { 0.03 } else { 1e-5 };
        assert!(
            (probability - expected).abs() < tolerance,
            "{golden:?}: {probability}"
        );
    }
}

#[test]
fn squeezenet_sees_what_torchvisions_sees() {
    check_golden("squeezenet1_1", SQUEEZENET, "");
}

#[test]
fn a_network_of_other_classes_and_another_size() {
    check_golden(
        "resnet18",
        "resnet18-tiny-imagenet.safetensors",
        "--size 96",
    );
}

#[test]
fn ants_and_bees() {
    let (Some(weights), Some(pictures)) = (weights(SQUEEZENET), pictures()) else {
        return;
    };
    let desk = Desk::new();
    let predict = format!(
        "predict --model squeezenet1_1 --weights file:{}",
        weights.display()
    );
    let all = desk
        .graft(&format!("{predict} --format csv {}", pictures.display()))
        .code(0);
    let all_rows = rows(&all.stdout);
    for (folder, index, name, least) in [("ants", ANT, "ant", 0.6), ("bees", BEE, "bee", 0.8)] {
        let of_folder = |row: &&Vec<String>| row[0].contains(&format!("/{folder}/"));
        let pictures = all_rows.iter().filter(of_folder).count() / 5;
        let among_five = all_rows
            .iter()
            .filter(of_folder)
            .filter(|row| row[2] == index && row[3] == name)
            .count();
        assert!(pictures > 50);
        let share = among_five as f64 / pictures as f64;
        assert!(share >= least, "{folder}: {among_five} of {pictures}");
    }
    // A picture by itself gets the same bits.
    let path = &all_rows[35 * 5][0];
    let alone = desk
        .graft(&format!("{predict} --threads 1 --format csv {path}"))
        .code(0);
    assert_eq!(rows(&alone.stdout), all_rows[35 * 5..36 * 5]);
}
