//! Progressive JPEG (ITU T.81, annex G): scans that bring the coefficients bit by bit, and the picture that is made of them.
//!
//! Only files without a fault are decoded here, in which every bit of every coefficient comes once and in order: of
//! others libjpeg would smooth what is missing. A file has at least a bit for every block, so that a short one can't
//! claim much memory, and [`MAX_SCANS`] bound the time.

use pulp::{Simd, WithSimd};

use super::{
    Decoded, Memory,
    entropy::{BitReader, LANES},
    headers::{self, Component, Headers},
    idct,
    planes::{self, Plane},
    scan::{Band, Bits, Block, Carry, Codes},
    unstuff,
};

/// More scans than any program writes: libjpeg's script has ten.
const MAX_SCANS: usize = 100;

/// A component's coefficients.
struct Channel {
    component: Component,
    /// Blocks across and down that hold some of the picture, which a scan of this channel alone has.
    across: usize,
    down: usize,
    /// Blocks in a row, with those that fill up the units of scans with several channels.
    stride: usize,
    blocks: Vec<Block>,
    /// The lowest bit known of each coefficient, in zigzag order.
    low: [Option<u32>; 64],
    /// Factors in row-major order, as they are when the first scan begins.
    factors: Option<[u16; 64]>,
}

/// A picture while its scans are read.
#[derive(Default)]
struct Frame<'a> {
    headers: Headers<'a>,
    channels: Vec<Channel>,
    dc: [Option<Box<Codes>>; 4],
    ac: [Option<Box<Codes>>; 4],
    scans: usize,
}

/// What a scan has of one channel.
struct Member<'a> {
    channel: &'a mut Channel,
    codes: Option<&'a Codes>,
    /// Blocks in a unit, across and down.
    h: usize,
    v: usize,
}

/// Decodes `bytes` if they are a progressive file in grey or luma and chroma, faultless, and of at most `max_pixels`.
pub(super) fn decode<'a>(
    bytes: &'a [u8],
    max_pixels: u64,
    memory: &mut Memory,
) -> Option<Decoded<'a>> {
    let frame = read(bytes, max_pixels, memory)?;
    Some(Decoded {
        width: frame.headers.width as u32,
        height: frame.headers.height as u32,
        exif: frame.headers.exif,
        rgb: super::dispatch(Picture {
            frame: &frame,
            memory,
        }),
    })
}

/// Reads all coefficients.
fn read<'a>(bytes: &'a [u8], max_pixels: u64, memory: &mut Memory) -> Option<Frame<'a>> {
    let mut frame = Frame::default();
    let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
    while !rest.starts_with(&[0xFF, 0xD9]) {
        let (marker, segment, after) = headers::next_segment(rest)?;
        rest = after;
        match marker {
            0xC2 => {
                frame.headers.frame(segment)?;
                let Headers { width, height, .. } = frame.headers;
                let blocks = width.div_ceil(8) * height.div_ceil(8);
                if (width * height) as u64 > max_pixels || blocks > 8 * bytes.len() {
                    return None;
                }
                frame.make_channels();
            }
            0xC4 => headers::each_table(segment, |is_dc, number, counts, symbols| {
                let tables = if is_dc { &mut frame.dc } else { &mut frame.ac };
                *tables.get_mut(number)? = Some(Box::new(Codes::new(counts, symbols)?));
                Some(())
            })?,
            0xDA => rest = frame.scan(segment, after, memory)?,
            _ => frame.headers.other(marker, segment)?,
        }
    }
    let mut bits = frame.channels.iter().flat_map(|channel| channel.low);
    let is_whole = !frame.channels.is_empty() && bits.all(|low| low == Some(0));
    is_whole.then_some(frame)
}

impl Frame<'_> {
    /// Makes room for the coefficients.
    fn make_channels(&mut self) {
        let (luma, (across, down)) = (self.headers.components[0], self.headers.units());
        for &component in &self.headers.components {
            let part = |length: usize, of: usize, most: usize| (length * of).div_ceil(most);
            let stride = across * component.h;
            self.channels.push(Channel {
                component,
                across: part(self.headers.width, component.h, luma.h).div_ceil(8),
                down: part(self.headers.height, component.v, luma.v).div_ceil(8),
                stride,
                blocks: vec![[0; 64]; stride * down * component.v],
                low: [None; 64],
                factors: None,
            });
        }
    }

    /// Reads a scan with what it is headed by. Returns what follows.
    fn scan<'b>(
        &mut self,
        segment: &[u8],
        after: &'b [u8],
        memory: &mut Memory,
    ) -> Option<&'b [u8]> {
        if self.channels.is_empty() {
            return None;
        }
        self.scans += 1;
        let (&n, more) = segment.split_first()?;
        let (ids, &[first, last, places]) = more.split_at_checked(2 * usize::from(n))? else {
            return None;
        };
        let (high, low) = (places >> 4, places & 15);
        let is_known = if first == 0 {
            n > 0 && last == 0
        } else {
            n == 1 && first <= last && last < 64
        };
        if self.scans > MAX_SCANS || !is_known || low > 13 || high > 0 && high != low + 1 {
            return None;
        }
        let band = Band {
            first: first.into(),
            last: last.into(),
            is_refined: high > 0,
            low: low.into(),
        };
        let rest = unstuff(after, &mut memory.data, &mut memory.segments)?;
        let units = self.headers.units();
        let interval = self.headers.restart_interval;
        let mut members = self.members(ids.as_chunks().0, band)?;
        let (across, down) = match &members[..] {
            [member] => (member.channel.across, member.channel.down),
            _ => units,
        };
        let interval = if interval == 0 {
            across * down
        } else {
            interval
        };
        if memory.segments.len() != (across * down).div_ceil(interval) {
            return None;
        }
        for (number, segment) in memory.segments.iter().enumerate() {
            let padded = segment.start..segment.end + BitReader::PADDING;
            let mut bits = Bits::new(&memory.data[padded], BitReader::PADDING);
            let start = number * interval;
            let range = start..(start + interval).min(across * down);
            let places = range.map(|unit| (unit % across, unit / across));
            read_units(&mut members, band, places, &mut bits)?;
        }
        Some(rest)
    }

    /// The channels of a scan, which `ids` name together with their tables. `None` where they are not in the order of
    /// the frame, or the bits not those that come next.
    fn members(&mut self, ids: &[[u8; 2]], band: Band) -> Option<Vec<Member<'_>>> {
        let mut members = Vec::with_capacity(ids.len());
        let mut channels = self.channels.iter_mut();
        for &[id, tables] in ids {
            let channel = channels.find(|channel| channel.component.id == id)?;
            for low in &mut channel.low[band.first..=band.last] {
                let expected = band.is_refined.then_some(band.low + 1);
                if *low != expected {
                    return None;
                }
                *low = Some(band.low);
            }
            // The first coefficient comes before the others.
            channel.low[0]?;
            let table = self
                .headers
                .quantization
                .get(channel.component.quantization)?;
            channel.factors = channel.factors.or(*table);
            channel.factors?;
            let codes = match (band.first, band.is_refined) {
                (0, true) => None,
                (0, false) => Some(self.dc.get(usize::from(tables >> 4))?.as_deref()?),
                _ => Some(self.ac.get(usize::from(tables & 15))?.as_deref()?),
            };
            // A channel alone comes block by block, whatever its sampling says.
            let (h, v) = match ids.len() {
                1 => (1, 1),
                _ => (channel.component.h, channel.component.v),
            };
            members.push(Member {
                channel,
                codes,
                h,
                v,
            });
        }
        Some(members)
    }
}

/// Reads the units at `places` (across, down) between two restart markers.
fn read_units(
    members: &mut [Member],
    band: Band,
    places: impl Iterator<Item = (usize, usize)>,
    bits: &mut Bits,
) -> Option<()> {
    let mut carries = [Carry::default(); 3];
    for (x, y) in places {
        for (member, carry) in members.iter_mut().zip(&mut carries) {
            let Member {
                channel,
                codes,
                h,
                v,
            } = member;
            for row in y * *v..(y + 1) * *v {
                let start = row * channel.stride + x * *h;
                for block in &mut channel.blocks[start..start + *h] {
                    band.block(*codes, carry, bits, block)?;
                }
            }
        }
        if bits.is_beyond() {
            return None;
        }
    }
    (bits.is_at_end() && carries.iter().all(|carry| carry.empty == 0)).then_some(())
}

/// Coefficients to pixels, compiled for several processors.
struct Picture<'a> {
    frame: &'a Frame<'a>,
    memory: &'a mut Memory,
}

impl WithSimd for Picture<'_> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<u8> {
        let Self { frame, memory } = self;
        for (channel, plane) in frame.channels.iter().zip(&mut memory.planes) {
            plane.shape(channel.component, &frame.headers);
            channel.transform(plane);
        }
        planes::pixels(&frame.headers, &memory.planes, &mut memory.rows)
    }
}

impl Channel {
    /// Transforms all blocks, a group of a row at a time.
    #[inline(always)]
    fn transform(&self, plane: &mut Plane) {
        let factors = self.factors.unwrap_or([0; 64]);
        let mut coefficients = [0; 128 * LANES];
        for (y, row) in self.blocks.chunks_exact(self.stride).enumerate() {
            for (group, blocks) in row.chunks(LANES).enumerate() {
                for (lane, block) in blocks.iter().enumerate() {
                    for (values, &value) in coefficients
                        .as_chunks_mut::<LANES>()
                        .0
                        .iter_mut()
                        .zip(block)
                    {
                        values[lane] = value;
                    }
                }
                let mut samples = [[0; 8 * LANES]; 8];
                idct::inverse(&coefficients, &factors, &mut samples);
                plane.put(8 * LANES * group, 8 * y, &samples);
            }
        }
    }
}

#[cfg(test)]
mod tests;
