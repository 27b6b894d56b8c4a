// Functions of each value by itself.
#include "curves.cuh"

template <typename C> struct Value {
    __device__ float operator()(float x) const { return C::value(x); }
};

template <typename C> struct FromSaved {
    __device__ float operator()(float g, float saved) const { return C::from_saved(g, saved); }
};

// activate: y = the activation of x; both may be the same array.
// activation_gradient: turns the gradient of the values into that of the arguments, given what was saved, in place.
#define DEFINE(SUFFIX, T)                                                                                   \
    extern "C" __global__ void activate_##SUFFIX(const T *x, T *y, Index n, int kind) {                     \
        WITH_CURVE(kind, map(x, y, n, Value<C>()))                                                          \
    }                                                                                                       \
    extern "C" __global__ void activation_gradient_##SUFFIX(T *grad, const T *saved, Index n, int kind) {   \
        WITH_CURVE(kind, map2(grad, saved, grad, n, FromSaved<C>()))                                        \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
