//! Agreement with torchvision 0.29.2 on PIL pictures (Pillow 13.0.0), to the bit: `scripts/golden_transforms.py` made the files.

use graft_stream::{Purpose, Stream};

use super::{
    Crop, Mode, Normalization, Scratch, Transform,
    augment::{Jittered, Operation},
    color, crop,
    parity::{picture, read},
    plan::{Pixels, Plan},
    turn,
};
use crate::{Filter, Picture, Step, TransformSpec, Views};

const FACTORS: [f64; 7] = [0.0, 0.3, 0.77, 1.0, 1.3, 1.9, 4.5];
const TURNS: [f64; 7] = [-0.5, -0.21, -0.001, 0.0, 0.1, 0.4, 0.5];
const ANGLES: [f64; 10] = [
    -180.0, -90.0, -33.3, -1.5, 0.0, 0.01, 12.0, 45.0, 90.0, 178.9,
];
const MAGNITUDES: [u32; 4] = [0, 4, 9, 30];
const SIZES: [(&str, u32, u32); 3] = [("wide", 29, 18), ("tall", 15, 22), ("square", 17, 17)];

fn golden(name: &str) -> Picture {
    read("golden-transforms", &format!("{name}.png"))
}

/// Compares pictures with those that lie in a file one below the other.
fn assert_same(name: &str, found: &[Picture]) {
    let expected = golden(name);
    let (width, mut top) = (expected.width as usize, 0);
    for (number, found) in found.iter().enumerate() {
        let row = 3 * found.width as usize;
        for (y, bytes) in found.rgb.chunks_exact(row).enumerate() {
            let expected = &expected.rgb[3 * width * (top + y)..][..row];
            assert_eq!(bytes, expected, "{name}: result {number}, row {y}");
        }
        top += found.height as usize;
    }
    assert_eq!(top, expected.height as usize, "{name}");
}

/// What `change` makes of a picture with each of `parameters`.
fn each<P: Copy>(
    picture: &Picture,
    parameters: &[P],
    change: impl Fn(&mut Picture, P),
) -> Vec<Picture> {
    let changed = |&parameter: &P| {
        let mut picture = picture.clone();
        change(&mut picture, parameter);
        picture
    };
    parameters.iter().map(changed).collect()
}

#[test]
fn colours_are_changed_as_torchvision_changes_them() {
    let picture = golden("colours");
    assert_same("brightness", &each(&picture, &FACTORS, color::brightness));
    assert_same("contrast", &each(&picture, &FACTORS, color::contrast));
    assert_same("saturation", &each(&picture, &FACTORS, color::saturation));
    assert_same("hue", &each(&picture, &TURNS, color::hue));
    let jittered = Jittered {
        order: [2, 0, 3, 1],
        factors: [Some(0.7), Some(1.2), Some(1.3), Some(0.08)],
    };
    let found = each(&picture, &[jittered], |picture, jittered| {
        jittered.apply(picture);
    });
    assert_same("jitter", &found);
}

#[test]
fn pictures_are_turned_as_torchvision_turns_them() {
    for (name, width, height) in SIZES {
        let picture = picture(width, height);
        for (filter, end) in [(Filter::Nearest, ""), (Filter::Bilinear, "-bilinear")] {
            let found = each(&picture, &ANGLES, |picture, angle| {
                turn::rotate(picture, angle, filter, &mut Vec::new());
            });
            assert_same(&format!("rotate-{name}{end}"), &found);
        }
    }
    let flipped = [(29, 18), (15, 21)].map(|(width, height)| {
        let mut picture = picture(width, height);
        turn::flip(&mut picture);
        picture
    });
    assert_same("vertical", &flipped);
}

#[test]
fn operations_are_those_of_rand_augment() {
    for (name, width, height) in SIZES {
        let picture = picture(width, height);
        let mut found = Vec::new();
        for operation in Operation::ALL {
            let directions = if operation.is_signed() { 2 } else { 1 };
            for magnitude in MAGNITUDES {
                for direction in 0..directions {
                    let mut picture = picture.clone();
                    operation.apply(&mut picture, magnitude, direction == 1, &mut Vec::new());
                    found.push(picture);
                }
            }
        }
        assert_same(&format!("operations-{name}"), &found);
    }
}

/// The picture after some crops, as a plan makes it.
fn planned(picture: &Picture, crops: &[Crop]) -> Picture {
    let (mut scratch, mut plan) = (Scratch::default(), Plan::new(picture.width, picture.height));
    let mut canvas = Pixels {
        picture,
        scratch: &mut scratch,
    };
    for &part in crops {
        plan.crop(part, &mut canvas).unwrap();
    }
    assert!(!plan.finish(&mut canvas).unwrap());
    scratch.done
}

#[test]
fn pictures_are_padded_and_cropped_as_torchvision_does() {
    for (name, width, height) in SIZES {
        let picture = picture(width, height);
        let black = [1, 4, 40].map(|n| planned(&picture, &[crop::padded(width, height, n)]));
        let mirrored = each(&picture, &[1, 4, 40], |picture, n| {
            turn::reflect(picture, n, &mut Vec::new());
        });
        assert_same(&format!("pad-{name}"), &[black.to_vec(), mirrored].concat());
    }
    let small = picture(16, 16);
    let crops = [(0, 0), (8, 8), (3, 5), (0, 8)].map(|(y, x)| {
        let part = Crop {
            x,
            y,
            width: 16,
            height: 16,
        };
        planned(&small, &[crop::padded(16, 16, 4), part])
    });
    assert_same("pad-crop", &crops);
    // What the first crop cut off does not come back with the second.
    let twice = [crop::center(40, 30, 20), crop::center(20, 20, 28)];
    assert_same("center-twice", &[planned(&picture(40, 30), &twice)]);
}

fn transform(train: &[&str], size: u32) -> Transform {
    let spec = TransformSpec {
        size,
        train: train.iter().map(|step| step.parse().unwrap()).collect(),
        eval: vec![Step::CenterCrop(None)],
        views: Views::Fresh,
    };
    let normalization = Normalization {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
    Transform::new(&spec, normalization).unwrap()
}

/// Steps that change bytes do so between the steps that move the window, in the order of the list.
#[test]
fn a_list_does_its_steps_one_after_the_other() {
    let source = picture(40, 30);
    let transform = transform(
        &[
            "horizontal-flip",
            "center-crop 24",
            "color-jitter 0.5 0 0",
            "pad 3 reflect",
            "random-crop 20",
        ],
        20,
    );
    let mut scratch = Scratch::default();
    let mut flips = 0;
    for index in 0..20 {
        let stream = || Stream::new(2, Purpose::Augment, &[index]);
        let view = transform
            .view(&source, Mode::Training, &mut stream(), &mut scratch)
            .unwrap();
        let mut draws = stream();
        let mut expected = source.clone();
        if draws.chance(0.5) {
            turn::mirror(&mut expected);
            flips += 1;
        }
        expected = planned(&expected, &[crop::center(40, 30, 24)]);
        let Step::ColorJitter(jitter) = transform.spec().train[2] else {
            unreachable!("it is the third step");
        };
        Jittered::draw(&jitter, &mut draws).apply(&mut expected);
        turn::reflect(&mut expected, 3, &mut Vec::new());
        let part = crop::random(30, 30, 20, &mut draws).unwrap();
        expected = planned(&expected, &[part]);
        assert_eq!(view, expected, "{index}");
    }
    assert!((4..17).contains(&flips), "{flips} of 20");
}

/// torchvision: `RandomErasing` comes behind `Normalize` and sets to 0.
#[test]
fn erasing_sets_normalised_values_to_zero() {
    let source = picture(40, 30);
    let (plain, erasing) = (
        transform(&["random-crop 24"], 24),
        transform(&["random-crop 24", "random-erasing 1"], 24),
    );
    let mut scratch = Scratch::default();
    let stream = || Stream::new(0, Purpose::Augment, &[1]);
    let mut run = |transform: &Transform| {
        let mut out = vec![f32::NAN; transform.input_len()];
        let view = transform
            .view(&source, Mode::Training, &mut stream(), &mut scratch)
            .unwrap();
        transform
            .apply(
                &source,
                Mode::Training,
                &mut stream(),
                &mut scratch,
                &mut out,
            )
            .unwrap();
        (out, view.rgb)
    };
    let (whole, (erased, seen)) = (run(&plain).0, run(&erasing));
    let mut zeros = 0;
    for (place, (whole, erased)) in whole.iter().zip(&erased).enumerate() {
        if whole != erased {
            assert_eq!(*erased, 0.0);
            assert_eq!(seen[place], [124, 116, 104][place % 3]);
            zeros += 1;
        }
    }
    assert!((30..1200).contains(&zeros), "{zeros} values");
    let mut never = Stream::new(0, Purpose::Augment, &[1]);
    let none = transform(&["random-crop 24", "random-erasing 0"], 24);
    let mut out = vec![0.0; none.input_len()];
    none.apply(&source, Mode::Training, &mut never, &mut scratch, &mut out)
        .unwrap();
    assert_eq!(out, whole);
}

#[test]
fn a_picture_that_is_too_small_for_its_crop_is_an_error() {
    let transform = transform(&["random-crop 24"], 24);
    let error = transform.view(
        &picture(30, 20),
        Mode::Training,
        &mut Stream::from_key(0),
        &mut Scratch::default(),
    );
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("a random crop of 24 × 24 pixels does not fit into 30 × 20"),
        "{text}"
    );
}
