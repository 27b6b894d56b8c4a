//! Encoded bytes to an RGB picture, as Pillow's `Image.open(…).convert("RGB")` does it.
//!
//! The format is told by the content, never by the file's name. Grey becomes three equal channels, alpha is dropped,
//! palettes are looked up, CMYK is converted, 16-bit channels keep their upper byte (Pillow does that for 16-bit RGB but
//! clips 16-bit grey at 255, which leaves it white; here both keep the upper byte). Of an animation the first frame is taken.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageFormat, Limits, RgbImage,
    codecs::{bmp::BmpDecoder, png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};
use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use crate::{Picture, jpeg};

/// Pictures with more pixels are refused before memory is taken for them: Pillow's `MAX_IMAGE_PIXELS`.
pub const MAX_PIXELS: u64 = 89_478_485;

/// Why bytes are no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// The beginning is that of no known format.
    #[error("its content is no JPEG, PNG, WebP or BMP (it begins with {found})")]
    UnknownFormat {
        /// The first bytes in hexadecimal.
        found: String,
    },
    /// The file ends too early.
    #[error("the {format} file is cut off: its end is missing")]
    Truncated {
        /// The format.
        format: &'static str,
    },
    /// The picture is too large.
    #[error(
        "{width} × {height} pixels are more than the limit of {MAX_PIXELS}; scale it down first"
    )]
    TooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
    },
    /// The picture has no extent.
    #[error("it has no pixels")]
    NoPixels,
    /// The content breaks the rules of its format.
    #[error("the {format} file is damaged: {reason}")]
    Damaged {
        /// The format.
        format: &'static str,
        /// What the decoder found.
        reason: String,
    },
}

/// Decodes a picture; `exif_orientation` applies the orientation that a camera noted, which torchvision does not.
pub fn decode(bytes: &[u8], exif_orientation: bool) -> Result<Picture, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let (image, orientation) = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => decode_jpeg(bytes)?,
        Ok(ImageFormat::Png) => decode_with("PNG", PngDecoder::new(Cursor::new(bytes)))?,
        Ok(ImageFormat::WebP) => decode_with("WebP", WebPDecoder::new(Cursor::new(bytes)))?,
        Ok(ImageFormat::Bmp) => decode_with("BMP", BmpDecoder::new(Cursor::new(bytes)))?,
        _ => {
            return Err(DecodeError::UnknownFormat {
                found: first_bytes(bytes),
            });
        }
    };
    let image = if exif_orientation && orientation != Orientation::NoTransforms {
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(orientation);
        image.into_rgb8()
    } else {
        image
    };
    Ok(Picture {
        width: image.width(),
        height: image.height(),
        rgb: image.into_raw(),
    })
}

/// PNG, WebP and BMP by the `image` crate's decoders.
fn decode_with<D: ImageDecoder>(
    format: &'static str,
    decoder: image::ImageResult<D>,
) -> Result<(RgbImage, Orientation), DecodeError> {
    let mut decoder = decoder.map_err(|error| damage(format, &error))?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    let mut limits = Limits::default();
    // The largest picture with four 16-bit channels, and as much again for the decoder itself.
    limits.max_alloc = Some(MAX_PIXELS * 16);
    decoder
        .set_limits(limits)
        .map_err(|error| damage(format, &error))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(|error| damage(format, &error))?;
    Ok((to_rgb8(image), orientation))
}

/// JPEG: the usual kinds by our own decoder, which gives libjpeg-turbo's (Pillow's) bits, everything else by zune-jpeg,
/// which is a third of a level away on average where the colours are subsampled.
fn decode_jpeg(bytes: &[u8]) -> Result<(RgbImage, Orientation), DecodeError> {
    if let Some(decoded) = jpeg::decode(bytes, MAX_PIXELS)
        && let Some(image) = RgbImage::from_raw(decoded.width, decoded.height, decoded.rgb)
    {
        let orientation = decoded
            .exif
            .and_then(Orientation::from_exif_chunk)
            .unwrap_or(Orientation::NoTransforms);
        return Ok((image, orientation));
    }
    let damaged = |error: DecodeErrors| DecodeError::Damaged {
        format: "JPEG",
        reason: error.to_string(),
    };
    let truncated = DecodeError::Truncated { format: "JPEG" };
    // The decoder fills what is missing with grey, so the end is looked for first, as Pillow insists on it.
    if !jpeg_reaches_its_end(bytes) {
        return Err(truncated);
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let decoded = match decode_jpeg_with(bytes, options) {
        // Stray bytes between two headers harm nothing; libjpeg skips them with a warning.
        Err(JpegFailure::Decoder(DecodeErrors::FormatStatic(text)))
            if text.contains("Extra bytes") =>
        {
            decode_jpeg_with(bytes, options.set_strict_mode(false))
        }
        decoded => decoded,
    };
    decoded.map_err(|failure| match failure {
        JpegFailure::Size(error) => error,
        JpegFailure::Decoder(DecodeErrors::FormatStatic("Premature end of buffer")) => truncated,
        JpegFailure::Decoder(error) => damaged(error),
    })
}

/// Why a JPEG was not decoded.
enum JpegFailure {
    Size(DecodeError),
    Decoder(DecodeErrors),
}

/// One decoding with given options.
fn decode_jpeg_with(
    bytes: &[u8],
    options: DecoderOptions,
) -> Result<(RgbImage, Orientation), JpegFailure> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(JpegFailure::Decoder)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    check_size(width as u64, height as u64).map_err(JpegFailure::Size)?;
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);
    let pixels = decoder.decode().map_err(JpegFailure::Decoder)?;
    RgbImage::from_raw(width as u32, height as u32, pixels)
        .map(|image| (image, orientation))
        .ok_or(JpegFailure::Decoder(DecodeErrors::FormatStatic(
            "the colours are none that can become RGB",
        )))
}

/// Whether the marker segments of a JPEG lead to its end-of-image marker (ITU T.81, B.1.1).
fn jpeg_reaches_its_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // To the next marker: over compressed data, stuffed zeros, restart markers, fill bytes and stray bytes.
        let Some(step) = bytes.get(at..).and_then(|rest| {
            rest.windows(2).position(|pair| {
                pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0x01 | 0xFF | 0xD0..=0xD7)
            })
        }) else {
            return false;
        };
        at += step + 2;
        if bytes[at - 1] == 0xD9 {
            return true;
        }
        let Some(length) = bytes.get(at..at + 2) else {
            return false;
        };
        at += usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
}

/// Eight bits in three channels. The `image` crate's own conversion rounds 16-bit values, this keeps the upper byte.
fn to_rgb8(image: DynamicImage) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let high = |value: u16| (value >> 8) as u8;
    let rgb: Vec<u8> = match &image {
        DynamicImage::ImageLuma16(image) => {
            image.pixels().flat_map(|p| [high(p.0[0]); 3]).collect()
        }
        DynamicImage::ImageLumaA16(image) => {
            image.pixels().flat_map(|p| [high(p.0[0]); 3]).collect()
        }
        DynamicImage::ImageRgb16(image) => image.pixels().flat_map(|p| p.0.map(high)).collect(),
        DynamicImage::ImageRgba16(image) => image
            .pixels()
            .flat_map(|p| [high(p.0[0]), high(p.0[1]), high(p.0[2])])
            .collect(),
        _ => return image.into_rgb8(),
    };
    RgbImage::from_raw(width, height, rgb).expect("three bytes for every pixel were collected")
}

/// Refuses pictures that would take too much memory, or none.
fn check_size(width: u64, height: u64) -> Result<(), DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::NoPixels);
    }
    if width * height > MAX_PIXELS {
        return Err(DecodeError::TooLarge { width, height });
    }
    Ok(())
}

/// What a decoder of the `image` crate complained about.
fn damage(format: &'static str, error: &image::ImageError) -> DecodeError {
    if let image::ImageError::IoError(error) = error
        && error.kind() == std::io::ErrorKind::UnexpectedEof
    {
        return DecodeError::Truncated { format };
    }
    DecodeError::Damaged {
        format,
        reason: error.to_string(),
    }
}

/// The first bytes of a file as text, to tell what it may be.
fn first_bytes(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
    shown.join(" ")
}
