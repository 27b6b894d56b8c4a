// Sums, copies, and changes of order and kind.
#include "common.cuh"

struct Sum {
    __device__ float operator()(float a, float b) const { return a + b; }
};

struct SumScaled {
    float factor;
    __device__ float operator()(float a, float b) const { return factor * b + a; }
};

struct Scaled {
    float factor;
    __device__ float operator()(float a) const { return factor * a; }
};

struct Towards {
    float share;
    __device__ float operator()(float target, float other) const { return target + share * (other - target); }
};

struct Same {
    __device__ float operator()(float x) const { return x; }
};

// How a strided array lies: `rank` sizes and the distances between neighbours, outermost first.
struct Strides {
    Index rank;
    Index size[8];
    Index stride[8];
};

// Writes the numbers of a strided array one after another.
template <typename T> __device__ void gather(const T *x, T *y, Index n, const Strides &of) {
    for (Index i = thread_index(); i < n; i += thread_count()) {
        Index rest = i, place = 0;
        for (int d = (int)of.rank - 1; d >= 0; d--) {
            const Index outer = quotient(rest, of.size[d]);
            place += (rest - outer * of.size[d]) * of.stride[d];
            rest = outer;
        }
        y[i] = x[place];
    }
}

// Copies a dense part of `len` numbers per run to where it belongs in each run of the whole, rectified if asked.
template <typename T> __device__ void join(const T *part, T *whole, Index n, Index first, Index len, Index stride, int rectify) {
    for (Index i = thread_index(); i < n; i += thread_count()) {
        const Index run = quotient(i, len);
        const T value = part[i];
        const bool cleared = rectify && widen(value) <= 0.0f;
        whole[run * stride + first + (i - run * len)] = cleared ? narrow<T>(0.0f) : value;
    }
}

// Takes a part back out of the whole; with `result` only where that is positive.
template <typename T>
__device__ void slice(const T *whole, const T *result, T *part, Index n, Index first, Index len, Index stride) {
    for (Index i = thread_index(); i < n; i += thread_count()) {
        const Index run = quotient(i, len), place = run * stride + first + (i - run * len);
        const bool cleared = result && widen(result[place]) <= 0.0f;
        part[i] = cleared ? narrow<T>(0.0f) : whole[place];
    }
}

// Each of `n` matrices (rows, cols) transposed, by way of tiles that are read and written in long runs.
template <typename X, typename Y> __device__ void transpose(const X *x, Y *y, Index n, Index rows, Index cols) {
    __shared__ float tile[4096];
    const int width = cols < 128 ? (int)cols : 128;
    const int pitch = width | 1;
    const int height = rows < 4096 / pitch ? (int)rows : 4096 / pitch;
    const Index down = (rows + height - 1) / height, across = (cols + width - 1) / width;
    const Index tiles = n * down * across;
    for (Index t = blockIdx.x; t < tiles; t += gridDim.x) {
        const Index matrix = t / (down * across), in_matrix = t % (down * across);
        const Index row = in_matrix / across * height, col = in_matrix % across * width;
        const int h = rows - row < height ? (int)(rows - row) : height;
        const int w = cols - col < width ? (int)(cols - col) : width;
        const X *from = x + matrix * rows * cols;
        Y *to = y + matrix * rows * cols;
        __syncthreads();
        for (int i = threadIdx.x; i < h * w; i += BLOCK) {
            const int r = i / w, c = i % w;
            tile[r * pitch + c] = widen(from[(row + r) * cols + col + c]);
        }
        __syncthreads();
        for (int i = threadIdx.x; i < h * w; i += BLOCK) {
            const int c = i / h, r = i % h;
            to[(col + c) * rows + row + r] = narrow<Y>(tile[r * pitch + c]);
        }
    }
}

// Every float is `value`.
extern "C" __global__ void fill_f32(float *y, Index n, float value) {
    for (Index i = thread_index(); i < n; i += thread_count()) y[i] = value;
}

// target += share · (other − target).
extern "C" __global__ void lerp_f32(float *target, const float *other, Index n, float share) {
    map2(target, other, target, n, Towards{share});
}

// Between the kinds of numbers.
extern "C" __global__ void to_bf16(const float *x, bf16 *y, Index n) { map(x, y, n, Same()); }
extern "C" __global__ void to_f32(const bf16 *x, float *y, Index n) { map(x, y, n, Same()); }

// A filter (o, c, k) as (o, k, c), and its gradient back, where the filter is of another kind than the parameter.
extern "C" __global__ void transpose_to_bf16(const float *x, bf16 *y, Index n, Index rows, Index cols) {
    transpose(x, y, n, rows, cols);
}
extern "C" __global__ void transpose_to_f32(const bf16 *x, float *y, Index n, Index rows, Index cols) {
    transpose(x, y, n, rows, cols);
}

// add: y = a + b, where y may be either. scaled_sum: y = a + factor · b. scaled: y = factor · a.
#define DEFINE(SUFFIX, T)                                                                                        \
    extern "C" __global__ void add_##SUFFIX(const T *a, const T *b, T *y, Index n) { map2(a, b, y, n, Sum()); }  \
    extern "C" __global__ void scaled_sum_##SUFFIX(const T *a, const T *b, T *y, Index n, float factor) {        \
        map2(a, b, y, n, SumScaled{factor});                                                                     \
    }                                                                                                            \
    extern "C" __global__ void scaled_##SUFFIX(const T *a, T *y, Index n, float factor) {                        \
        map(a, y, n, Scaled{factor});                                                                            \
    }                                                                                                            \
    extern "C" __global__ void scaled_by_##SUFFIX(const T *a, const float *factor, T *y, Index n) {              \
        map(a, y, n, Scaled{factor[0]});                                                                         \
    }                                                                                                            \
    extern "C" __global__ void gather_##SUFFIX(const T *x, T *y, Index n, Strides of) { gather(x, y, n, of); }   \
    extern "C" __global__ void join_##SUFFIX(const T *part, T *whole, Index n, Index first, Index len,           \
                                             Index stride, int rectify) {                                        \
        join(part, whole, n, first, len, stride, rectify);                                                       \
    }                                                                                                            \
    extern "C" __global__ void slice_##SUFFIX(const T *whole, const T *result, T *part, Index n, Index first,    \
                                              Index len, Index stride) {                                         \
        slice(whole, result, part, n, first, len, stride);                                                       \
    }                                                                                                            \
    extern "C" __global__ void transpose_##SUFFIX(const T *x, T *y, Index n, Index rows, Index cols) {           \
        transpose(x, y, n, rows, cols);                                                                          \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
