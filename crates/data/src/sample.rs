//! A made-up photograph as a JPEG file, to measure the input path without any file at hand.

use graft_stream::{Purpose, Stream};
use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};

/// Quality of the file. With the grain below it leaves about 4.5 bits a pixel; the 244 training pictures of ants and bees have 4.6.
const QUALITY: u8 = 95;

/// A JPEG file of `width` × `height` pixels without subsampled colours: smooth shapes of every size with edges and grain,
/// so that decoding it is as much work as decoding a photograph. The same for the same arguments.
///
/// # Panics
/// When a side is 0 or does not fit 16 bits.
pub fn sample_jpeg(width: u32, height: u32, seed: u64) -> Vec<u8> {
    let mut stream = Stream::new(
        seed,
        Purpose::Generate,
        &[u64::from(width), u64::from(height)],
    );
    // Waves of every length, the longer the stronger, as photographs have them.
    let waves: Vec<[f64; 6]> = (0..24)
        .map(|number| {
            let length = 4.0 * 1.25f64.powi(number);
            let angle = stream.uniform(0.0, std::f64::consts::TAU);
            let (x, y) = (angle.cos() / length, angle.sin() / length);
            let strength = length.sqrt();
            [
                std::f64::consts::TAU * x,
                std::f64::consts::TAU * y,
                stream.uniform(0.0, std::f64::consts::TAU),
                strength * stream.uniform(0.5, 1.0),
                strength * stream.uniform(0.5, 1.0),
                strength * stream.uniform(0.5, 1.0),
            ]
        })
        .collect();
    let mut rgb = Vec::with_capacity(3 * width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            let mut color = [118.0; 3];
            for wave in &waves {
                // A clipped wave has edges.
                let value = (2.0
                    * (wave[0] * f64::from(x) + wave[1] * f64::from(y) + wave[2]).sin())
                .clamp(-1.0, 1.0);
                for (channel, strength) in color.iter_mut().zip(&wave[3..]) {
                    *channel += value * strength;
                }
            }
            let grain = stream.uniform(-12.0, 12.0);
            rgb.extend(color.map(|channel: f64| (channel + grain).clamp(0.0, 255.0) as u8));
        }
    }
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY)
        .encode(&rgb, width, height, ExtendedColorType::Rgb8)
        .expect("the sides fit a JPEG and memory takes what is written");
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn samples_are_as_dense_as_photographs_and_decode() {
        let file = sample_jpeg(500, 375, 1);
        let bits = file.len() as f64 * 8.0 / (500.0 * 375.0);
        assert!((4.0..5.2).contains(&bits), "{bits} bits a pixel");
        let picture = decode(&file, false).unwrap();
        assert_eq!((picture.width, picture.height), (500, 375));
        assert_eq!(file, sample_jpeg(500, 375, 1));
        assert_ne!(file, sample_jpeg(500, 375, 2));
    }
}
