//! How inputs are made of pictures, checked and written down for the kernels.

use std::ops::Range;

use candle_core::{Error, Result};

use super::PictureId;

/// What an input is made of.
#[derive(Clone, Copy, Debug)]
pub enum PicturePixels<'a> {
    /// A picture that is kept.
    Kept(PictureId),
    /// Bytes (height, width, 3), for this input alone.
    Bytes {
        /// Row by row from the top left.
        rgb: &'a [u8],
        /// Pixels of a row.
        width: usize,
    },
}

/// What the columns, or the rows, of a resized picture are made of.
#[derive(Clone, Copy, Debug)]
pub enum PictureFilter<'a> {
    /// So many of the picture's, as they are.
    Same(usize),
    /// Each is the sum of some of the picture's times factors with 22 fractional bits, rounded, and limited to a byte.
    Weighed {
        /// Of which ones each is made.
        ranges: &'a [Range<usize>],
        /// The factors, equally many for each range; those too many at the end do not count.
        factors: &'a [i32],
    },
}

impl PictureFilter<'_> {
    /// Columns or rows of the result.
    fn len(&self) -> usize {
        match self {
            Self::Same(len) => *len,
            Self::Weighed { ranges, .. } => ranges.len(),
        }
    }

    /// The columns or rows of the picture that count.
    fn span(&self) -> Range<usize> {
        match self {
            Self::Same(len) => 0..*len,
            Self::Weighed { ranges, .. } => {
                let start = ranges.iter().map(|range| range.start).min().unwrap_or(0);
                start..ranges.iter().map(|range| range.end).max().unwrap_or(0)
            }
        }
    }

    /// Whether there are enough factors for all ranges.
    fn is_whole(&self) -> bool {
        match self {
            Self::Same(_) => true,
            Self::Weighed { ranges, factors } => {
                let stride = factors.len().checked_div(ranges.len()).unwrap_or(0);
                factors.len() == stride * ranges.len()
                    && (ranges.iter())
                        .all(|range| range.start <= range.end && range.len() <= stride)
            }
        }
    }
}

/// How the input (size, size, 3) of a network is made of a picture.
#[derive(Clone, Debug)]
pub struct PictureView<'a> {
    /// What it is made of.
    pub pixels: PicturePixels<'a>,
    /// Column and row of the picture that the filters count from.
    pub origin: [usize; 2],
    /// What the columns of the result are made of.
    pub across: PictureFilter<'a>,
    /// What the rows of the result are made of.
    pub down: PictureFilter<'a>,
    /// Whether columns are resized before rows, if both are; what is between is rounded to bytes.
    pub columns_first: bool,
    /// Column and row of the input where the result begins. Around it the input is black.
    pub corner: [usize; 2],
    /// Whether the input is then mirrored left to right.
    pub mirrored: bool,
    /// Columns and rows of the mirrored and normalised input that are set to 0.
    pub erased: Option<[Range<usize>; 2]>,
}

/// Where a pass reads.
#[derive(Clone, Copy)]
enum Place {
    /// At an address.
    Address(u64),
    /// So far behind the beginning of the bytes that are uploaded.
    Uploaded(usize),
    /// So far behind the beginning of what is between the two directions.
    Between(usize),
}

impl Place {
    /// So many bytes further on.
    fn plus(self, bytes: usize) -> Self {
        match self {
            Self::Address(address) => Self::Address(address + bytes as u64),
            Self::Uploaded(start) => Self::Uploaded(start + bytes),
            Self::Between(start) => Self::Between(start + bytes),
        }
    }
}

/// The kernels' `PicturePass`.
#[derive(Clone, Copy)]
struct Pass {
    from: Place,
    pitch: usize,
    /// Places of the tables, in words behind the views, and factors of each pixel; none for a copy.
    tables: Option<[usize; 3]>,
    down: bool,
}

/// The kernels' `PictureView`.
struct Encoded {
    first: Pass,
    second: Pass,
    /// Where what is between begins, bytes of a row of it, and rows.
    between: [usize; 3],
    /// Column, row, width and height, and whether it is mirrored.
    result: [usize; 5],
    /// The first column, columns, the first row, and rows.
    erased: [usize; 4],
}

/// Words of the kernels' `PictureView`.
const WORDS: usize = 24;

/// What is uploaded for a batch, as long as it is not known where to.
#[derive(Default)]
pub(super) struct Upload<'a> {
    views: Vec<Encoded>,
    tables: Vec<i32>,
    bytes: Vec<&'a [u8]>,
    /// Bytes of all of these, and of what is between the two directions.
    bytes_len: usize,
    pub(super) between_len: usize,
}

/// A picture in the device's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) address: u64,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl<'a> Upload<'a> {
    /// Adds a view for inputs of this size. `kept` finds pictures.
    pub(super) fn add(
        &mut self,
        view: &PictureView<'a>,
        size: usize,
        kept: impl Fn(PictureId) -> Option<Kept>,
    ) -> Result<()> {
        let (picture, width, height) = self.picture(view.pixels, kept)?;
        check(view, [width, height], size)?;
        let (columns, rows) = (view.across.span(), view.down.span());
        let pitch = 3 * width;
        let (x, y) = (view.origin[0] + columns.start, view.origin[1] + rows.start);
        let copy = Pass {
            from: picture.plus(y * pitch + 3 * x),
            pitch,
            tables: None,
            down: false,
        };
        let across = self.pass(view.across, columns.start, copy, false);
        let down = self.pass(view.down, rows.start, copy, true);
        let (width, height) = (view.across.len(), view.down.len());
        let start = self.between_len;
        let (first, second, row, lines) = match (across, down) {
            (None, None) => (copy, copy, 0, 0),
            (Some(only), None) | (None, Some(only)) => (copy, only, 0, 0),
            (Some(across), Some(down)) if view.columns_first => {
                (down, across, 3 * columns.len(), height)
            }
            (Some(across), Some(down)) => (across, down, 3 * width, rows.len()),
        };
        let second = match row {
            0 => second,
            _ => Pass {
                from: Place::Between(start),
                pitch: row,
                ..second
            },
        };
        self.between_len += row * lines;
        let [x, y] = view.erased.clone().unwrap_or_default();
        let [left, top] = view.corner;
        let result = [left, top, width, height, view.mirrored.into()];
        self.views.push(Encoded {
            first,
            second,
            between: [start, row, lines],
            result,
            erased: [x.start, x.len(), y.start, y.len()],
        });
        Ok(())
    }

    /// Where a picture is, its width and its height.
    fn picture(
        &mut self,
        pixels: PicturePixels<'a>,
        kept: impl Fn(PictureId) -> Option<Kept>,
    ) -> Result<(Place, usize, usize)> {
        match pixels {
            PicturePixels::Kept(id) => {
                let kept = kept(id).ok_or_else(|| invalid("there is no such picture"))?;
                Ok((Place::Address(kept.address), kept.width, kept.height))
            }
            PicturePixels::Bytes { rgb, width } => {
                let place = Place::Uploaded(self.bytes_len);
                self.bytes.push(rgb);
                self.bytes_len += rgb.len();
                let height = (rgb.len() / 3).checked_div(width).unwrap_or(0);
                Ok((place, width, height))
            }
        }
    }

    /// A pass with its tables, which count from `start`; none for a copy.
    fn pass(
        &mut self,
        filter: PictureFilter,
        start: usize,
        copy: Pass,
        down: bool,
    ) -> Option<Pass> {
        let PictureFilter::Weighed { ranges, factors } = filter else {
            return None;
        };
        let bounds = self.tables.len();
        for range in ranges {
            let bound = [range.start, range.end].map(|pixel| (pixel - start) as i32);
            self.tables.extend(bound);
        }
        let tables = [
            bounds,
            self.tables.len(),
            factors.len() / ranges.len().max(1),
        ];
        self.tables.extend(factors);
        Some(Pass {
            tables: Some(tables),
            down,
            ..copy
        })
    }

    /// The most bytes that a picture has between the two directions.
    pub(super) fn longest_between(&self) -> usize {
        let bytes = self
            .views
            .iter()
            .map(|view| view.between[1] * view.between[2]);
        bytes.max().unwrap_or(0)
    }

    /// Bytes of [`Self::write`].
    pub(super) fn len(&self) -> usize {
        self.views.len() * WORDS * 8 + self.tables.len() * 4 + self.bytes_len
    }

    /// Everything in one piece, for this address, with what is between at another one.
    pub(super) fn write(&self, address: u64, between: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        let tables = self.views.len() * WORDS * 2;
        let bytes = address + (tables * 4 + self.tables.len() * 4) as u64;
        for view in &self.views {
            for pass in [view.first, view.second] {
                let from = match pass.from {
                    Place::Address(address) => address,
                    Place::Uploaded(start) => bytes + start as u64,
                    Place::Between(start) => between + start as u64,
                };
                let [bounds, factors, stride] = match pass.tables {
                    Some([bounds, factors, stride]) => [tables + bounds, tables + factors, stride],
                    None => [usize::MAX, 0, 0],
                };
                let words = [pass.pitch, bounds, factors, stride, pass.down.into()];
                out.extend(from.to_le_bytes());
                out.extend(words.iter().flat_map(|&word| (word as u64).to_le_bytes()));
            }
            let rest = view.between.iter().chain(&view.result).chain(&view.erased);
            out.extend(rest.flat_map(|&word| (word as u64).to_le_bytes()));
        }
        out.extend(self.tables.iter().flat_map(|number| number.to_le_bytes()));
        for bytes in &self.bytes {
            out.extend_from_slice(bytes);
        }
        out
    }
}

/// Whether everything that the kernels read and write is there.
fn check(view: &PictureView, picture: [usize; 2], size: usize) -> Result<()> {
    let filters = [view.across, view.down];
    if !filters.iter().all(PictureFilter::is_whole) {
        return Err(invalid("a filter has too few factors"));
    }
    for (d, filter) in filters.iter().enumerate() {
        if view.origin[d] + filter.span().end > picture[d] {
            return Err(invalid("a filter reads beyond the picture"));
        }
        if view.corner[d] + filter.len() > size {
            return Err(invalid("the result is larger than the input"));
        }
    }
    Ok(())
}

fn invalid(what: &str) -> Error {
    Error::Msg(format!("pictures on a GPU: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RGB: [u8; 3 * 6 * 4] = [7; 3 * 6 * 4];

    fn view<'a>() -> PictureView<'a> {
        PictureView {
            pixels: PicturePixels::Bytes {
                rgb: &RGB,
                width: 6,
            },
            origin: [2, 0],
            across: PictureFilter::Weighed {
                ranges: &[0..2, 1..4],
                factors: &[1, 1, 0, 1, 1, 1],
            },
            down: PictureFilter::Same(4),
            columns_first: false,
            corner: [3, 1],
            mirrored: false,
            erased: None,
        }
    }

    fn add(view: &PictureView) -> std::result::Result<(), String> {
        let mut upload = Upload::default();
        let added = upload.add(view, 5, |_| None);
        added.map_err(|error| error.to_string())
    }

    #[test]
    fn what_reads_or_writes_beyond_its_place_is_refused() {
        add(&view()).unwrap();
        let refused = |change: &dyn Fn(&mut PictureView), what: &str| {
            let mut view = view();
            change(&mut view);
            let error = add(&view).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        refused(&|view| view.origin[0] = 3, "beyond the picture");
        refused(&|view| view.origin[1] = 1, "beyond the picture");
        refused(&|view| view.corner[0] = 4, "larger than the input");
        refused(&|view| view.corner[1] = 2, "larger than the input");
        refused(
            &|view| view.pixels = PicturePixels::Kept(PictureId(0)),
            "no such picture",
        );
        for factors in [&[1, 1, 1, 1, 1][..], &[1, 1, 1, 1], &[]] {
            let ranges = &[0..2, 1..4];
            let filter = PictureFilter::Weighed { ranges, factors };
            refused(&|view| view.across = filter, "too few factors");
        }
    }

    /// The words of the kernels' structures, at the addresses that are known at last.
    #[test]
    fn an_upload_is_in_one_piece() {
        let mut upload = Upload::default();
        let both = PictureView {
            down: PictureFilter::Weighed {
                ranges: std::slice::from_ref(&(2..4)),
                factors: &[5, 6],
            },
            ..view()
        };
        upload.add(&view(), 5, |_| None).unwrap();
        upload.add(&both, 5, |_| None).unwrap();
        // Two rows of two pixels.
        assert_eq!((upload.between_len, upload.longest_between()), (12, 12));
        let bytes = upload.write(1000, 9000);
        let tables = 2 * WORDS * 8;
        assert_eq!(bytes.len(), upload.len());
        assert_eq!(bytes.len(), tables + 4 * (10 + 10 + 4) + 2 * RGB.len());
        let word = |n: usize| i64::from_le_bytes(*bytes[8 * n..].first_chunk().unwrap());
        let pictures = 1000 + tables as i64 + 4 * 24;
        // The second pass of the first view goes across from the third column on; the first is none.
        assert_eq!(word(2), -1);
        assert_eq!([word(6), word(7), word(11)], [pictures + 6, 18, 0]);
        let number = |n: i64| i32::from_le_bytes(*bytes[4 * n as usize..].first_chunk().unwrap());
        assert_eq!([0, 1, 2, 3].map(|n| number(word(8) + n)), [0, 2, 1, 4]);
        assert_eq!(
            (number(word(9) + 2), number(word(9) + 3), word(10)),
            (0, 1, 3)
        );
        // The second view goes across in the third row and the next, then down between.
        let from = pictures + RGB.len() as i64 + 2 * 18 + 6;
        assert_eq!([word(24), word(30), word(31), word(35)], [from, 9000, 6, 1]);
        assert_eq!([word(36), word(37), word(38)], [0, 6, 2]);
        assert_eq!(
            [word(39), word(40), word(41), word(42), word(43)],
            [3, 1, 2, 1, 0]
        );
    }
}
