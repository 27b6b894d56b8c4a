//! Counter-based random numbers: every draw is a pure function of a seed, a purpose and an index.
//!
//! There is no generator state to save or to share, so results do not depend on the number of threads or
//! workers, a resumed run draws what an uninterrupted one would have, and every device can draw the same
//! numbers. The generator is Philox 4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
//! SC'11), the one that PyTorch and cuRAND use on GPUs.

/// What a stream is for. Streams of different purposes are independent even under equal seeds and indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights, indexed by (repeat, parameter name).
    Init = 1,
    /// The order of the training pictures, indexed by (repeat, epoch).
    Shuffle = 2,
    /// Random transforms, indexed by (repeat, epoch, sample).
    Augment = 3,
    /// Dropout masks, indexed by (repeat, step, layer).
    Dropout = 4,
    /// Pictures drawn by code, indexed by (task, split, sample).
    Generate = 5,
    /// Which pictures fall into which split, indexed by (class).
    Split = 6,
    /// Which pictures a figure shows.
    Show = 7,
    /// Resampling and sign flips in statistics.
    Statistics = 8,
    /// Random transforms of a fixed view of a picture, indexed by (view, sample).
    View = 9,
    /// Which of its fixed views a picture shows, indexed by (repeat, round, sample).
    Pick = 10,
    /// Which training pictures a trial learns from, indexed by (repeat, class).
    Subset = 12,
}

/// The 64-bit key and the counter of one stream.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: u64,
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of `purpose` at `index` under `seed`.
    pub fn new(seed: u64, purpose: Purpose, index: &[u64]) -> Self {
        Self::from_key(stream_key(seed, purpose, index))
    }

    /// The stream of `purpose` at `index` and `name`, for things that are known by name, such as parameters.
    pub fn named(seed: u64, purpose: Purpose, index: &[u64], name: &str) -> Self {
        let key = name
            .bytes()
            .fold(stream_key(seed, purpose, index), |key, byte| {
                mix(key, u64::from(byte))
            });
        Self::from_key(mix(key, name.len() as u64))
    }

    /// The stream of a key made by [`stream_key`].
    pub fn from_key(key: u64) -> Self {
        Self {
            key: [key as u32, (key >> 32) as u32],
            counter: 0,
            block: [0; 4],
            used: 4,
        }
    }

    /// 32 uniform bits.
    pub fn bits32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32(
                self.key,
                [self.counter as u32, (self.counter >> 32) as u32, 0, 0],
            );
            self.counter += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// 64 uniform bits.
    pub fn bits64(&mut self) -> u64 {
        u64::from(self.bits32()) | u64::from(self.bits32()) << 32
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    pub fn unit_f32(&mut self) -> f32 {
        unit_f32(self.bits32())
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit_f64(&mut self) -> f64 {
        (self.bits64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit_f64()
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit_f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit_f64()).cos()
    }

    /// Uniform in 0..bound, without bias (Lemire 2019).
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "there is no number below 0");
        let bound = bound as u64;
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let wide = u128::from(self.bits64()) * u128::from(bound);
            if wide as u64 >= threshold {
                return (wide >> 64) as usize;
            }
        }
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit_f64() < p
    }

    /// Puts `items` into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// A uniformly random order of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

/// The key of a stream. Kernels that draw by element index take this key instead of a [`Stream`].
pub fn stream_key(seed: u64, purpose: Purpose, index: &[u64]) -> u64 {
    let key = mix(mix(0x6772_6166_7400_0001, seed), purpose as u64);
    index
        .iter()
        .fold(mix(key, index.len() as u64), |key, &i| mix(key, i))
}

/// The four words of block `block` of the stream with `key`: elements 4·block to 4·block + 3.
#[inline]
pub fn block(key: u64, block: u64) -> [u32; 4] {
    philox4x32(
        [key as u32, (key >> 32) as u32],
        [block as u32, (block >> 32) as u32, 0, 0],
    )
}

/// [`block`]s `first` to `first` + N − 1 side by side: word w of block `first` + i is at `[w][i]`. Written so that the
/// compiler works on all of them at once, in a caller that is compiled for wide vectors.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "it is to be compiled for the caller's processor"
)]
#[expect(
    clippy::needless_range_loop,
    reason = "lane i of all words belongs together"
)]
pub fn blocks<const N: usize>(key: u64, first: u64) -> [[u32; N]; 4] {
    let mut key = [key as u32, (key >> 32) as u32];
    let mut words = [[0; N]; 4];
    for i in 0..N {
        let block = first.wrapping_add(i as u64);
        words[0][i] = block as u32;
        words[1][i] = (block >> 32) as u32;
    }
    for _ in 0..10 {
        let mut next = [[0; N]; 4];
        for i in 0..N {
            let a = u64::from(words[0][i]) * 0xD251_1F53;
            let b = u64::from(words[2][i]) * 0xCD9E_8D57;
            next[0][i] = (b >> 32) as u32 ^ words[1][i] ^ key[0];
            next[1][i] = b as u32;
            next[2][i] = (a >> 32) as u32 ^ words[3][i] ^ key[1];
            next[3][i] = a as u32;
        }
        words = next;
        key = [
            key[0].wrapping_add(0x9E37_79B9),
            key[1].wrapping_add(0xBB67_AE85),
        ];
    }
    words
}

/// Turns 32 uniform bits into a number in [0, 1), a multiple of 2⁻²⁴.
#[inline]
pub fn unit_f32(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// SplitMix64's finalizer over the running key and the next word (Steele, Lea and Flood 2014).
fn mix(key: u64, word: u64) -> u64 {
    let mut z = key.rotate_left(23)
        ^ word
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Philox 4x32 with ten rounds.
#[inline]
pub fn philox4x32(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [
            key[0].wrapping_add(0x9E37_79B9),
            key[1].wrapping_add(0xBB67_AE85),
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_side_by_side_are_the_blocks() {
        for first in [0, 7, u64::from(u32::MAX) - 3, u64::MAX - 2] {
            let words = blocks::<8>(0x1234_5678_9abc_def0, first);
            for (i, number) in (0..8).map(|i| (i, first.wrapping_add(i as u64))) {
                let expected = block(0x1234_5678_9abc_def0, number);
                assert_eq!(words.map(|lanes| lanes[i]), expected);
            }
        }
    }

    /// The known answers of Random123 1.14, file `kat_vectors`, lines `philox4x32 10`.
    #[test]
    fn philox_agrees_with_random123() {
        assert_eq!(
            philox4x32([0, 0], [0; 4]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32([u32::MAX; 2], [u32::MAX; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32(
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn streams_differ_in_every_part_of_their_key() {
        let first = |seed, purpose, index: &[u64]| Stream::new(seed, purpose, index).bits64();
        let base = first(0, Purpose::Init, &[1, 2]);
        assert_eq!(base, first(0, Purpose::Init, &[1, 2]));
        for other in [
            first(1, Purpose::Init, &[1, 2]),
            first(0, Purpose::Shuffle, &[1, 2]),
            first(0, Purpose::Init, &[2, 1]),
            first(0, Purpose::Init, &[1, 2, 0]),
            first(0, Purpose::Init, &[1]),
            Stream::named(0, Purpose::Init, &[1, 2], "").bits64(),
            Stream::named(0, Purpose::Init, &[1, 2], "fc.weight").bits64(),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut stream = Stream::new(7, Purpose::Statistics, &[]);
        let n = 200_000;
        let (mut u, mut g, mut g2) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            u += stream.unit_f64();
            let x = stream.normal();
            g += x;
            g2 += x * x;
        }
        let n = f64::from(n);
        assert!((u / n - 0.5).abs() < 0.003 && (g / n).abs() < 0.01 && (g2 / n - 1.0).abs() < 0.02);
    }

    #[test]
    fn below_is_uniform_and_permutation_is_complete() {
        let mut stream = Stream::new(3, Purpose::Shuffle, &[]);
        let mut seen = [0u32; 7];
        for _ in 0..70_000 {
            seen[stream.below(7)] += 1;
        }
        assert!(
            seen.iter().all(|&count| (9_600..10_400).contains(&count)),
            "{seen:?}"
        );
        let mut order = stream.permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn block_and_stream_draw_the_same_words() {
        let key = stream_key(5, Purpose::Dropout, &[1, 2, 3]);
        let mut stream = Stream::from_key(key);
        for b in 0..3 {
            assert_eq!(
                block(key, b),
                [
                    stream.bits32(),
                    stream.bits32(),
                    stream.bits32(),
                    stream.bits32()
                ]
            );
        }
    }
}
