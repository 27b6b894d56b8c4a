// Included in front of every kernel that g++ compiles for the emulator: CUDA's words, types and built-in functions.
#pragma once
#include <cassert>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>
#include <math.h>

#define __CUDACC__ 1
#define __CUDA_ARCH__ 900
#define __host__
#define __device__
#define __constant__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(bytes) alignas(bytes)
#define __builtin_align__(bytes) alignas(bytes)
#define __grid_constant__
#ifndef GRAFT_SCAN  // when the sources are searched for kernels, these words stay
#define __global__ __attribute__((visibility("hidden")))
#define __launch_bounds__(...)
#endif

#include "graft_vectors.h"

typedef uint3 GraftIndex;
extern GraftIndex threadIdx __attribute__((visibility("hidden")));
extern GraftIndex blockIdx __attribute__((visibility("hidden")));
extern GraftIndex blockDim __attribute__((visibility("hidden")));
extern GraftIndex gridDim __attribute__((visibility("hidden")));
static const int warpSize = 32;

// Barriers and exchanges, in kernels/run.cpp.
enum { GRAFT_COUNT, GRAFT_AND, GRAFT_OR };
int graft_syncthreads(int vote, const char *file, int line, int reduce);
const uint64_t *graft_exchange(unsigned mask, uint64_t value, const char *file, int line);
size_t graft_lane();
void graft_trap(const char *file, int line);

#define __syncthreads() ((void)graft_syncthreads(0, __FILE__, __LINE__, GRAFT_OR))
#define __syncthreads_or(vote) graft_syncthreads(vote, __FILE__, __LINE__, GRAFT_OR)
#define __syncthreads_and(vote) graft_syncthreads(vote, __FILE__, __LINE__, GRAFT_AND)
#define __syncthreads_count(vote) graft_syncthreads(vote, __FILE__, __LINE__, GRAFT_COUNT)
#define __syncwarp(...) ((void)graft_exchange(0xffffffffu, 0, __FILE__, __LINE__))
#define __threadfence() ((void)0)
#define __threadfence_block() ((void)0)
#define __trap() graft_trap(__FILE__, __LINE__)

// The value of the lane that `source` names for this one; its own where that is outside of its part of the warp. A lane
// that does not exist gives bits of ones, NaN as a float.
template <class T, class Source>
T graft_shuffle(unsigned mask, T value, int width, Source source, const char *file, int line) {
    static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    const uint64_t *all = graft_exchange(mask, bits, file, line);
    int lane = int(graft_lane()), base = lane & ~(width - 1);
    int from = source(lane - base);
    if (from < 0 || from >= width) return value;
    memcpy(&value, &all[base + from], sizeof value);
    return value;
}
template <class T>
T graft_shuffle_to(unsigned mask, T value, int from, int width, const char *file, int line) {
    return graft_shuffle(mask, value, width, [=](int) { return from & (width - 1); }, file, line);
}
template <class T>
T graft_shuffle_by(unsigned mask, T value, int delta, int width, const char *file, int line) {
    return graft_shuffle(mask, value, width, [=](int lane) { return lane + delta; }, file, line);
}
template <class T>
T graft_shuffle_xor(unsigned mask, T value, int bits, int width, const char *file, int line) {
    return graft_shuffle(mask, value, width, [=](int lane) { return lane ^ bits; }, file, line);
}
static inline int graft_width() { return 32; }
static inline int graft_width(int width) { return width; }
#define __shfl_sync(mask, value, from, ...) graft_shuffle_to(mask, value, from, graft_width(__VA_ARGS__), __FILE__, __LINE__)
#define __shfl_up_sync(mask, value, delta, ...) \
    graft_shuffle_by(mask, value, -int(delta), graft_width(__VA_ARGS__), __FILE__, __LINE__)
#define __shfl_down_sync(mask, value, delta, ...) \
    graft_shuffle_by(mask, value, int(delta), graft_width(__VA_ARGS__), __FILE__, __LINE__)
#define __shfl_xor_sync(mask, value, bits, ...) \
    graft_shuffle_xor(mask, value, bits, graft_width(__VA_ARGS__), __FILE__, __LINE__)

static inline unsigned graft_ballot(unsigned mask, bool vote, const char *file, int line) {
    const uint64_t *all = graft_exchange(mask, vote, file, line);
    unsigned bits = 0;
    for (int lane = 0; lane < 32; lane++) bits |= unsigned(all[lane] == 1) << lane;
    return bits;
}
static inline bool graft_none_against(unsigned mask, bool vote, const char *file, int line) {
    return graft_ballot(mask, !vote, file, line) == 0;
}
#define __ballot_sync(mask, vote) graft_ballot(mask, (vote) != 0, __FILE__, __LINE__)
#define __any_sync(mask, vote) (graft_ballot(mask, (vote) != 0, __FILE__, __LINE__) != 0)
#define __all_sync(mask, vote) graft_none_against(mask, (vote) != 0, __FILE__, __LINE__)

#include "graft_functions.h"
#include "graft_launch.h"
