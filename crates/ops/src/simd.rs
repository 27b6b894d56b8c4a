//! Loops that the compiler vectorises, compiled once for any processor, once for AVX2 and once for AVX-512, chosen when
//! they run.
//!
//! Nothing here rounds differently in the versions: there is no fused multiply-add, and sums are formed in lanes
//! whose number is written down. So a machine without wide vectors gives the same bits, only later.

/// Defines a function whose body is compiled for the oldest processor of the target, for AVX2 and for AVX-512, and which
/// picks at run time. The body must not depend on which one it is. Picking takes some nanoseconds, so that a call should
/// have some hundred numbers to work on. With a type parameter, it is compiled so for each type by itself.
macro_rules! vectorized {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident $(<$curve:ident: $bound:ident>)? ($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        $vis fn $name $(<$curve: $bound>)? ($($arg: $type),*) $(-> $result)? {
            // Inlined into all versions, or the others would not be compiled for their processors.
            #[inline(always)]
            fn portable $(<$curve: $bound>)? ($($arg: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
                fn avx512 $(<$curve: $bound>)? ($($arg: $type),*) $(-> $result)? {
                    portable $(::<$curve>)? ($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2 $(<$curve: $bound>)? ($($arg: $type),*) $(-> $result)? {
                    portable $(::<$curve>)? ($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the processor has just been seen to have these parts of AVX-512.
                    return unsafe { avx512 $(::<$curve>)? ($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just been seen to have AVX2.
                    return unsafe { avx2 $(::<$curve>)? ($($arg),*) };
                }
            }
            portable $(::<$curve>)? ($($arg),*)
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
    /// `out[i] = a[i] + b[i]`.
    pub(crate) fn add(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a + b;
        }
    }
}
