//! Decoding against Pillow 13.0.0 (`scripts/golden_data.py`), and what is refused.

use std::{io::Cursor, path::PathBuf};

use graft_data::{DecodeError, Picture, decode};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read(folder.join(name)).unwrap()
}

/// Largest and mean difference in levels.
fn difference(found: &Picture, expected: &Picture) -> (u8, f64) {
    assert_eq!(
        (found.width, found.height),
        (expected.width, expected.height)
    );
    let apart = found.rgb.iter().zip(&expected.rgb);
    let apart: Vec<u8> = apart.map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: u64 = apart.iter().map(|&levels| u64::from(levels)).sum();
    (
        apart.iter().copied().max().unwrap(),
        sum as f64 / apart.len() as f64,
    )
}

#[test]
fn lossless_formats_are_pillows_to_the_bit() {
    for name in [
        "rgb.png",
        "rgba.png",
        "grey.png",
        "grey-alpha.png",
        "grey16.png",
        "one-bit.png",
        "palette.png",
        "palette-alpha.png",
        "rgb.bmp",
        "palette.bmp",
        "lossless.webp",
    ] {
        let found = decode(&golden(name), false).unwrap();
        let expected = decode(&golden(&format!("{name}.expected.png")), false).unwrap();
        assert_eq!(difference(&found, &expected), (0, 0.0), "{name}");
    }
}

/// The ordinary kind of JPEG, in colours stored full and subsampled, narrower and wider than the groups of blocks that are
/// decoded at once.
#[test]
fn sequential_jpegs_are_pillows_to_the_bit() {
    let small = ["1x1", "2x2", "3x5", "4x9", "17x33"];
    let subsampled = ["422", "420"].map(|kind| small.map(|size| format!("{kind}-{size}.jpg")));
    let others = [
        "444.jpg",
        "422.jpg",
        "420.jpg",
        "restart.jpg",
        "grey.jpg",
        "turned.jpg",
        "noise-444.jpg",
        "noise-420.jpg",
        "coarse.jpg",
        "wide-420.jpg",
        "wide-444.jpg",
    ];
    let others = others.map(str::to_owned);
    for name in subsampled.as_flattened().iter().chain(&others) {
        let found = decode(&golden(name), false).unwrap();
        let expected = decode(&golden(&format!("{name}.expected.png")), false).unwrap();
        assert_eq!(difference(&found, &expected), (0, 0.0), "{name}");
    }
}

#[test]
fn progressive_jpegs_are_pillows_to_the_bit() {
    let kinds = ["444", "422", "grey", "restart", "noise"];
    let sizes = ["1x1", "3x5", "17x33", "150x20"];
    let names = kinds.iter().chain(&sizes);
    let names = names.map(|name| format!("progressive-{name}.jpg"));
    for name in names.chain(["progressive.jpg".to_owned()]) {
        let found = decode(&golden(&name), false).unwrap();
        let expected = decode(&golden(&format!("{name}.expected.png")), false).unwrap();
        assert_eq!(difference(&found, &expected), (0, 0.0), "{name}");
    }
}

/// Largest and mean difference in levels. Subsampled colours are interpolated with another rounding than libjpeg-turbo's.
#[test]
fn other_lossy_formats_are_close_to_pillows() {
    for (name, most, mean) in [("cmyk.jpg", 4, 0.6), ("lossy.webp", 4, 0.5)] {
        let found = decode(&golden(name), false).unwrap();
        let expected = decode(&golden(&format!("{name}.expected.png")), false).unwrap();
        let (worst, average) = difference(&found, &expected);
        println!("{name}: up to {worst}, mean {average:.4}");
        assert!(
            worst <= most && average <= mean,
            "{name}: up to {worst}, mean {average}"
        );
    }
}

#[test]
fn sixteen_bits_keep_their_upper_byte() {
    let wide: Vec<u16> = (0..24u16).map(|i| i * 2700 + 255).collect();
    let bytes: Vec<u8> = wide.iter().flat_map(|value| value.to_ne_bytes()).collect();
    for (color, channels) in [
        (ExtendedColorType::Rgb16, 3),
        (ExtendedColorType::Rgba16, 4),
    ] {
        let mut file = Vec::new();
        let pixels = 24 / channels;
        PngEncoder::new(&mut file)
            .write_image(&bytes, pixels as u32, 1, color)
            .unwrap();
        let picture = decode(&file, false).unwrap();
        let expected: Vec<u8> = wide
            .chunks_exact(channels)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .map(|value| (value >> 8) as u8)
            .collect();
        assert_eq!(picture.rgb, expected);
    }
}

#[test]
fn the_orientation_is_applied_on_request() {
    let upright = decode(&golden("turned.jpg"), false).unwrap();
    assert_eq!((upright.width, upright.height), (57, 41));
    let turned = decode(&golden("turned.jpg"), true).unwrap();
    assert_eq!((turned.width, turned.height), (41, 57));
    // Orientation 6: the stored picture is turned clockwise, so its bottom left comes to the top left.
    assert_eq!(turned.rgb[..3], upright.rgb[40 * 57 * 3..][..3]);
}

#[test]
fn cut_files_are_errors_wherever_they_are_cut() {
    for name in [
        "444.jpg",
        "grey.jpg",
        "wide-420.jpg",
        "progressive.jpg",
        "restart.jpg",
        "cmyk.jpg",
        "rgb.png",
        "lossless.webp",
        "lossy.webp",
        "rgb.bmp",
    ] {
        let whole = golden(name);
        let mut lengths = vec![
            1,
            2,
            3,
            10,
            whole.len() / 4,
            whole.len() / 2,
            whole.len() * 9 / 10,
        ];
        // A PNG's last chunk and a BMP's padding carry no pixels; Pillow does not miss them either.
        if name.contains("jpg") {
            lengths.extend([whole.len() - 1, whole.len() - 2, whole.len() - 12]);
        }
        for length in lengths {
            let result = decode(&whole[..length], false);
            assert!(result.is_err(), "{name} cut to {length} of {}", whole.len());
        }
    }
    assert_eq!(
        decode(&golden("420.jpg")[..900], false),
        Err(DecodeError::Truncated { format: "JPEG" })
    );
}

#[test]
fn damaged_files_never_panic() {
    for name in [
        "420.jpg",
        "restart.jpg",
        "wide-444.jpg",
        "noise-420.jpg",
        "progressive.jpg",
        "cmyk.jpg",
        "palette.png",
        "lossy.webp",
        "lossless.webp",
        "palette.bmp",
    ] {
        let whole = golden(name);
        for at in (0..whole.len()).step_by(3) {
            for value in [0, 0x7F, 0xFF] {
                let mut bent = whole.clone();
                bent[at] = value;
                // Whether it still can be read is the format's business.
                let _ = decode(&bent, true);
            }
        }
    }
}

/// A PNG whose header promises 20,000 × 20,000 pixels is refused from the header alone.
#[test]
fn bombs_are_refused_by_their_header() {
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&[0; 12], 2, 2, ExtendedColorType::Rgb8)
        .unwrap();
    png[16..20].copy_from_slice(&20_000u32.to_be_bytes());
    png[20..24].copy_from_slice(&20_000u32.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(
        decode(&png, false),
        Err(DecodeError::TooLarge {
            width: 20_000,
            height: 20_000
        })
    );
    let mut jpeg = golden("444.jpg");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xF0, 0, 0xF0, 0]);
    assert_eq!(
        decode(&jpeg, false),
        Err(DecodeError::TooLarge {
            width: 61_440,
            height: 61_440
        })
    );
}

/// PNG's checksum (ISO 15948, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

#[test]
fn empty_and_foreign_files_say_so() {
    assert_eq!(decode(&[], false), Err(DecodeError::Empty));
    let error = decode(b"GIF89a......", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its content is no JPEG, PNG, WebP or BMP (it begins with 47 49 46 38 39 61 2e 2e)"
    );
}

#[test]
fn one_pixel_is_a_picture() {
    let mut png = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(1, 1, image::Rgb([9, 8, 7]))
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    let picture = decode(png.get_ref(), false).unwrap();
    assert_eq!(
        (picture.width, picture.height, picture.rgb),
        (1, 1, vec![9, 8, 7])
    );
}
