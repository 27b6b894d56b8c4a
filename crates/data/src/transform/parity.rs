//! Agreement with torchvision 0.29.2 on PIL pictures (Pillow 13.0.0): `scripts/golden_data.py` made the files.

use std::path::PathBuf;

use graft_stream::{Purpose, Stream};

use super::{
    Crop, Mode, Normalization, Scratch, Transform,
    plan::{Pixels, Plan},
};
use crate::{Picture, Step, TransformSpec, Views, decode};

const PLAIN: Normalization = Normalization {
    mean: [0.0; 3],
    std: [1.0; 3],
};

/// The picture that the script draws.
pub(super) fn picture(width: u32, height: u32) -> Picture {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let edges = (x / 9 + y / 7) % 2 * 60;
                rgb.push((x * (3 + c) + y * (5 - c) + edges + x * y % 17) as u8);
            }
        }
    }
    Picture { width, height, rgb }
}

fn golden(name: &str) -> Picture {
    read("golden", name)
}

/// A file of a folder of golden pictures.
pub(super) fn read(folder: &str, name: &str) -> Picture {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    decode(
        &std::fs::read(tests.join(folder).join(name)).unwrap(),
        false,
    )
    .unwrap()
}

fn evaluated(picture: &Picture, steps: &[Step], size: u32) -> Picture {
    let spec = TransformSpec {
        size,
        train: vec![Step::RandomResizedCrop],
        eval: steps.to_vec(),
        views: Views::Fresh,
    };
    Transform::new(&spec, PLAIN)
        .unwrap()
        .view(
            picture,
            Mode::Evaluation,
            &mut Stream::from_key(0),
            &mut Scratch::default(),
        )
        .unwrap()
}

#[test]
fn resize_and_center_crop_are_torchvisions() {
    for (w, h) in [(97, 61), (61, 97), (45, 45), (300, 7), (1, 1), (3, 2)] {
        let picture = picture(w, h);
        for (side, crop) in [(40, 32), (32, 32), (20, 32), (110, 96)] {
            if (w, side) == (300, 110) {
                continue;
            }
            let steps = [Step::Resize(side), Step::CenterCrop(Some(crop))];
            let name = format!("resize-{w}x{h}-{side}-{crop}.png");
            assert_eq!(evaluated(&picture, &steps, crop), golden(&name), "{name}");
        }
        let name = format!("crop-{w}x{h}-50.png");
        let found = evaluated(&picture, &[Step::CenterCrop(None)], 50);
        assert_eq!(found, golden(&name), "{name}");
        let name = format!("twice-{w}x{h}.png");
        let steps = [Step::CenterCrop(Some(50)), Step::Resize(32)];
        assert_eq!(evaluated(&picture, &steps, 32), golden(&name), "{name}");
    }
}

#[test]
fn a_resized_crop_sees_nothing_outside_of_its_box() {
    let picture = picture(97, 61);
    let boxes = [
        (0, 0, 61, 97),
        (5, 11, 40, 31),
        (20, 60, 9, 12),
        (60, 96, 1, 1),
        (3, 0, 32, 32),
        (0, 13, 61, 45),
        (7, 50, 54, 34),
        (4, 3, 50, 32),
        (2, 9, 32, 60),
        (0, 5, 61, 1),
        (7, 0, 1, 97),
    ];
    for (y, x, height, width) in boxes {
        let mut scratch = Scratch::default();
        let mut plan = Plan::new(97, 61);
        let mut canvas = Pixels {
            picture: &picture,
            scratch: &mut scratch,
        };
        let part = Crop {
            x: x.into(),
            y: y.into(),
            width,
            height,
        };
        plan.crop(part, &mut canvas).unwrap();
        plan.resize(32, 32, &mut canvas).unwrap();
        plan.finish(&mut canvas).unwrap();
        let name = format!("box-{y}-{x}-{height}-{width}.png");
        assert_eq!(scratch.done, golden(&name), "{name}");
    }
}

/// A flip before a crop is the same as the mirrored crop and a flip after it.
#[test]
fn flips_move_through_crops_and_resizes() {
    let picture = picture(97, 61);
    let mut mirrored = picture.clone();
    for row in mirrored.rgb.chunks_exact_mut(97 * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
    let crop = Crop {
        x: 7,
        y: -3,
        width: 50,
        height: 40,
    };
    let run = |picture: &Picture, flip_first: bool| {
        let mut scratch = Scratch::default();
        let mut plan = Plan::new(97, 61);
        let mut canvas = Pixels {
            picture,
            scratch: &mut scratch,
        };
        if flip_first {
            plan.flip();
        }
        plan.crop(crop, &mut canvas).unwrap();
        plan.resize(33, 21, &mut canvas).unwrap();
        let part = Crop {
            x: 2,
            y: 1,
            width: 20,
            height: 18,
        };
        plan.crop(part, &mut canvas).unwrap();
        let flip = plan.finish(&mut canvas).unwrap();
        assert_eq!(flip, flip_first);
        let mut done = scratch.done;
        if flip {
            for row in done.rgb.chunks_exact_mut(20 * 3) {
                row.as_chunks_mut::<3>().0.reverse();
            }
        }
        done
    };
    assert_eq!(run(&picture, true), run(&mirrored, false));
}

/// torchvision: `Normalize(mean, std)(to_tensor(view))`, here with the channels last.
#[test]
fn inputs_are_the_normalised_view() {
    let normalization = Normalization {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
    let spec = TransformSpec {
        size: 24,
        train: vec![Step::RandomResizedCrop, Step::HorizontalFlip],
        eval: vec![Step::Resize(24), Step::CenterCrop(None)],
        views: Views::Fresh,
    };
    let transform = Transform::new(&spec, normalization).unwrap();
    let (picture, mut scratch) = (picture(97, 61), Scratch::default());
    let mut mirrored = 0;
    for index in 0..40 {
        let stream = || Stream::new(0, Purpose::Augment, &[0, 0, index]);
        let view = transform
            .view(&picture, Mode::Training, &mut stream(), &mut scratch)
            .unwrap();
        let mut input = vec![f32::NAN; transform.input_len()];
        transform
            .apply(
                &picture,
                Mode::Training,
                &mut stream(),
                &mut scratch,
                &mut input,
            )
            .unwrap();
        for (values, pixel) in input.chunks_exact(3).zip(view.rgb.chunks_exact(3)) {
            for c in 0..3 {
                let expected =
                    (f32::from(pixel[c]) / 255.0 - normalization.mean[c]) / normalization.std[c];
                assert_eq!(values[c], expected);
            }
        }
        let mut again = vec![0.0; transform.input_len()];
        transform.normalize_view(&view, &mut again);
        assert_eq!(input, again);
        // The second draw of the list is the flip; the crop took at least four.
        let mut drawn = stream();
        super::random_resized_crop(97, 61, &mut drawn);
        mirrored += usize::from(drawn.chance(0.5));
    }
    assert!(
        (10..30).contains(&mirrored),
        "{mirrored} of 40 are mirrored"
    );
}
