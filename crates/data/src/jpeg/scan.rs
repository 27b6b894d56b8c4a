//! The blocks of a progressive scan (ITU T.81, annex G.1.2 and G.2): bits of coefficients that come in several passes.

use super::headers::NATURAL_ORDER;

/// Coefficients of a block in row-major order.
pub(super) type Block = [i16; 64];

/// Bits that are looked up at once.
const LOOKUP_BITS: u32 = 9;

/// The codes of a table.
pub(super) struct Codes {
    /// Length of the code and symbol, for what the next bits may be; 0 where the code is longer, or none.
    lookup: [u16; 1 << LOOKUP_BITS],
    /// For each length the first number of 16 bits beyond those that begin with a code of it, and what to add to a code
    /// to get its symbol's place.
    ends: [u32; 17],
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Codes {
    /// A table from the number of codes of each length and their symbols; `None` if there are more than fit.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            lookup: [0; 1 << LOOKUP_BITS],
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0u32, 0);
        for (length, &count) in (1u32..).zip(counts) {
            table.offsets[length as usize] = place as i32 - code as i32;
            for &symbol in symbols.get(place..place + usize::from(count))? {
                if code >> length != 0 {
                    return None;
                }
                if length <= LOOKUP_BITS {
                    let shift = LOOKUP_BITS - length;
                    let range = (code << shift) as usize..((code + 1) << shift) as usize;
                    table.lookup[range].fill((length as u16) << 8 | u16::from(symbol));
                }
                code += 1;
                place += 1;
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }
}

/// Reads bits, the first at the top of `ready`. Behind its data there are zeros without end.
pub(super) struct Bits<'a> {
    /// The data and what is behind it.
    data: &'a [u8],
    /// Bytes of data.
    length: usize,
    /// The next byte to load.
    next: usize,
    /// Those that were loaded, and how many are counted on.
    ready: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// A reader of `data` but for the `padding` at its end.
    pub(super) fn new(data: &'a [u8], padding: usize) -> Self {
        Self {
            data,
            length: data.len().saturating_sub(padding),
            next: 0,
            ready: 0,
            count: 0,
        }
    }

    /// Bits that were read.
    fn position(&self) -> usize {
        8 * self.next - self.count as usize
    }

    /// Whether more was read than there is.
    pub(super) fn is_beyond(&self) -> bool {
        self.position() > 8 * self.length
    }

    /// Whether all bytes were read and no more.
    pub(super) fn is_at_end(&self) -> bool {
        self.position().div_ceil(8) == self.length
    }

    /// Makes at least 56 bits ready.
    fn fill(&mut self) {
        let rest = self.data.get(self.next..);
        let loaded = rest.and_then(<[u8]>::first_chunk).copied();
        self.ready |= u64::from_be_bytes(loaded.unwrap_or_default()) >> self.count;
        self.next += ((63 - self.count) >> 3) as usize;
        self.count |= 0x38;
    }

    fn consume(&mut self, length: u32) {
        self.ready <<= length;
        self.count -= length;
    }

    /// The next symbol; `None` if no code is there. At least 40 bits are ready afterwards.
    fn symbol(&mut self, codes: &Codes) -> Option<u8> {
        self.fill();
        let entry = codes.lookup[(self.ready >> (64 - LOOKUP_BITS)) as usize];
        if entry != 0 {
            self.consume(u32::from(entry >> 8));
            return Some(entry as u8);
        }
        let bits = (self.ready >> 48) as u32;
        let length = (LOOKUP_BITS + 1..=16).find(|&length| bits < codes.ends[length as usize])?;
        let place = (bits >> (16 - length)) as i32 + codes.offsets[length as usize];
        self.consume(length);
        codes.symbols.get(usize::try_from(place).ok()?).copied()
    }

    /// A number of `size` bits, at most 15, that are ready.
    fn number(&mut self, size: u32) -> i32 {
        let number = (self.ready >> 1 >> (63 - size)) as i32;
        self.consume(size);
        number
    }

    /// A number of `size` bits with a sign: those that begin with 0 are negative (T.81, table F.1).
    fn signed(&mut self, size: u32) -> i32 {
        let number = self.number(size);
        if size > 0 && number >> (size - 1) == 0 {
            number + 1 - (1 << size)
        } else {
            number
        }
    }

    /// A single bit.
    fn bit(&mut self) -> bool {
        if self.count == 0 {
            self.fill();
        }
        self.number(1) == 1
    }
}

/// Which coefficients a scan brings, in zigzag order, and which of their bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) last: usize,
    /// Whether earlier scans brought their upper bits.
    pub(super) is_refined: bool,
    /// The place of the lowest bit that comes.
    pub(super) low: u32,
}

/// What one block of a component leaves for the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carry {
    /// The last block's first coefficient, without the bits that are to come.
    pub(super) dc: i32,
    /// Blocks that bring nothing new.
    pub(super) empty: u32,
}

impl Band {
    /// Reads what the scan has of one block. `None` where that can't be.
    pub(super) fn block(
        self,
        codes: Option<&Codes>,
        carry: &mut Carry,
        bits: &mut Bits,
        block: &mut Block,
    ) -> Option<()> {
        match (self.first, self.is_refined) {
            (0, false) => {
                let size = bits.symbol(codes?)?;
                // More bits than samples of eight bits can need.
                if size > 11 {
                    return None;
                }
                carry.dc = carry.dc.wrapping_add(bits.signed(size.into()));
                block[0] = (carry.dc << self.low) as i16;
                Some(())
            }
            (0, true) => {
                block[0] |= i16::from(bits.bit()) << self.low;
                Some(())
            }
            (_, false) => self.first_bits(codes?, carry, bits, block),
            (_, true) => self.next_bits(codes?, carry, bits, block),
        }
    }

    /// The upper bits of coefficients that were 0 so far.
    fn first_bits(
        self,
        codes: &Codes,
        carry: &mut Carry,
        bits: &mut Bits,
        block: &mut Block,
    ) -> Option<()> {
        if carry.empty > 0 {
            carry.empty -= 1;
            return Some(());
        }
        let mut k = self.first;
        while k <= self.last {
            let symbol = bits.symbol(codes)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                carry.empty = empty_blocks(run, bits) - 1;
                break;
            }
            k += run;
            if k > self.last {
                return None;
            }
            if size > 0 {
                block[usize::from(NATURAL_ORDER[k])] = (bits.signed(size) << self.low) as i16;
            }
            k += 1;
        }
        Some(())
    }

    /// The next bit of coefficients that are not 0, and the first one of some that were.
    fn next_bits(
        self,
        codes: &Codes,
        carry: &mut Carry,
        bits: &mut Bits,
        block: &mut Block,
    ) -> Option<()> {
        let step = 1i16 << self.low;
        let mut k = self.first;
        while carry.empty == 0 && k <= self.last {
            let symbol = bits.symbol(codes)?;
            let (run, size) = (usize::from(symbol >> 4), symbol & 15);
            if size == 0 && run < 15 {
                carry.empty = empty_blocks(run, bits);
                break;
            }
            let value = match size {
                0 => 0,
                1 if bits.bit() => step,
                1 => -step,
                _ => return None,
            };
            k = self.refine(k, Some(run), bits, block);
            if k > self.last {
                return None;
            }
            block[usize::from(NATURAL_ORDER[k])] = value;
            k += 1;
        }
        if carry.empty > 0 {
            self.refine(k, None, bits, block);
            carry.empty -= 1;
        }
        Some(())
    }

    /// Reads a bit for every coefficient from `k` on that is not 0, up to the one that is 0 after `zeros` others, or to
    /// the end of the band. Returns where that is.
    fn refine(
        self,
        mut k: usize,
        mut zeros: Option<usize>,
        bits: &mut Bits,
        block: &mut Block,
    ) -> usize {
        while k <= self.last {
            let value = &mut block[usize::from(NATURAL_ORDER[k])];
            if *value != 0 {
                if bits.bit() {
                    let step = value.signum() << self.low;
                    *value = value.wrapping_add(step);
                }
            } else if let Some(zeros) = &mut zeros {
                if *zeros == 0 {
                    break;
                }
                *zeros -= 1;
            }
            k += 1;
        }
        k
    }
}

/// How many blocks, this one included, have no further coefficient.
fn empty_blocks(size: usize, bits: &mut Bits) -> u32 {
    (1 << size) + bits.number(size as u32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One code of each length, so that the last ones are longer than what is looked up.
    #[test]
    fn codes_of_all_lengths_are_read() {
        let symbols: Vec<u8> = (0..16).map(|i| 100 + i).collect();
        let codes = Codes::new(&[1; 16], &symbols).unwrap();
        for length in 1..=16u32 {
            // Ones and a zero, and a number of three bits behind.
            let code = ((1u32 << length) - 2) << 3 | 0b011;
            let bytes = (code << (32 - length - 3)).to_be_bytes();
            let padded = [&bytes[..], &[0; 8]].concat();
            let mut bits = Bits::new(&padded, 8);
            assert_eq!(bits.symbol(&codes), Some(99 + length as u8));
            assert_eq!(bits.signed(3), -4);
            assert_eq!(bits.position(), length as usize + 3);
            assert!(!bits.is_beyond());
        }
        let mut bits = Bits::new(&[0xFF; 12], 8);
        assert_eq!(bits.symbol(&codes), None);
    }

    #[test]
    fn tables_with_too_many_codes_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Codes::new(&counts, &[1, 2, 3]).is_none());
        counts[0] = 2;
        assert!(Codes::new(&counts, &[1, 2]).is_some());
        assert!(Codes::new(&counts, &[1]).is_none());
    }

    #[test]
    fn what_lies_behind_the_data_is_noticed() {
        let mut bits = Bits::new(&[0xAB, 0, 0, 0, 0, 0, 0, 0, 0], 8);
        let read: Vec<bool> = (0..8).map(|_| bits.bit()).collect();
        assert_eq!(read.iter().filter(|&&bit| bit).count(), 5);
        assert!(bits.is_at_end() && !bits.is_beyond());
        bits.bit();
        assert!(bits.is_beyond() && !bits.is_at_end());
    }
}
