//! A decoded picture.

/// A decoded picture: 8-bit RGB, interleaved, row by row from the top left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Bytes that the pixels take.
    pub fn bytes(&self) -> usize {
        self.rgb.len()
    }
}
