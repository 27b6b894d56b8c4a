//! Huffman decoding (ITU T.81, annex F.2.2).

use super::headers::NATURAL_ORDER;

/// Blocks that are decoded beside each other: lane `l` of coefficient `k` is at `k * LANES + l`.
pub(super) const LANES: usize = 16;

/// Coefficients of [`LANES`] blocks in row-major order; what follows the first 64 is never read.
pub(super) type Coefficients = [i16; 128 * LANES];

/// Bits that are looked up at once.
const LOOKUP_BITS: u32 = 11;

/// Added to the position by an end of block: beyond 63 from anywhere, and apart from where a run that is too long leads.
const END_OF_BLOCK: u64 = 80;

/// Added to the position of the first of two symbols where there is no second: always beyond 63.
const NO_SECOND: u64 = 100;

/// Where the coefficient at a zigzag position goes; positions beyond 63 go where nobody reads.
const PLACES: [u16; 256] = {
    let mut places = [64 * LANES as u16; 256];
    let mut k = 0;
    while k < 64 {
        places[k] = NATURAL_ORDER[k] as u16 * LANES as u16;
        k += 1;
    }
    places
};

/// What the next bits stand for: a symbol, and a second one if it lies wholly within the bits that are looked up.
/// All zero where the code is longer than what is looked up, or none.
///
/// | byte | content |
/// |---|---|
/// | 0 | bits of all of it |
/// | 1 | bits of the first code |
/// | 2 | 63 less the bits of the first value, which follow its code |
/// | 3 | how many coefficients are skipped before the first value |
/// | 4 | from the first value's position to the second's |
/// | 5 | from the position before to that behind all |
/// | 6, 7 | the second value |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Symbols(u64);

impl Symbols {
    /// No code; ends its block.
    const INVALID: Self = Self(1 | NO_SECOND << 24 | NO_SECOND << 40);

    /// A single symbol with a code of `length` bits; `None` if there can be no such symbol.
    fn single(length: u32, symbol: u8, is_dc: bool) -> Option<Self> {
        let (run, size) = (u64::from(symbol >> 4), u64::from(symbol & 15));
        let skip = match (is_dc, symbol) {
            // More bits than samples of eight bits can need.
            (true, 12..) => return None,
            (true, _) => 0,
            (false, 0) => END_OF_BLOCK,
            (false, _) => run,
        };
        let length = u64::from(length);
        let first = (length + size) | length << 8 | (63 - size) << 16 | skip << 24;
        Some(Self(first | NO_SECOND << 32 | (skip + 1) << 40))
    }

    fn byte(self, number: u32) -> u64 {
        self.0 >> (8 * number) & 255
    }

    /// With a second symbol, whose value is known.
    fn and(self, second: Self, value: i16) -> Self {
        let bits = self.byte(0) + second.byte(0);
        let first = self.0 & 0xFFFF_FF00 | bits;
        let advance = self.byte(5) + second.byte(5);
        Self(first | (second.byte(3) + 1) << 32 | advance << 40 | (value as u64) << 48)
    }
}

/// The codes of a table.
pub(super) struct HuffmanTable {
    lookup: [Symbols; 1 << LOOKUP_BITS],
    /// Longer codes: the first number of 16 bits beyond those that begin with a code of this length, and what to
    /// add to a code to get its symbol's place.
    ends: [u32; 17],
    offsets: [i32; 17],
    symbols: Vec<Symbols>,
}

impl HuffmanTable {
    /// A table from the number of codes of each length and their symbols; `None` if there are more than fit.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8], is_dc: bool) -> Option<Self> {
        let mut table = Self {
            lookup: [Symbols::default(); 1 << LOOKUP_BITS],
            ends: [0; 17],
            offsets: [0; 17],
            symbols: Vec::with_capacity(symbols.len()),
        };
        let (mut code, mut symbols) = (0u32, symbols.iter());
        for (length, &count) in (1u32..).zip(counts) {
            table.offsets[length as usize] = table.symbols.len() as i32 - code as i32;
            for &symbol in symbols.by_ref().take(usize::from(count)) {
                let symbol = Symbols::single(length, symbol, is_dc)?;
                table.symbols.push(symbol);
                if code >> length != 0 {
                    return None;
                }
                if length <= LOOKUP_BITS {
                    let shift = LOOKUP_BITS - length;
                    let range = (code << shift) as usize..((code + 1) << shift) as usize;
                    table.lookup[range].fill(symbol);
                }
                code += 1;
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        if !is_dc {
            table.add_seconds();
        }
        Some(table)
    }

    /// Adds second symbols where they fit. What follows the bits of a first symbol has a smaller number of known bits,
    /// so that the entry for them with zeros behind tells what they are.
    fn add_seconds(&mut self) {
        let singles = self.lookup;
        for (bits, symbols) in self.lookup.iter_mut().enumerate() {
            let used = symbols.byte(0) as u32;
            if *symbols == Symbols(0) || symbols.byte(3) == END_OF_BLOCK || used >= LOOKUP_BITS {
                continue;
            }
            let behind = bits << used & ((1 << LOOKUP_BITS) - 1);
            let second = singles[behind];
            let end = used + second.byte(0) as u32;
            if second != Symbols(0) && end <= LOOKUP_BITS {
                let size = 63 - second.byte(2) as u32;
                let raw = (bits >> (LOOKUP_BITS - end)) as i32 & ((1 << size) - 1);
                let is_negative = size > 0 && raw >> (size - 1) == 0;
                let value = if is_negative {
                    raw + 1 - (1 << size)
                } else {
                    raw
                };
                *symbols = symbols.and(second, value as i16);
            }
        }
    }

    /// The symbol whose code is longer than the lookup.
    #[cold]
    fn long(&self, bits: u64) -> Symbols {
        let bits = (bits >> 48) as u32;
        for length in LOOKUP_BITS + 1..=16 {
            if bits < self.ends[length as usize] {
                let place = (bits >> (16 - length)) as i32 + self.offsets[length as usize];
                return self
                    .symbols
                    .get(place as usize)
                    .copied()
                    .unwrap_or(Symbols::INVALID);
            }
        }
        Symbols::INVALID
    }
}

/// Bytes that a block can take, and eight more that are loaded along: 64 symbols of at most 31 bits.
const WINDOW: usize = 256 + 8;

/// Reads bits, the first at the top of `bits`.
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    /// The next byte to load.
    next: usize,
    bits: u64,
    /// How many of `bits` are counted on, in its lowest six bits; below them are more that come again with the next load.
    count: u64,
    /// Bytes of data.
    length: usize,
}

impl<'a> BitReader<'a> {
    /// What has to follow the data.
    pub(super) const PADDING: usize = 2 * WINDOW;

    /// A reader of `data` but for the [`Self::PADDING`] at its end.
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            next: 0,
            bits: 0,
            count: 0,
            length: data.len().saturating_sub(Self::PADDING),
        }
    }

    /// Whether all bytes were read and no more.
    pub(super) fn is_at_end(&self) -> bool {
        (8 * self.next - (self.count & 63) as usize).div_ceil(8) == self.length
    }

    /// Decodes one block into its lane. `dc` is the last block's first coefficient and becomes this block's. False if
    /// that could not be.
    #[inline(always)]
    pub(super) fn block(
        &mut self,
        dc_table: &HuffmanTable,
        ac_table: &HuffmanTable,
        dc: &mut i32,
        coefficients: &mut Coefficients,
        lane: usize,
    ) -> bool {
        let Some(window) = self.data.get(self.next..).and_then(<[u8]>::first_chunk) else {
            return false;
        };
        let mut bits = BlockReader {
            window,
            next: 0,
            bits: self.bits,
            count: self.count,
        };
        let (symbol, difference) = bits.lookup(dc_table);
        bits.consume(symbol.0);
        let mut sound = symbol != Symbols::INVALID;
        *dc = dc.wrapping_add(difference);
        coefficients[lane] = *dc as i16;
        let mut put = |k: u64, value: i16| {
            let place = usize::from(PLACES[(k & 255) as usize]) + lane;
            coefficients[place % (128 * LANES)] = value;
        };
        let mut k = 1;
        loop {
            let (symbols, value) = bits.lookup(ac_table);
            let first = k + symbols.byte(3);
            put(first, value as i16);
            put(first + symbols.byte(4), (symbols.0 >> 48) as i16);
            k += symbols.byte(5);
            if k < 64 {
                bits.consume(symbols.0);
                continue;
            }
            if first == 63 {
                // A second symbol is the next block's.
                bits.consume(symbols.byte(1) + 63 - symbols.byte(2));
            } else {
                bits.consume(symbols.0);
                sound &= !(64..=78).contains(&first) && !(65..=79).contains(&k);
            }
            sound &= symbols != Symbols::INVALID;
            break;
        }
        self.next += bits.next;
        self.bits = bits.bits;
        self.count = bits.count;
        sound
    }
}

/// A reader within a block.
struct BlockReader<'a> {
    window: &'a [u8; WINDOW],
    next: usize,
    bits: u64,
    count: u64,
}

impl BlockReader<'_> {
    /// Makes at least 56 bits ready and looks up what they begin with. The value is that of the first symbol.
    #[inline(always)]
    fn lookup(&mut self, table: &HuffmanTable) -> (Symbols, i32) {
        let at = self.next & 0xFF;
        let loaded: [u8; 8] = std::array::from_fn(|i| self.window[at + i]);
        self.bits |= u64::from_be_bytes(loaded) >> (self.count & 63);
        self.next += ((self.count ^ 0x3F) >> 3 & 7) as usize;
        self.count |= 0x38;
        let mut symbols = table.lookup[(self.bits >> (64 - LOOKUP_BITS)) as usize];
        if symbols == Symbols(0) {
            symbols = table.long(self.bits);
        }
        // A value that begins with 0 is negative, counted up from minus the largest of its length (T.81, table F.1).
        let behind = self.bits << (symbols.0 >> 8 & 63);
        let shift = symbols.0 >> 16 & 63;
        let largest = i64::MAX >> shift;
        let bias = if (behind as i64) < 0 { 0 } else { largest };
        (symbols, ((behind >> 1 >> shift) as i64 - bias) as i32)
    }

    /// Goes on by as many bits as the lowest six bits of `length` say.
    #[inline(always)]
    fn consume(&mut self, length: u64) {
        self.bits <<= length & 63;
        self.count = self.count.wrapping_sub(length);
    }
}
