// Numbers of 16 bits with the exponent of a float: storage and conversions, no arithmetic.
#pragma once

struct __nv_bfloat16_raw { unsigned short x; };
struct alignas(2) __nv_bfloat16 {
    unsigned short __x;
    __nv_bfloat16() = default;
    constexpr __nv_bfloat16(__nv_bfloat16_raw raw) : __x(raw.x) {}
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
    __nv_bfloat162() = default;
    constexpr __nv_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) : x(x), y(y) {}
};
typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return __nv_bfloat16_raw{bits}; }
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) { return value.__x; }

static inline float __bfloat162float(__nv_bfloat16 value) { return __uint_as_float(unsigned(value.__x) << 16); }
// To the nearest, of two to the even one; every NaN becomes 0x7fff.
static inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return __ushort_as_bfloat16(0x7fff);
    return __ushort_as_bfloat16((unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16));
}
static inline __nv_bfloat16 __float2bfloat16(float value) { return __float2bfloat16_rn(value); }
// A double is rounded once: to a float whose last bit remembers what was cut off, then to 16 bits.
static inline __nv_bfloat16 __double2bfloat16(double value) {
    float nearest = float(value);
    if (double(nearest) != value && std::isfinite(nearest)) {
        unsigned bits = __float_as_uint(nearest);
        if (std::fabs(double(nearest)) > std::fabs(value)) bits--;
        nearest = __uint_as_float(bits | 1u);
    }
    return __float2bfloat16_rn(nearest);
}

static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
static inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 pair) { return pair.x; }
static inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 pair) { return pair.y; }
static inline float __low2float(__nv_bfloat162 pair) { return __bfloat162float(pair.x); }
static inline float __high2float(__nv_bfloat162 pair) { return __bfloat162float(pair.y); }
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)}; }
static inline __nv_bfloat162 __float22bfloat162_rn(float2 pair) { return __floats2bfloat162_rn(pair.x, pair.y); }
static inline float2 __bfloat1622float2(__nv_bfloat162 pair) { return {__low2float(pair), __high2float(pair)}; }
