//! The marker segments of a JPEG file (ITU T.81, annex B), as far as the usual kinds need them.

use super::entropy::HuffmanTable;

/// Zigzag to row-major order (T.81, figure A.6).
pub(super) const NATURAL_ORDER: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// A colour channel as the file stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks of it in a minimum coded unit, across and down.
    pub(super) h: usize,
    pub(super) v: usize,
    /// Number of its quantisation table.
    pub(super) quantization: usize,
    /// Numbers of its Huffman tables.
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// What stands before the compressed data.
#[derive(Default)]
pub(super) struct Headers<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// One (grey) or three (luma and two chroma).
    pub(super) components: Vec<Component>,
    /// Factors of the coefficients in row-major order.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Box<HuffmanTable>>; 4],
    pub(super) ac: [Option<Box<HuffmanTable>>; 4],
    /// Units between two restart markers; 0 without them.
    pub(super) restart_interval: usize,
    /// The TIFF structure that a camera left.
    pub(super) exif: Option<&'a [u8]>,
    /// Where the compressed data begin.
    pub(super) data: &'a [u8],
}

/// Reads up to the first scan. `None` for every file that is not an 8-bit sequential one of a single scan in grey or
/// luma and chroma, and at the slightest irregularity.
pub(super) fn read(bytes: &[u8]) -> Option<Headers<'_>> {
    let mut headers = Headers::default();
    let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
    loop {
        let (marker, segment, after) = next_segment(rest)?;
        rest = after;
        match marker {
            0xC0 | 0xC1 => headers.frame(segment)?,
            0xC4 => headers.huffman_tables(segment)?,
            0xDA => {
                headers.scan(segment)?;
                headers.data = rest;
                return Some(headers);
            }
            _ => headers.other(marker, segment)?,
        }
    }
}

/// The next marker, the content of its segment, and what follows. `None` where there is no segment.
pub(super) fn next_segment(rest: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[0xFF, marker], after) = rest.split_first_chunk()? else {
        return None;
    };
    let (length, _) = after.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    Some((marker, after.get(2..length)?, &after[length..]))
}

/// Calls `add` with every table of codes of a segment: whether it is for first coefficients, its number, how many codes
/// there are of each length, and their symbols.
pub(super) fn each_table(
    mut segment: &[u8],
    mut add: impl FnMut(bool, usize, &[u8; 16], &[u8]) -> Option<()>,
) -> Option<()> {
    while let Some((&kind, after)) = segment.split_first() {
        let (counts, after) = after.split_first_chunk::<16>()?;
        let n = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, after) = after.split_at_checked(n)?;
        if kind >> 4 > 1 {
            return None;
        }
        add(kind >> 4 == 0, usize::from(kind & 15), counts, symbols)?;
        segment = after;
    }
    Some(())
}

impl<'a> Headers<'a> {
    /// Minimum coded units across and down.
    pub(super) fn units(&self) -> (usize, usize) {
        let luma = self.components[0];
        (
            self.width.div_ceil(8 * luma.h),
            self.height.div_ceil(8 * luma.v),
        )
    }

    /// A segment that all kinds of files may have.
    pub(super) fn other(&mut self, marker: u8, segment: &'a [u8]) -> Option<()> {
        match marker {
            0xDB => self.quantization_tables(segment),
            0xDD => {
                let interval = u16::from_be_bytes(segment.try_into().ok()?);
                self.restart_interval = usize::from(interval);
                Some(())
            }
            0xE1 => {
                self.exif = self.exif.or(segment.strip_prefix(b"Exif\0\0"));
                Some(())
            }
            // Adobe's segment may declare other colours than luma and chroma.
            0xEE if segment.starts_with(b"Adobe") && segment.get(11) != Some(&1) => None,
            0xE0..=0xEF | 0xFE => Some(()),
            _ => None,
        }
    }

    /// Start of frame: size and sampling.
    pub(super) fn frame(&mut self, segment: &[u8]) -> Option<()> {
        let &[8, h1, h0, w1, w0, n, ref channels @ ..] = segment else {
            return None;
        };
        let (channels, []) = channels.as_chunks::<3>() else {
            return None;
        };
        if !self.components.is_empty() || channels.len() != usize::from(n) {
            return None;
        }
        self.height = usize::from(u16::from_be_bytes([h1, h0]));
        self.width = usize::from(u16::from_be_bytes([w1, w0]));
        self.components = channels
            .iter()
            .map(|&[id, sampling, quantization]| Component {
                id,
                h: usize::from(sampling >> 4),
                v: usize::from(sampling & 15),
                quantization: usize::from(quantization),
                ..Component::default()
            })
            .collect();
        match &mut self.components[..] {
            // The only channel of a scan comes block by block, whatever its sampling says.
            [grey] => (grey.h, grey.v) = (1, 1),
            [luma, blue, red] => {
                let whole = |chroma: &Component| (chroma.h, chroma.v) == (1, 1);
                if [luma.id, blue.id, red.id] != [1, 2, 3] || !whole(blue) || !whole(red) {
                    return None;
                }
                if !(1..=2).contains(&luma.h) || !(1..=2).contains(&luma.v) {
                    return None;
                }
            }
            _ => return None,
        }
        (self.width > 0 && self.height > 0).then_some(())
    }

    /// Tables of factors, 8 bits each.
    fn quantization_tables(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&number, after)) = segment.split_first() {
            let (factors, after) = after.split_first_chunk::<64>()?;
            let table = self
                .quantization
                .get_mut(usize::from(number))?
                .insert([0; 64]);
            for (&factor, place) in factors.iter().zip(NATURAL_ORDER) {
                table[usize::from(place)] = u16::from(factor);
            }
            segment = after;
        }
        Some(())
    }

    /// Tables of codes.
    fn huffman_tables(&mut self, segment: &[u8]) -> Option<()> {
        each_table(segment, |is_dc, number, counts, symbols| {
            let tables = if is_dc { &mut self.dc } else { &mut self.ac };
            let table = HuffmanTable::new(counts, symbols, is_dc)?;
            *tables.get_mut(number)? = Some(Box::new(table));
            Some(())
        })
    }

    /// Start of scan: all channels at once, all coefficients.
    fn scan(&mut self, segment: &[u8]) -> Option<()> {
        let (&n, after) = segment.split_first()?;
        let (channels, &[0, 63, 0]) = after.split_at_checked(2 * usize::from(n))? else {
            return None;
        };
        if self.components.is_empty() || self.components.len() != usize::from(n) {
            return None;
        }
        for (component, &[id, tables]) in self.components.iter_mut().zip(channels.as_chunks().0) {
            (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            let known = self.dc.get(component.dc)?.is_some()
                && self.ac.get(component.ac)?.is_some()
                && self.quantization.get(component.quantization)?.is_some();
            if component.id != id || !known {
                return None;
            }
        }
        Some(())
    }
}
