// What all kernels share: the two kinds of numbers, loops over arrays, and sums in a fixed order.
//
// Every kernel is `extern "C" __global__ void NAME(...)`. Sizes and places are `Index`, 64 bits wide. Activations come as
// f32 or bf16, in which case a kernel exists as NAME_f32 and NAME_bf16; all arithmetic is done in f32 or f64. No kernel
// uses atomics, so that results are the same from run to run.
#pragma once

#include <cuda_bf16.h>
#include <math.h>
#include <stdint.h>

typedef long long Index;
typedef __nv_bfloat16 bf16;

// Threads of a block wherever a block is one row of threads.
#define BLOCK 256

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(bf16 x) { return __bfloat162float(x); }

template <typename T> struct Narrow;
template <> struct Narrow<float> {
    static __device__ inline float of(float x) { return x; }
};
template <> struct Narrow<bf16> {
    static __device__ inline bf16 of(float x) { return __float2bfloat16(x); }
};

template <typename T> __device__ inline T narrow(float x) { return Narrow<T>::of(x); }

// This thread among all of a one-dimensional grid, and how many there are.
__device__ inline Index thread_index() { return (Index)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline Index thread_count() { return (Index)gridDim.x * blockDim.x; }

// a / b for a ≥ 0 and b > 0, where 32 bits are enough with those only, which is several times as fast.
__device__ inline Index quotient(Index a, Index b) {
    return ((a | b) >> 32) == 0 ? (Index)((uint32_t)a / (uint32_t)b) : a / b;
}

// N neighbours that are read or written at once.
template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
    T v[N];
};

// How many numbers make 16 bytes.
template <typename T> struct Width {
    static constexpr int N = 16 / (int)sizeof(T);
};

__device__ inline bool is_aligned(const void *p) { return ((uintptr_t)p & 15) == 0; }

// y[i] = f(x[i]) for i < n; x and y may be the same array.
template <typename X, typename Y, typename F> __device__ void map(const X *x, Y *y, Index n, F f) {
    constexpr int N = Width<X>::N < Width<Y>::N ? Width<X>::N : Width<Y>::N;
    const Index packs = is_aligned(x) && is_aligned(y) ? n / N : 0;
    for (Index i = thread_index(); i < packs; i += thread_count()) {
        const Pack<X, N> in = reinterpret_cast<const Pack<X, N> *>(x)[i];
        Pack<Y, N> out;
        for (int k = 0; k < N; k++) out.v[k] = narrow<Y>(f(widen(in.v[k])));
        reinterpret_cast<Pack<Y, N> *>(y)[i] = out;
    }
    for (Index i = packs * N + thread_index(); i < n; i += thread_count()) y[i] = narrow<Y>(f(widen(x[i])));
}

// y[i] = f(a[i], b[i]) for i < n; y may be a or b.
template <typename T, typename F> __device__ void map2(const T *a, const T *b, T *y, Index n, F f) {
    constexpr int N = Width<T>::N;
    const Index packs = is_aligned(a) && is_aligned(b) && is_aligned(y) ? n / N : 0;
    typedef Pack<T, N> P;
    for (Index i = thread_index(); i < packs; i += thread_count()) {
        const P in_a = reinterpret_cast<const P *>(a)[i], in_b = reinterpret_cast<const P *>(b)[i];
        P out;
        for (int k = 0; k < N; k++) out.v[k] = narrow<T>(f(widen(in_a.v[k]), widen(in_b.v[k])));
        reinterpret_cast<P *>(y)[i] = out;
    }
    for (Index i = packs * N + thread_index(); i < n; i += thread_count()) y[i] = narrow<T>(f(widen(a[i]), widen(b[i])));
}

// The sum of `value` over all threads of a block of BLOCK threads, the same way every time. All threads get it.
__device__ inline double block_sum(double value) {
    __shared__ double sums[BLOCK];
    __syncthreads();
    sums[threadIdx.x] = value;
    __syncthreads();
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    return sums[0];
}

// Defines a kernel for both kinds of numbers: DEFINE(suffix, type).
#define FOR_F32_AND_BF16(DEFINE) \
    DEFINE(f32, float)           \
    DEFINE(bf16, bf16)
