// The activations as formulas. They are written so that NaN stays NaN.
#pragma once

#include "common.cuh"

// The numbers of the activations; IDENTITY is none.
enum { IDENTITY = 0, RELU = 1, RELU6 = 2, SIGMOID = 3, HARDSIGMOID = 4, SILU = 5, HARDSWISH = 6 };

__device__ inline float relu6_value(float x) {
    x = x <= 0.0f ? 0.0f : x;
    return x >= 6.0f ? 6.0f : x;
}

__device__ inline float sigmoid_value(float x) { return 1.0f / (1.0f + expf(-x)); }

// Each curve: its value at x, the argument's gradient from the value's, g, and the argument, and the same from what the
// backward pass saves: the value for relu, relu6 and sigmoid, the argument for the others.
template <int KIND> struct Curve;

template <> struct Curve<IDENTITY> {
    static constexpr bool USUAL = true;
    static __device__ inline float value(float x) { return x; }
    static __device__ inline float gradient(float g, float) { return g; }
    static __device__ inline float from_saved(float g, float) { return g; }
};

template <> struct Curve<RELU> {
    static constexpr bool USUAL = true;
    static __device__ inline float value(float x) { return x <= 0.0f ? 0.0f : x; }
    static __device__ inline float gradient(float g, float x) { return x <= 0.0f ? 0.0f : g; }
    static __device__ inline float from_saved(float g, float y) { return gradient(g, y); }
};

template <> struct Curve<RELU6> {
    static __device__ inline float value(float x) { return relu6_value(x); }
    static __device__ inline float gradient(float g, float x) {
        g = x <= 0.0f ? 0.0f : g;
        return x >= 6.0f ? 0.0f : g;
    }
    static __device__ inline float from_saved(float g, float y) { return gradient(g, y); }
};

template <> struct Curve<SIGMOID> {
    static __device__ inline float value(float x) { return sigmoid_value(x); }
    static __device__ inline float from_saved(float g, float y) { return g * (1.0f - y) * y; }
    static __device__ inline float gradient(float g, float x) { return from_saved(g, sigmoid_value(x)); }
};

template <> struct Curve<HARDSIGMOID> {
    static __device__ inline float value(float x) { return relu6_value(x + 3.0f) / 6.0f; }
    static __device__ inline float gradient(float g, float x) {
        g = x <= -3.0f ? 0.0f : g;
        return x >= 3.0f ? 0.0f : g / 6.0f;
    }
    static __device__ inline float from_saved(float g, float x) { return gradient(g, x); }
};

template <> struct Curve<SILU> {
    static __device__ inline float value(float x) { return x / (1.0f + expf(-x)); }
    static __device__ inline float gradient(float g, float x) {
        const float s = sigmoid_value(x);
        return g * (s * (1.0f + x * (1.0f - s)));
    }
    static __device__ inline float from_saved(float g, float x) { return gradient(g, x); }
};

template <> struct Curve<HARDSWISH> {
    static __device__ inline float value(float x) { return x * relu6_value(x + 3.0f) / 6.0f; }
    static __device__ inline float gradient(float g, float x) {
        const float inside = g * (x / 3.0f + 0.5f);
        const float left = x <= -3.0f ? 0.0f : inside;
        return x >= 3.0f ? g : left;
    }
    static __device__ inline float from_saved(float g, float x) { return gradient(g, x); }
};

// Calls a statement with C as the type of the curve `kind`.
#define WITH_CURVE(kind, ...)                                                         \
    switch (kind) {                                                                   \
    case RELU: { typedef Curve<RELU> C; __VA_ARGS__; break; }                         \
    case RELU6: { typedef Curve<RELU6> C; __VA_ARGS__; break; }                       \
    case SIGMOID: { typedef Curve<SIGMOID> C; __VA_ARGS__; break; }                   \
    case HARDSIGMOID: { typedef Curve<HARDSIGMOID> C; __VA_ARGS__; break; }           \
    case SILU: { typedef Curve<SILU> C; __VA_ARGS__; break; }                         \
    case HARDSWISH: { typedef Curve<HARDSWISH> C; __VA_ARGS__; break; }               \
    default: { typedef Curve<IDENTITY> C; __VA_ARGS__; break; }                       \
    }

// Any of the curves, known at run time.
struct AnyCurve {
    static constexpr bool USUAL = false;
    int kind;

    __device__ float value(float x) const {
        float y;
        WITH_CURVE(kind, y = C::value(x))
        return y;
    }

    __device__ float gradient(float g, float x) const {
        float dx;
        WITH_CURVE(kind, dx = C::gradient(g, x))
        return dx;
    }
};

// Calls a statement with `curve` as the curve `kind`. Only the usual ones are compiled by themselves.
#define WITH_USUAL_CURVE(kind, ...)                                                   \
    switch (kind) {                                                                   \
    case IDENTITY: { Curve<IDENTITY> curve; __VA_ARGS__; break; }                     \
    case RELU: { Curve<RELU> curve; __VA_ARGS__; break; }                             \
    default: { AnyCurve curve = {kind}; __VA_ARGS__; break; }                         \
    }
