// Pooling over windows and over whole maps, (n, h, w, c).
#include "common.cuh"

// Windows of `kernel` pixels, `stride` apart, that may reach `padding` past each side; pairs are height and width.
struct Pool {
    Index n, c, height, width, out_height, out_width;
    Index kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x;
};

// A channel of a pixel of maps (n, rows, columns, c).
struct Place {
    Index n, y, x, c;

    __device__ Place(Index i, Index rows, Index columns, Index channels) {
        const Index pixel = quotient(i, channels), row = quotient(pixel, columns);
        c = i - pixel * channels;
        x = pixel - row * columns;
        n = quotient(row, rows);
        y = row - n * rows;
    }
};

// Which pixel of its window a maximum is, counted over the whole window: bytes, or 32 bits where those are too few.
__device__ inline void note(void *places, Index i, uint32_t place, int wide) {
    if (wide) ((uint32_t *)places)[i] = place;
    else ((uint8_t *)places)[i] = (uint8_t)place;
}

__device__ inline uint32_t noted(const void *places, Index i, int wide) {
    return wide ? ((const uint32_t *)places)[i] : ((const uint8_t *)places)[i];
}

// The maxima of x, or with `terms` of what batch norm makes of x. The first of equal ones counts, and NaN is larger than
// everything. With `places` it is noted where they are.
template <typename T>
__device__ void max_pool(const T *x, const float *terms, T *y, void *places, int wide, int rectify, const Pool &p) {
    const Index n = p.n * p.out_height * p.out_width * p.c;
    for (Index i = thread_index(); i < n; i += thread_count()) {
        const Place at(i, p.out_height, p.out_width, p.c);
        const Index top = at.y * p.stride_y - p.padding_y, left = at.x * p.stride_x - p.padding_x;
        const float mean = terms ? terms[at.c] : 0.0f;
        const float scale = terms ? terms[p.c + at.c] : 1.0f;
        const float shift = terms ? terms[2 * p.c + at.c] : 0.0f;
        float best = -INFINITY;
        uint32_t where = UINT32_MAX;
        for (Index ky = 0; ky < p.kernel_y; ky++) {
            const Index row = top + ky;
            if (row < 0 || row >= p.height) continue;
            for (Index kx = 0; kx < p.kernel_x; kx++) {
                const Index column = left + kx;
                if (column < 0 || column >= p.width) continue;
                float value = widen(x[((at.n * p.height + row) * p.width + column) * p.c + at.c]);
                if (terms) value = (value - mean) * scale + shift;
                if (value > best || isnan(value) || where == UINT32_MAX) {
                    best = value;
                    where = (uint32_t)(ky * p.kernel_x + kx);
                }
            }
        }
        if (rectify && best <= 0.0f) best = 0.0f;
        y[i] = narrow<T>(best);
        if (places) note(places, i, where, wide);
    }
}

// The windows that a place of one axis lies in.
__device__ inline void covering(Index place, Index kernel, Index stride, Index padding, Index output, Index &first, Index &end) {
    place += padding;
    first = place + 1 > kernel ? quotient(place + 1 - kernel + stride - 1, stride) : 0;
    end = quotient(place, stride) + 1;
    if (end > output) end = output;
}

// What each pixel gets from the windows of which it is the maximum. With `result` the maxima were rectified.
template <typename T>
__device__ void max_pool_gradient(const T *dy, const T *result, const void *places, int wide, T *dx, const Pool &p) {
    const Index n = p.n * p.height * p.width * p.c;
    for (Index i = thread_index(); i < n; i += thread_count()) {
        const Place at(i, p.height, p.width, p.c);
        Index top, bottom, left, right;
        covering(at.y, p.kernel_y, p.stride_y, p.padding_y, p.out_height, top, bottom);
        covering(at.x, p.kernel_x, p.stride_x, p.padding_x, p.out_width, left, right);
        float sum = 0;
        for (Index row = top; row < bottom; row++) {
            for (Index column = left; column < right; column++) {
                const Index ky = at.y + p.padding_y - row * p.stride_y, kx = at.x + p.padding_x - column * p.stride_x;
                const Index window = ((at.n * p.out_height + row) * p.out_width + column) * p.c + at.c;
                if (noted(places, window, wide) != (uint32_t)(ky * p.kernel_x + kx)) continue;
                if (result && widen(result[window]) <= 0.0f) continue;
                sum += widen(dy[window]);
            }
        }
        dx[i] = narrow<T>(sum);
    }
}

// Windows of which means are taken: those of Pool, or such that divide the maps into about equal parts.
struct Means {
    Pool pool;
    Index adaptive, count_padding;
};

// One axis of Means.
struct Axis {
    Index input, output, kernel, stride, padding;
    bool adaptive, count_padding;

    __device__ Index start(Index i) const {
        if (adaptive) return quotient(i * input, output);
        const Index at = i * stride - padding;
        return at > 0 ? at : 0;
    }

    __device__ Index end(Index i) const {
        if (adaptive) return quotient((i + 1) * input + output - 1, output);
        const Index at = i * stride - padding + kernel;
        return at < input ? at : input;
    }

    __device__ Index count(Index i) const {
        if (adaptive || !count_padding) return end(i) - start(i);
        const Index last = i * stride + kernel;
        return (last < input + 2 * padding ? last : input + 2 * padding) - i * stride;
    }

    __device__ void covering_windows(Index place, Index &first, Index &last) const {
        if (adaptive) {
            first = quotient(place * output, input);
            last = quotient((place + 1) * output + input - 1, input);
        } else {
            covering(place, kernel, stride, padding, output, first, last);
        }
    }
};

__device__ inline Axis rows_of(const Means &m) {
    const Pool &p = m.pool;
    return {p.height, p.out_height, p.kernel_y, p.stride_y, p.padding_y, m.adaptive != 0, m.count_padding != 0};
}

__device__ inline Axis columns_of(const Means &m) {
    const Pool &p = m.pool;
    return {p.width, p.out_width, p.kernel_x, p.stride_x, p.padding_x, m.adaptive != 0, m.count_padding != 0};
}

template <typename T> __device__ void average_pool(const T *x, T *y, const Means &m) {
    const Axis rows = rows_of(m), columns = columns_of(m);
    const Index c = m.pool.c, n = m.pool.n * rows.output * columns.output * c;
    for (Index i = thread_index(); i < n; i += thread_count()) {
        const Place at(i, rows.output, columns.output, c);
        const Index bottom = rows.end(at.y), left = columns.start(at.x), right = columns.end(at.x);
        float sum = 0;
        for (Index row = rows.start(at.y); row < bottom; row++) {
            for (Index column = left; column < right; column++) {
                sum += widen(x[((at.n * rows.input + row) * columns.input + column) * c + at.c]);
            }
        }
        y[i] = narrow<T>(sum * (1.0f / (float)(rows.count(at.y) * columns.count(at.x))));
    }
}

template <typename T> __device__ void average_pool_gradient(const T *dy, T *dx, const Means &m) {
    const Axis rows = rows_of(m), columns = columns_of(m);
    const Index c = m.pool.c, n = m.pool.n * rows.input * columns.input * c;
    for (Index i = thread_index(); i < n; i += thread_count()) {
        const Place at(i, rows.input, columns.input, c);
        Index top, bottom, left, right;
        rows.covering_windows(at.y, top, bottom);
        columns.covering_windows(at.x, left, right);
        float sum = 0;
        for (Index row = top; row < bottom; row++) {
            for (Index column = left; column < right; column++) {
                const float share = 1.0f / (float)(rows.count(row) * columns.count(column));
                sum += widen(dy[((at.n * rows.output + row) * columns.output + column) * c + at.c]) * share;
            }
        }
        dx[i] = narrow<T>(sum);
    }
}

// Each pixel gets dy / pixels.
template <typename T> __device__ void global_average_gradient(const T *dy, T *dx, Index n, Index pixels, Index c) {
    const Index len = n * pixels * c;
    for (Index i = thread_index(); i < len; i += thread_count()) {
        const Index pixel = quotient(i, c), picture = quotient(pixel, pixels);
        dx[i] = narrow<T>(widen(dy[picture * c + (i - pixel * c)]) / (float)pixels);
    }
}

// The sum over each picture of each channel of x, or of x · dy, times `factor`. Blocks are 32 channels by 8 lanes.
template <typename T>
__device__ void picture_sums(const T *x, const T *dy, T *sums, Index n, Index pixels, Index c, double factor) {
    __shared__ double lanes[8][32];
    const Index groups = (c + 31) / 32;
    for (Index block = blockIdx.x; block < n * groups; block += gridDim.x) {
        const Index picture = quotient(block, groups);
        const Index channel = (block - picture * groups) * 32 + threadIdx.x;
        double sum = 0;
        if (channel < c) {
            for (Index pixel = threadIdx.y; pixel < pixels; pixel += 8) {
                const Index at = (picture * pixels + pixel) * c + channel;
                const float value = widen(x[at]);
                sum += dy ? (double)(value * widen(dy[at])) : (double)value;
            }
        }
        __syncthreads();
        lanes[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && channel < c) {
            double total = 0;
            for (int lane = 0; lane < 8; lane++) total += lanes[lane][threadIdx.x];
            sums[picture * c + channel] = narrow<T>((float)(total * factor));
        }
    }
}

// Each channel of each picture times its gate; y may be x.
template <typename T> __device__ void scale_channels(const T *x, const T *gate, T *y, Index n, Index pixels, Index c) {
    const Index len = n * pixels * c;
    for (Index i = thread_index(); i < len; i += thread_count()) {
        const Index pixel = quotient(i, c), picture = quotient(pixel, pixels);
        y[i] = narrow<T>(widen(x[i]) * widen(gate[picture * c + (i - pixel * c)]));
    }
}

#define DEFINE(SUFFIX, T)                                                                                             \
    extern "C" __global__ void max_pool_##SUFFIX(const T *x, const float *terms, T *y, void *places, int wide,        \
                                                 int rectify, Pool pool) {                                            \
        max_pool(x, terms, y, places, wide, rectify, pool);                                                           \
    }                                                                                                                 \
    extern "C" __global__ void max_pool_gradient_##SUFFIX(const T *dy, const T *result, const void *places, int wide, \
                                                          T *dx, Pool pool) {                                         \
        max_pool_gradient(dy, result, places, wide, dx, pool);                                                        \
    }                                                                                                                 \
    extern "C" __global__ void average_pool_##SUFFIX(const T *x, T *y, Means means) { average_pool(x, y, means); }    \
    extern "C" __global__ void average_pool_gradient_##SUFFIX(const T *dy, T *dx, Means means) {                      \
        average_pool_gradient(dy, dx, means);                                                                         \
    }                                                                                                                 \
    extern "C" __global__ void global_average_gradient_##SUFFIX(const T *dy, T *dx, Index n, Index pixels, Index c) { \
        global_average_gradient(dy, dx, n, pixels, c);                                                                \
    }                                                                                                                 \
    extern "C" __global__ void picture_sums_##SUFFIX(const T *x, const T *dy, T *sums, Index n, Index pixels,         \
                                                     Index c, double factor) {                                        \
        picture_sums(x, dy, sums, n, pixels, c, factor);                                                              \
    }                                                                                                                 \
    extern "C" __global__ void scale_channels_##SUFFIX(const T *x, const T *gate, T *y, Index n, Index pixels,        \
                                                       Index c) {                                                     \
        scale_channels(x, gate, y, n, pixels, c);                                                                     \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
