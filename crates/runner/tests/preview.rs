//! `graft preview`: counts, sizes, pictures that can't be read or are there twice, and the figures.

mod desk;

use desk::Desk;
use image::{Rgb, RgbImage};

const EXPERIMENT: &str = r#"name = "look"

[data]
source = "image-folder"
path = "pictures"

[data.transform]
size = 24
train = ["resize 30", "random-crop", "color-jitter 0.4 0.4 0.4 0.1", "rand-augment", "random-erasing"]

[train]
epochs = 1
batch_size = 4
optimizer = { kind = "sgd", lr = 0.01 }

[[variant]]
name = "one"
model = { kind = "convnet", depth = [4], hidden = 8 }

[[variant]]
name = "two"
model = { kind = "convnet", depth = [8], hidden = 8 }
train.mixup = 0.2
"#;

/// Adds a picture whose pixels depend on its size and `seed` alone.
fn picture(desk: &Desk, path: &str, (width, height): (u32, u32), seed: u32) {
    let path = desk.path(&format!("data/pictures/{path}"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixel = |x: u32, y: u32| Rgb([x * 5 + seed, y * 7, (x + y) * 3].map(|v| v as u8));
    RgbImage::from_fn(width, height, pixel).save(path).unwrap();
}

/// Two classes in two splits, without anything wrong.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("look.toml", EXPERIMENT);
    picture(&desk, "train/ant/a.png", (30, 40), 1);
    picture(&desk, "train/ant/b.png", (32, 48), 2);
    picture(&desk, "train/ant/c.png", (50, 30), 3);
    picture(&desk, "train/bee/d.png", (30, 40), 4);
    picture(&desk, "val/ant/e.png", (30, 40), 5);
    picture(&desk, "val/bee/f.png", (30, 40), 6);
    desk
}

#[test]
fn good_pictures_are_counted_and_drawn() {
    let desk = desk();
    let seen = desk
        .graft("preview look.toml")
        .code(0)
        .stderr_lacks("error");
    for line in [
        "look: 2 classes",
        "train            4          30–30–50          30–40–48",
        "  ant            3          30–32–50          30–40–48",
        "  bee            1                30                40",
        "val              2                30                40",
        "No picture is there twice.",
        "results are in results/look",
        " preview-train.png preview-val.png",
    ] {
        assert!(seen.stdout.contains(line), "{line}\n{}", seen.stdout);
    }
    let train = image::open(desk.path("results/look/preview-train.png")).unwrap();
    let val = image::open(desk.path("results/look/preview-val.png")).unwrap();
    assert_eq!(train.height(), val.height());
    assert!(train.width() > 500 && train.height() > 400);
    // Nothing is drawn by the clock.
    let first = std::fs::read(desk.path("results/look/preview-train.png")).unwrap();
    desk.graft("preview look.toml --variant two --out elsewhere --set seed=0")
        .code(0);
    let second = std::fs::read(desk.path("elsewhere/preview-train.png")).unwrap();
    assert_ne!(first, second, "the title names the variant");
    desk.graft("preview look.toml").code(0);
    let again = std::fs::read(desk.path("results/look/preview-train.png")).unwrap();
    assert_eq!(first, again);
}

#[test]
fn what_is_wrong_is_told() {
    let desk = desk();
    picture(&desk, "val/ant/copy of a.png", (30, 40), 1);
    picture(&desk, "train/bee/wrong.png", (32, 48), 2);
    desk.write("data/pictures/train/ant/broken.jpg", "not a picture");
    let seen = desk
        .graft("preview look.toml")
        .code(1)
        .stderr_has("error: 1 picture can't be read, which ends every trial")
        .stderr_has("hint: replace or delete");
    for part in [
        "1 picture can't be read:\n",
        "train/ant/broken.jpg: ",
        "LEAK: 1 picture is in more than one split.",
        "  train/ant/a.png = val/ant/copy of a.png\n",
        "1 picture is more than once in a split:\n  train/ant/b.png = train/bee/wrong.png  (different classes)\n",
    ] {
        assert!(seen.stdout.contains(part), "{part}\n{}", seen.stdout);
    }
    assert!(desk.path("results/look/preview-train.png").is_file());
    // Left out of trials, it is named all the same.
    desk.graft("preview look.toml --set data.on_bad_image=skip")
        .code(0)
        .stdout_has("train/ant/broken.jpg: ");
}

#[test]
fn wrong_arguments_are_told() {
    let desk = desk();
    desk.graft("preview look.toml --variant three")
        .code(2)
        .stderr_has("error: there is no variant `three`\nhint: the experiment has one, two");
    desk.graft("preview look.toml --set data.path=nowhere")
        .code(2)
        .stderr_has("there is no folder `nowhere`");
    desk.write("file", "");
    desk.graft("preview look.toml --out file")
        .code(2)
        .stderr_has("hint: choose another folder with --out");
    desk.graft("preview look.toml --results-dir file").code(2);
}
