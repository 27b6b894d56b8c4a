//! Figures of synthetic sweeps. With `GRAFT_FIGURES_DIR` set they are kept there, to be looked at.

mod synthetic;

use std::path::{Path, PathBuf};

use graft_record::{State, safe_name};
use image::{Rgb, RgbImage};
use synthetic::Sweep;

const BLUE: [u8; 3] = [0, 114, 178];
const VERMILLION: [u8; 3] = [213, 94, 0];
const GREEN: [u8; 3] = [0, 158, 115];

/// A results folder that is removed unless somebody wants to look at it.
struct Folder {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn of(name: &str, sweep: &Sweep) -> Self {
        let folder = if let Ok(keep) = std::env::var("GRAFT_FIGURES_DIR") {
            let path = Path::new(&keep).join(name);
            Self {
                path,
                _temporary: None,
            }
        } else {
            let temporary = tempfile::tempdir().unwrap();
            Self {
                path: temporary.path().to_owned(),
                _temporary: Some(temporary),
            }
        };
        let report = graft_report::write(&sweep.write(&folder.path)).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        folder
    }

    fn figure(&self, name: &str) -> RgbImage {
        image::open(self.path.join(name)).unwrap().into_rgb8()
    }
}

/// How many pixels have exactly this colour, in a part of the picture given in fractions.
fn count(picture: &RgbImage, color: [u8; 3], x: (f64, f64), y: (f64, f64)) -> usize {
    let (w, h) = (f64::from(picture.width()), f64::from(picture.height()));
    picture
        .enumerate_pixels()
        .filter(|(px, py, pixel)| {
            let (px, py) = (f64::from(*px) / w, f64::from(*py) / h);
            **pixel == Rgb(color) && px >= x.0 && px < x.1 && py >= y.0 && py < y.1
        })
        .count()
}

/// Nothing is drawn at the edge, where it would be cut off.
fn assert_margins(picture: &RgbImage) {
    let (w, h) = picture.dimensions();
    for (x, y, pixel) in picture.enumerate_pixels() {
        if x < 8 || y < 8 || x >= w - 8 || y >= h - 6 {
            assert_eq!(*pixel, Rgb([255; 3]), "ink at {x}, {y} of {w} x {h}");
        }
    }
}

#[test]
fn figures_of_a_finished_sweep() {
    let mut sweep = Sweep::new(&["scratch", "pretrained", "frozen"], 10, 20);
    sweep.samples = true;
    let folder = Folder::of("beeant", &sweep);
    let curves = folder.figure("curves.png");
    assert_eq!(curves.width(), 1600);
    assert!((700..900).contains(&curves.height()));
    for color in [BLUE, VERMILLION, GREEN] {
        for panel in [(0.06, 0.44), (0.47, 0.86)] {
            let found = count(&curves, color, panel, (0.2, 0.95));
            assert!(found > 300, "{found} pixels of {color:?} in {panel:?}");
        }
    }
    for name in [
        "curves.png",
        "errors-scratch.png",
        "predictions-frozen.png",
        "batch.png",
        "confusion-frozen.png",
    ] {
        assert_margins(&folder.figure(name));
    }
    let errors = folder.figure("errors-pretrained.png");
    assert!(count(&errors, VERMILLION, (0.0, 0.45), (0.2, 0.95)) > 300);
    assert_eq!(count(&errors, BLUE, (0.0, 1.0), (0.0, 1.0)), 0);
    let predictions = folder.figure("predictions-scratch.png");
    assert!(count(&predictions, GREEN, (0.0, 1.0), (0.0, 1.0)) > 1000);
    assert!(count(&predictions, VERMILLION, (0.0, 1.0), (0.0, 1.0)) > 1000);
}

#[test]
fn one_epoch_and_one_repeat_are_points_without_bands() {
    let folder = Folder::of("one", &Sweep::new(&["scratch", "pretrained"], 1, 1));
    let curves = folder.figure("curves.png");
    for color in [BLUE, VERMILLION] {
        assert!(count(&curves, color, (0.06, 0.44), (0.2, 0.95)) > 20);
    }
    assert_margins(&curves);
    assert_margins(&folder.figure("errors-scratch.png"));
}

#[test]
fn twelve_variants_with_long_names() {
    let names: Vec<String> = (1..=12)
        .map(|i| format!("resnet18 / fine-tuned with head_lr={i}0 and a very long name indeed"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut sweep = Sweep::new(&names, 3, 8);
    sweep.samples = true;
    let folder = Folder::of("twelve", &sweep);
    assert_margins(&folder.figure("curves.png"));
    let file = format!("errors-{}.png", safe_name(names[0]));
    assert_margins(&folder.figure(&file));
    assert_margins(&folder.figure(&file.replace("errors", "predictions")));
}

#[test]
fn a_grid_has_a_row_of_panels_for_each_cell() {
    let mut sweep = Sweep::new(&["scratch", "pretrained"], 3, 60);
    sweep.cells = [
        "lr=0.0001,batch_size=8",
        "lr=0.001,batch_size=8",
        "lr=0.01,batch_size=8",
    ]
    .map(str::to_owned)
    .into();
    let folder = Folder::of("grid", &sweep);
    let curves = folder.figure("curves.png");
    for row in [(0.12, 0.38), (0.42, 0.66), (0.72, 0.95)] {
        assert!(count(&curves, BLUE, (0.06, 0.44), row) > 100);
    }
    assert_margins(&curves);
}

#[test]
fn diverged_and_unfinished_trials_are_drawn_apart() {
    let mut sweep = Sweep::new(&["scratch", "pretrained", "frozen"], 5, 20);
    sweep.state = |variant, _, repeat| match (variant, repeat) {
        (0, 2) | (1, _) => Some(State::Diverged),
        (0, 4) => Some(State::Failed),
        (2, 3..) => Some(State::Running),
        _ => Some(State::Finished),
    };
    let folder = Folder::of("diverged", &sweep);
    assert_margins(&folder.figure("curves.png"));
    let errors = folder.figure("errors-scratch.png");
    assert!(count(&errors, [140; 3], (0.06, 0.44), (0.3, 0.8)) > 50);
}

#[test]
fn a_hundred_classes() {
    let mut sweep = Sweep::new(&["scratch", "pretrained"], 2, 3);
    sweep.classes = (0..100).map(|i| format!("n{i:08}")).collect();
    let hundred = Folder::of("hundred", &sweep);
    assert_margins(&hundred.figure("confusion-scratch.png"));
    sweep.classes = (0..30)
        .map(|i| format!("a class with a long name {i}"))
        .collect();
    let thirty = Folder::of("thirty", &sweep);
    assert_margins(&thirty.figure("confusion-scratch.png"));
    sweep.classes = (0..10).map(|i| format!("airplane {i}")).collect();
    let ten = Folder::of("ten", &sweep);
    assert_margins(&ten.figure("confusion-scratch.png"));
}
