//! Loops that the compiler vectorises, compiled once for any processor and once for AVX2, chosen when they run.
//!
//! Nothing here rounds differently in the two versions: there is no fused multiply-add, and sums are formed in lanes
//! whose number is written down. So a machine without AVX2 gives the same bits, only later.

/// Defines a function whose body is compiled for the oldest processor of the target and for AVX2, and which picks at
/// run time. The body must not depend on which one it is.
macro_rules! vectorized {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        $vis fn $name($($arg: $type),*) $(-> $result)? {
            // Inlined into both versions, or the second would not be compiled for AVX2.
            #[inline(always)]
            fn portable($($arg: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $result)? {
                    portable($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just been seen to have AVX2.
                    return unsafe { avx2($($arg),*) };
                }
            }
            portable($($arg),*)
        }
    };
}
pub(crate) use vectorized;

vectorized! {
    /// `a[i] += b[i]`.
    pub(crate) fn add_assign(a: &mut [f32], b: &[f32]) {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
    }
}

vectorized! {
    /// `a[i] += value`.
    pub(crate) fn add_scalar(a: &mut [f32], value: f32) {
        for a in a {
            *a += value;
        }
    }
}

vectorized! {
    /// `out[i] = a[i] + b[i]`.
    pub(crate) fn add(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a + b;
        }
    }
}

vectorized! {
    /// `out[i] = x[2 * i]`.
    pub(crate) fn every_second(out: &mut [f32], x: &[f32]) {
        let Some((last, out)) = out.split_last_mut() else {
            return;
        };
        *last = x[2 * out.len()];
        for (out, pair) in out.iter_mut().zip(x.as_chunks::<2>().0) {
            *out = pair[0];
        }
    }
}
