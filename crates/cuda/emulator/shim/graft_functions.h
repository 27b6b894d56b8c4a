// CUDA's built-in functions, on the CPU.
#pragma once

// min and max of two numbers; of floats as fminf and fmaxf, which pass over NaNs.
template <class A, class B>
static inline constexpr std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>)
        return std::fmin(T(a), T(b));
    else
        return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B>
static inline constexpr std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>)
        return std::fmax(T(a), T(b));
    else
        return T(a) < T(b) ? T(b) : T(a);
}

template <class T>
static inline T __ldg(const T *at) {
    return *at;
}
#define __ldcs(at) __ldg(at)
#define __ldcg(at) __ldg(at)
#define __ldca(at) __ldg(at)
template <class T>
static inline void __stcs(T *at, T value) {
    *at = value;
}
template <class T>
static inline void __stcg(T *at, T value) {
    *at = value;
}

// Bits of one type as another of the same size.
template <class To, class From>
static inline To graft_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline int __float_as_int(float x) { return graft_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return graft_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return graft_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return graft_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return graft_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return graft_bits<double>(x); }

// Functions that glibc may have under the same names are macros.
static inline float graft_rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double graft_rsqrt(double x) { return 1.0 / sqrt(x); }
#define rsqrtf(x) graft_rsqrtf(x)
#define rsqrt(x) graft_rsqrt(x)
#define __expf(x) expf(x)
#define __exp2f(x) exp2f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanhf(x) tanhf(x)
#define __saturatef(x) fminf(fmaxf(x, 0.0f), 1.0f)
#define __fdividef(x, y) ((x) / (y))
#define __frcp_rn(x) (1.0f / (x))
#define __fsqrt_rn(x) sqrtf(x)
#define __frsqrt_rn(x) graft_rsqrtf(x)
#define __fmaf_rn(x, y, z) fmaf(x, y, z)
#define __fma_rn(x, y, z) fma(x, y, z)
// Sums and products that are never contracted to fused operations.
#define GRAFT_ALONE(name, T, sign)    \
    static inline T name(T x, T y) {  \
        volatile T result = x sign y; \
        return result;                \
    }
GRAFT_ALONE(__fadd_rn, float, +)
GRAFT_ALONE(__fsub_rn, float, -)
GRAFT_ALONE(__fmul_rn, float, *)
GRAFT_ALONE(__fdiv_rn, float, /)
GRAFT_ALONE(__dadd_rn, double, +)
GRAFT_ALONE(__dsub_rn, double, -)
GRAFT_ALONE(__dmul_rn, double, *)
GRAFT_ALONE(__ddiv_rn, double, /)
#undef GRAFT_ALONE

static inline int __float2int_rn(float x) { return int(nearbyintf(x)); }
static inline int __float2int_rz(float x) { return int(x); }
static inline int __float2int_rd(float x) { return int(floorf(x)); }
static inline float __int2float_rn(int x) { return float(x); }
static inline float __uint2float_rn(unsigned x) { return float(x); }
static inline float __double2float_rn(double x) { return float(x); }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)(x)) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int bit = 0; bit < 32; bit++) result |= (x >> bit & 1u) << (31 - bit);
    return result;
}
static inline unsigned __umulhi(unsigned x, unsigned y) { return unsigned(uint64_t(x) * y >> 32); }
static inline int __mulhi(int x, int y) { return int(int64_t(x) * y >> 32); }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)((unsigned __int128)(x)*y >> 64);
}

// Atomic operations on integers; threads run one after another. Those on floats do not exist here: their results would
// depend on the order of threads.
#define GRAFT_ATOMIC(name, expression)                                  \
    template <class T, class V>                                         \
    static inline T name(T *at, V given) {                              \
        static_assert(std::is_integral_v<T>, #name " is for integers"); \
        T old = *at, value = T(given);                                  \
        *at = (expression);                                             \
        return old;                                                     \
    }
GRAFT_ATOMIC(atomicAdd, T(old + value))
GRAFT_ATOMIC(atomicSub, T(old - value))
GRAFT_ATOMIC(atomicMax, old < value ? value : old)
GRAFT_ATOMIC(atomicMin, value < old ? value : old)
GRAFT_ATOMIC(atomicOr, T(old | value))
GRAFT_ATOMIC(atomicAnd, T(old &value))
GRAFT_ATOMIC(atomicXor, T(old ^ value))
GRAFT_ATOMIC(atomicExch, value)
#undef GRAFT_ATOMIC
template <class T>
static inline T atomicCAS(T *at, T expected, T value) {
    T old = *at;
    if (old == expected) *at = value;
    return old;
}
