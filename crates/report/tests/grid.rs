//! The figure of predicted pictures. With `GRAFT_FIGURES_DIR` set it is kept there, to be looked at.

use std::path::{Path, PathBuf};

use graft_report::Grid;
use image::{Rgb, RgbImage};

const BLUE: [u8; 3] = [0, 114, 178];
const PAPER: [u8; 3] = [244, 244, 244];
const RED: [u8; 3] = [200, 30, 30];

/// A grid of red pictures of these sizes, each labelled in turn.
fn draw(name: &str, sizes: &[(u32, u32)], labels: &[(&str, f64)]) -> RgbImage {
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var("GRAFT_FIGURES_DIR")
        .map_or_else(|_| temporary.path().to_owned(), PathBuf::from);
    let path = folder.join(format!("{name}.png"));
    let mut grid = Grid::new(sizes.len());
    assert!(grid.is_empty());
    for (number, &(width, height)) in sizes.iter().enumerate() {
        let rgb = RED.repeat((width * height) as usize);
        let (class, probability) = labels[number % labels.len()];
        let picture = grid.thumbnail(width, height, &rgb);
        grid.add(
            picture,
            class,
            probability,
            &format!("a picture called {number}.jpg"),
        );
    }
    assert_eq!(grid.len(), sizes.len().min(Grid::MOST));
    let caption = format!("{} pictures", sizes.len());
    grid.write(&path, "resnet18", &caption).unwrap();
    image::open(path).unwrap().into_rgb8()
}

/// The corners of what has this colour: (left, top, right, bottom), the last ones outside.
fn extent(picture: &RgbImage, color: [u8; 3]) -> (u32, u32, u32, u32) {
    let of_color = picture
        .enumerate_pixels()
        .filter(|(.., pixel)| **pixel == Rgb(color));
    of_color.fold(
        (u32::MAX, u32::MAX, 0, 0),
        |(left, top, right, bottom), (x, y, _)| {
            (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1))
        },
    )
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
fn a_picture_lies_in_the_middle_of_its_place_with_its_sides_in_proportion() {
    for (name, size, expected) in [
        ("square", (300, 300), (420, 420)),
        ("wide", (840, 84), (420, 42)),
        ("high", (42, 420), (42, 420)),
        ("tiny", (2, 1), (420, 210)),
    ] {
        let figure = draw(name, &[size], &[("ant", 0.5)]);
        assert_margins(&figure);
        let (left, top, right, bottom) = extent(&figure, RED);
        assert_eq!((right - left, bottom - top), expected, "{name}");
        // The place is 420 pixels wide and high.
        assert_eq!(
            (left + right, top + bottom),
            (2 * 40 + 420, 2 * 100 + 420),
            "{name}"
        );
        let corner = *figure.get_pixel(41, 101);
        let is_filled = size.0 == size.1;
        assert_eq!(corner, Rgb(if is_filled { RED } else { PAPER }), "{name}");
    }
}

#[test]
fn the_bar_is_as_long_as_the_probability() {
    let bar = |probability| {
        let figure = draw("bar", &[(9, 9)], &[("", probability)]);
        let row = 100 + 420 + 9;
        (0..figure.width())
            .filter(|&x| *figure.get_pixel(x, row) == Rgb(BLUE))
            .count()
    };
    assert_eq!((bar(1.0), bar(0.5), bar(0.0)), (420, 210, 0));
    assert_eq!(bar(f64::NAN), 0);
}

#[test]
fn long_names_and_many_pictures_stay_in_their_places() {
    let labels = [
        ("ant", 0.98),
        ("American Staffordshire terrier", 0.31),
        ("Donaudampfschifffahrtsgesellschaftskapitän", 0.02),
        (
            "a class that somebody has described at some length in a file of names",
            1.0,
        ),
    ];
    for count in [3, 5, 24, 100] {
        let sizes: Vec<(u32, u32)> = (0..count)
            .map(|i| [(40, 30), (30, 40), (90, 9), (9, 90)][i % 4])
            .collect();
        let figure = draw(&format!("many-{count}"), &sizes, &labels);
        assert_margins(&figure);
        assert!(
            figure.width() < 2600 && figure.height() < 3000,
            "{:?}",
            figure.dimensions()
        );
    }
}

#[test]
fn more_pictures_than_fit_are_left_out() {
    let figure = draw("most", &[(2, 2); Grid::MOST + 5], &[("ant", 0.5)]);
    assert_margins(&figure);
}

#[test]
fn a_figure_that_cannot_be_written_is_told() {
    let grid = Grid::new(1);
    let path = Path::new("no such folder").join("grid.png");
    let error = grid.write(&path, "", "").unwrap_err().to_string();
    assert!(error.contains("no such folder"), "{error}");
}
