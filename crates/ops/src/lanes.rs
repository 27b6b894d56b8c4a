//! Vectors of floats whose width is that of the processor at hand.
//!
//! A kernel is written once, generically over [`Lanes`], and compiled for AVX-512, for AVX2 with FMA, and for any
//! processor; [`for_processor!`] picks when it runs. Each lane works for itself, and the vectors with a fused multiply-add
//! round alike, so AVX-512, AVX2 and NEON give the same bits; processors without one round each product as well.

/// A vector of `LEN` floats. The methods are `unsafe` because they may use instructions that the processor must have, and
/// because they take raw pointers; they are meant for the inside of functions that [`for_processor!`] makes.
pub(crate) trait Lanes: Copy {
    /// The number of floats.
    const LEN: usize;
    /// All lanes alike.
    unsafe fn splat(x: f32) -> Self;
    /// `LEN` floats from `p` on.
    unsafe fn load(p: *const f32) -> Self;
    /// The first `n` lanes from `p` on, the others 0; nothing behind them is read.
    unsafe fn load_first(p: *const f32, n: usize) -> Self;
    /// Writes all lanes from `p` on.
    unsafe fn store(self, p: *mut f32);
    /// Writes the first `n` lanes from `p` on.
    unsafe fn store_first(self, p: *mut f32, n: usize);
    /// `self · b + c`, rounded once where the processor can.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// `self + b`.
    unsafe fn add(self, b: Self) -> Self;
    /// `self − b`.
    unsafe fn sub(self, b: Self) -> Self;
    /// `self · b`.
    unsafe fn mul(self, b: Self) -> Self;

    /// Transposes the square of which `rows` points to `LEN` rows.
    unsafe fn transpose(rows: *mut Self);

    /// All lanes zero.
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller answers for the processor.
        unsafe { Self::splat(0.0) }
    }

    /// `load`, or `load_first` where fewer than `LEN` floats are left.
    #[inline(always)]
    unsafe fn load_up_to(p: *const f32, n: usize) -> Self {
        // SAFETY: the caller answers for `n` floats behind `p`, or more than `LEN` of them.
        unsafe {
            if n >= Self::LEN {
                Self::load(p)
            } else {
                Self::load_first(p, n)
            }
        }
    }

    /// `store`, or `store_first` where there is room for fewer than `LEN` floats.
    #[inline(always)]
    unsafe fn store_up_to(self, p: *mut f32, n: usize) {
        // SAFETY: as for `load_up_to`.
        unsafe {
            if n >= Self::LEN {
                self.store(p);
            } else {
                self.store_first(p, n);
            }
        }
    }
}

/// Lanes of any processor; where it has a fused multiply-add from the start (as 64-bit ARM), that is used.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Lanes for Portable {
    const LEN: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 8])
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller answers for 8 floats behind `p`.
        Self(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        let mut all = [0.0; 8];
        // SAFETY: the caller answers for `n` floats behind `p`; `n` is at most 8.
        unsafe { std::ptr::copy_nonoverlapping(p, all.as_mut_ptr(), n.min(8)) };
        Self(all)
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller answers for 8 floats behind `p`.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        // SAFETY: the caller answers for `n` floats behind `p`; `n` is at most 8.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), p, n.min(8)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| {
            if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                self.0[i].mul_add(b.0[i], c.0[i])
            } else {
                self.0[i] * b.0[i] + c.0[i]
            }
        }))
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }

    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - b.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * b.0[i]))
    }

    #[inline(always)]
    unsafe fn transpose(rows: *mut Self) {
        // SAFETY: the caller answers for eight rows.
        let rows = unsafe { &mut *rows.cast::<[Self; 8]>() };
        let before = *rows;
        for (i, row) in rows.iter_mut().enumerate() {
            row.0 = std::array::from_fn(|j| before[j].0[i]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m256i, __m512, _mm256_add_ps, _mm256_castpd_ps, _mm256_castps_pd,
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps,
        _mm256_maskstore_ps, _mm256_mul_ps, _mm256_permute2f128_ps, _mm256_set1_ps,
        _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps,
        _mm256_unpacklo_pd, _mm256_unpacklo_ps, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
        _mm512_mul_ps, _mm512_set1_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_sub_ps,
        _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };

    use super::Lanes;

    impl Lanes for __m512 {
        const LEN: usize = 16;

        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: the caller answers for the processor, here and below.
            unsafe { _mm512_set1_ps(x) }
        }

        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller answers for what lies behind the pointer, here and below.
            unsafe { _mm512_loadu_ps(p) }
        }

        #[inline(always)]
        unsafe fn load_first(p: *const f32, n: usize) -> Self {
            // SAFETY: masked lanes are not read.
            unsafe { _mm512_maskz_loadu_ps(first(n), p) }
        }

        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as for `load`.
            unsafe { _mm512_storeu_ps(p, self) }
        }

        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, n: usize) {
            // SAFETY: masked lanes are not written.
            unsafe { _mm512_mask_storeu_ps(p, first(n), self) }
        }

        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: as for `splat`.
            unsafe { _mm512_fmadd_ps(self, b, c) }
        }

        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            // SAFETY: as for `splat`.
            unsafe { _mm512_add_ps(self, b) }
        }

        #[inline(always)]
        unsafe fn sub(self, b: Self) -> Self {
            // SAFETY: as for `splat`.
            unsafe { _mm512_sub_ps(self, b) }
        }

        #[inline(always)]
        unsafe fn mul(self, b: Self) -> Self {
            // SAFETY: as for `splat`.
            unsafe { _mm512_mul_ps(self, b) }
        }

        #[inline(always)]
        unsafe fn transpose(rows: *mut Self) {
            // SAFETY: the caller answers for the processor and for sixteen rows.
            unsafe {
                let rows = &mut *rows.cast::<[Self; 16]>();
                // After the first two steps, vector 4i + k has in its quarter q the column 4q + k of the rows from 4i on.
                let mut a = *rows;
                for i in 0..8 {
                    a[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                    a[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
                }
                let mut b = a;
                for i in (0..16).step_by(4) {
                    let pair = |x: usize, y: usize| {
                        let (x, y) = (_mm512_castps_pd(a[i + x]), _mm512_castps_pd(a[i + y]));
                        let (low, high) = (_mm512_unpacklo_pd(x, y), _mm512_unpackhi_pd(x, y));
                        (_mm512_castpd_ps(low), _mm512_castpd_ps(high))
                    };
                    (b[i], b[i + 1]) = pair(0, 2);
                    (b[i + 2], b[i + 3]) = pair(1, 3);
                }
                for k in 0..4 {
                    let even_above = _mm512_shuffle_f32x4::<0x88>(b[k], b[4 + k]);
                    let odd_above = _mm512_shuffle_f32x4::<0xdd>(b[k], b[4 + k]);
                    let even_below = _mm512_shuffle_f32x4::<0x88>(b[8 + k], b[12 + k]);
                    let odd_below = _mm512_shuffle_f32x4::<0xdd>(b[8 + k], b[12 + k]);
                    rows[k] = _mm512_shuffle_f32x4::<0x88>(even_above, even_below);
                    rows[8 + k] = _mm512_shuffle_f32x4::<0xdd>(even_above, even_below);
                    rows[4 + k] = _mm512_shuffle_f32x4::<0x88>(odd_above, odd_below);
                    rows[12 + k] = _mm512_shuffle_f32x4::<0xdd>(odd_above, odd_below);
                }
            }
        }
    }

    /// The mask of the first `n` of 16 lanes.
    #[inline(always)]
    fn first(n: usize) -> u16 {
        ((1u32 << n.min(16)) - 1) as u16
    }

    impl Lanes for __m256 {
        const LEN: usize = 8;

        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: the caller answers for the processor, here and below.
            unsafe { _mm256_set1_ps(x) }
        }

        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller answers for what lies behind the pointer, here and below.
            unsafe { _mm256_loadu_ps(p) }
        }

        #[inline(always)]
        unsafe fn load_first(p: *const f32, n: usize) -> Self {
            // SAFETY: masked lanes are not read.
            unsafe { _mm256_maskload_ps(p, mask(n)) }
        }

        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as for `load`.
            unsafe { _mm256_storeu_ps(p, self) }
        }

        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, n: usize) {
            // SAFETY: masked lanes are not written.
            unsafe { _mm256_maskstore_ps(p, mask(n), self) }
        }

        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: as for `splat`.
            unsafe { _mm256_fmadd_ps(self, b, c) }
        }

        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            // SAFETY: as for `splat`.
            unsafe { _mm256_add_ps(self, b) }
        }

        #[inline(always)]
        unsafe fn sub(self, b: Self) -> Self {
            // SAFETY: as for `splat`.
            unsafe { _mm256_sub_ps(self, b) }
        }

        #[inline(always)]
        unsafe fn mul(self, b: Self) -> Self {
            // SAFETY: as for `splat`.
            unsafe { _mm256_mul_ps(self, b) }
        }

        #[inline(always)]
        unsafe fn transpose(rows: *mut Self) {
            // SAFETY: the caller answers for the processor and for eight rows.
            unsafe {
                let rows = &mut *rows.cast::<[Self; 8]>();
                // As for 512 bits: vector 4i + k has in its half q the column 4q + k of the rows from 4i on.
                let mut b = *rows;
                for i in (0..8).step_by(4) {
                    let low = |x: usize, y: usize| {
                        _mm256_castps_pd(_mm256_unpacklo_ps(rows[i + x], rows[i + y]))
                    };
                    let high = |x: usize, y: usize| {
                        _mm256_castps_pd(_mm256_unpackhi_ps(rows[i + x], rows[i + y]))
                    };
                    b[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(low(0, 1), low(2, 3)));
                    b[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low(0, 1), low(2, 3)));
                    b[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high(0, 1), high(2, 3)));
                    b[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high(0, 1), high(2, 3)));
                }
                for k in 0..4 {
                    rows[k] = _mm256_permute2f128_ps::<0x20>(b[k], b[4 + k]);
                    rows[4 + k] = _mm256_permute2f128_ps::<0x31>(b[k], b[4 + k]);
                }
            }
        }
    }

    /// The mask of the first `n` of 8 lanes.
    #[inline(always)]
    unsafe fn mask(n: usize) -> __m256i {
        const ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: `n` is at most 8, so that 8 numbers are left in the table.
        unsafe { _mm256_loadu_si256(ONES.as_ptr().add(8 - n.min(8)).cast()) }
    }
}

/// Asks for the floats from `at` on to be brought into the cache; where the processor or the slice has none, nothing happens.
#[inline]
pub(crate) fn prefetch(values: &[f32], at: usize, len: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 16;
        let part = values
            .get(at..values.len().min(at + len))
            .unwrap_or_default();
        for line in part.chunks(LINE) {
            // SAFETY: a prefetch reads nothing; SSE is part of x86-64.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at, len);
}

/// Which vectors this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Processor {
    /// The processor that this program runs on.
    #[inline]
    pub(crate) fn here() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
            {
                return Self::Avx2;
            }
        }
        Self::Portable
    }
}

/// Defines a function that runs `body::<L>` for the widest lanes `L` of the processor at hand. `body` must be
/// `#[inline(always)]`, as must be what it calls with lanes, so that all of it is compiled for those.
macro_rules! for_processor {
    ($(#[$attribute:meta])* $vis:vis unsafe fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$attribute])*
        $vis unsafe fn $name($($arg: $type),*) {
            use $crate::lanes::{Portable, Processor};
            #[cfg(target_arch = "x86_64")]
            {
                use std::arch::x86_64::{__m256, __m512};
                #[target_feature(enable = "avx512f")]
                unsafe fn avx512($($arg: $type),*) {
                    // SAFETY: the caller answers for the arguments.
                    unsafe { $body::<__m512>($($arg),*) }
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2($($arg: $type),*) {
                    // SAFETY: the caller answers for the arguments.
                    unsafe { $body::<__m256>($($arg),*) }
                }
                // SAFETY: the processor has these instructions; the caller answers for the arguments.
                unsafe {
                    match Processor::here() {
                        Processor::Avx512 => return avx512($($arg),*),
                        Processor::Avx2 => return avx2($($arg),*),
                        Processor::Portable => {}
                    }
                }
            }
            // SAFETY: the caller answers for the arguments.
            unsafe { $body::<Portable>($($arg),*) }
        }
    };
}
pub(crate) use for_processor;
