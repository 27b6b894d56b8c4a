// Convolutions as products of matrices: the input unfolded to a row of numbers for each pixel of the output, and the
// gradients of such rows folded to the input's. A row has a column for each (group, row and column of the kernel, channel
// of the group), in this order, so that the columns of a group are a matrix, and neighbours in memory are channels.
#include "columns.cuh"
#include "convolution.cuh"

// What one thread writes of each row: V channels of one element of the kernel.
template <typename T, int V> struct Unfold {
    const T *x;
    T *unfolded;
    const Convolution &v;
    Index width, column, channel, down, across;

    __device__ Unfold(const T *x, T *unfolded, const Convolution &v)
        : x(x), unfolded(unfolded), v(v), width(v.channels * v.kernel_y * v.kernel_x), column(own_channel<V>()) {
        const Index deep = v.channels / v.groups, element = column / deep, area = v.kernel_y * v.kernel_x;
        const Index group = element / area, ky = element % area / v.kernel_x, kx = element % v.kernel_x;
        channel = group * deep + (column - element * deep);
        down = ky * v.dilation_y - v.padding_y;
        across = kx * v.dilation_x - v.padding_x;
    }

    __device__ void operator()(Index row) const {
        const Index line = quotient(row, v.out_width), n = quotient(line, v.out_height);
        const Index y = (line - n * v.out_height) * v.stride_y + down;
        const Index at = (row - line * v.out_width) * v.stride_x + across;
        Pack<T, V> pack;
        if (y >= 0 && y < v.height && at >= 0 && at < v.width) {
            pack = *reinterpret_cast<const Pack<T, V> *>(x + ((n * v.height + y) * v.width + at) * v.channels + channel);
        } else {
            for (int k = 0; k < V; k++) pack.v[k] = narrow<T>(0.0f);
        }
        *reinterpret_cast<Pack<T, V> *>(unfolded + row * width + column) = pack;
    }
};

template <typename T, int V> __device__ void unfold(const T *x, T *unfolded, Index rows, const Convolution &v) {
    Unfold<T, V> visit(x, unfolded, v);
    if (visit.column < visit.width) for_own_rows(rows, visit);
}

// V channels of the input's gradient at each pixel: the sum of what the unfolded rows have of it.
template <typename T, int V> struct Fold {
    const float *unfolded;
    T *dx;
    const Convolution &v;
    Index width, deep, channel, first;

    __device__ Fold(const float *unfolded, T *dx, const Convolution &v)
        : unfolded(unfolded), dx(dx), v(v), width(v.channels * v.kernel_y * v.kernel_x), deep(v.channels / v.groups),
          channel(own_channel<V>()) {
        const Index group = channel / deep;
        first = group * deep * v.kernel_y * v.kernel_x + (channel - group * deep);
    }

    __device__ void operator()(Index pixel) const {
        const Index line = quotient(pixel, v.width), n = quotient(line, v.height);
        const Index y = line - n * v.height, x = pixel - line * v.width;
        float sums[V];
        for (int k = 0; k < V; k++) sums[k] = 0;
        for (Index ky = 0; ky < v.kernel_y; ky++) {
            const Index row = output_at(y, ky, v.stride_y, v.padding_y, v.dilation_y, v.out_height);
            if (row < 0) continue;
            const float *from = unfolded + (n * v.out_height + row) * v.out_width * width + first + ky * v.kernel_x * deep;
            for (Index kx = 0; kx < v.kernel_x; kx++) {
                const Index column = output_at(x, kx, v.stride_x, v.padding_x, v.dilation_x, v.out_width);
                if (column < 0) continue;
                float values[V];
                load<V>(from + column * width + kx * deep, values);
                for (int k = 0; k < V; k++) sums[k] += values[k];
            }
        }
        store<V>(dx + pixel * v.channels + channel, sums);
    }
};

template <typename T, int V> __device__ void fold(const float *unfolded, T *dx, Index pixels, const Convolution &v) {
    Fold<T, V> visit(unfolded, dx, v);
    if (visit.channel < v.channels) for_own_rows(pixels, visit);
}

// unfold: the rows of `rows` pixels of the output, from the pictures that they begin with. fold: `pixels` of the input's
// gradient, from the rows of its pictures. Wide ones take 16 bytes of unfolded rows at once, within a group's channels.
#define DEFINE(SUFFIX, T)                                                                                          \
    extern "C" __global__ void unfold_##SUFFIX(const T *x, T *unfolded, Index rows, Convolution of, int wide) {    \
        if (wide) unfold<T, Width<T>::N>(x, unfolded, rows, of);                                                   \
        else unfold<T, 1>(x, unfolded, rows, of);                                                                  \
    }                                                                                                              \
    extern "C" __global__ void fold_##SUFFIX(const float *unfolded, T *dx, Index pixels, Convolution of, int wide) { \
        if (wide) fold<T, 4>(unfolded, dx, pixels, of);                                                            \
        else fold<T, 1>(unfolded, dx, pixels, of);                                                                 \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
