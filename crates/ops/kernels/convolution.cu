// What convolutions and linear layers need beside cuDNN and cuBLAS: biases, and convolutions in groups of single channels.
#include "columns.cuh"
#include "convolution.cuh"

// y += bias for each row of c numbers.
template <typename T, int V> struct AddBias {
    T *y;
    Index c, channel;
    float bias[V];

    __device__ void operator()(Index row) const {
        float values[V];
        load<V>(y + row * c + channel, values);
        for (int k = 0; k < V; k++) values[k] += bias[k];
        store<V>(y + row * c + channel, values);
    }
};

template <typename T, int V> __device__ void add_bias(T *y, const float *bias, Index rows, Index c) {
    AddBias<T, V> visit = {y, c, own_channel<V>(), {}};
    if (visit.channel >= c) return;
    for (int k = 0; k < V; k++) visit.bias[k] = bias[visit.channel + k];
    for_own_rows(rows, visit);
}

// The columns' sums, for two_sums.
template <typename T, int V> struct Values {
    static constexpr int RUN = V > 1 ? 4 : 8;
    const T *dy;
    Index c, channel;

    __device__ void operator()(Index row, float (&a)[V], float (&b)[V]) const {
        load<V>(dy + row * c + channel, a);
        for (int k = 0; k < V; k++) b[k] = 0;
    }
};

template <typename T, int V> __device__ void column_sums(const T *dy, Index rows, Index c, Index chunk, double *partial) {
    Values<T, V> term = {dy, c, own_channel<V>()};
    two_sums<V>(rows, c, chunk, partial, term);
}

// The first of the two sums, as floats.
extern "C" __global__ void finish_column_sums(const double *partial, Index chunks, Index c, float *sums) {
    double first, second;
    finish_two_sums(partial, chunks, c, first, second);
    const Index channel = (Index)blockIdx.x * FINISHED + threadIdx.x;
    if (threadIdx.y == 0 && channel < c) sums[channel] = (float)first;
}

// A channel of a pixel of maps (n, rows, columns, c).
struct Spot {
    Index n, y, x, c;

    __device__ Spot(Index i, Index rows, Index columns, Index channels) {
        const Index pixel = quotient(i, channels), row = quotient(pixel, columns);
        c = i - pixel * channels;
        x = pixel - row * columns;
        n = quotient(row, rows);
        y = row - n * rows;
    }
};

template <typename T>
__device__ void grouped_forward(const T *x, const float *weight, const float *bias, T *y, const Convolution &v) {
    const Index total = v.n * v.out_height * v.out_width * v.outputs;
    const Index deep = v.channels / v.groups, wide = v.outputs / v.groups;
    for (Index i = thread_index(); i < total; i += thread_count()) {
        const Spot at(i, v.out_height, v.out_width, v.outputs);
        const Index first = wide == 1 ? at.c * deep : quotient(at.c, wide) * deep;
        const float *filter = weight + at.c * deep * v.kernel_y * v.kernel_x;
        float sum = 0;
        for (Index ky = 0; ky < v.kernel_y; ky++) {
            const Index row = at.y * v.stride_y + ky * v.dilation_y - v.padding_y;
            if (row < 0 || row >= v.height) continue;
            for (Index kx = 0; kx < v.kernel_x; kx++) {
                const Index column = at.x * v.stride_x + kx * v.dilation_x - v.padding_x;
                if (column < 0 || column >= v.width) continue;
                const T *pixel = x + ((at.n * v.height + row) * v.width + column) * v.channels + first;
                for (Index c = 0; c < deep; c++) {
                    sum = fmaf(widen(pixel[c]), filter[(c * v.kernel_y + ky) * v.kernel_x + kx], sum);
                }
            }
        }
        y[i] = narrow<T>(bias ? sum + bias[at.c] : sum);
    }
}

template <typename T>
__device__ void grouped_input_gradient(const T *dy, const float *weight, T *dx, const Convolution &v) {
    const Index total = v.n * v.height * v.width * v.channels;
    const Index deep = v.channels / v.groups, wide = v.outputs / v.groups, area = v.kernel_y * v.kernel_x;
    for (Index i = thread_index(); i < total; i += thread_count()) {
        const Spot at(i, v.height, v.width, v.channels);
        const Index group = deep == 1 ? at.c : quotient(at.c, deep), c = at.c - group * deep;
        float sum = 0;
        for (Index ky = 0; ky < v.kernel_y; ky++) {
            const Index row = output_at(at.y, ky, v.stride_y, v.padding_y, v.dilation_y, v.out_height);
            if (row < 0) continue;
            for (Index kx = 0; kx < v.kernel_x; kx++) {
                const Index column = output_at(at.x, kx, v.stride_x, v.padding_x, v.dilation_x, v.out_width);
                if (column < 0) continue;
                const T *pixel = dy + ((at.n * v.out_height + row) * v.out_width + column) * v.outputs + group * wide;
                for (Index o = 0; o < wide; o++) {
                    const Index element = ((group * wide + o) * deep + c) * area + ky * v.kernel_x + kx;
                    sum = fmaf(widen(pixel[o]), weight[element], sum);
                }
            }
        }
        dx[i] = narrow<T>(sum);
    }
}

// Sums over the `chunk` rows (pixels of the output) of each block along y of what each element of the weight gets:
// partial[block][element][output]. Blocks are 32 outputs by 8 lanes; blocks along z share out the elements of a filter.
template <typename T>
__device__ void grouped_weight_sums(const T *x, const T *dy, double *partial, Index chunk, const Convolution &v) {
    __shared__ double lanes[8][32];
    const Index deep = v.channels / v.groups, wide = v.outputs / v.groups;
    const Index rows = v.n * v.out_height * v.out_width, elements = deep * v.kernel_y * v.kernel_x;
    const Index o = (Index)blockIdx.x * 32 + threadIdx.x;
    const Index begin = (Index)blockIdx.y * chunk, end = begin + chunk < rows ? begin + chunk : rows;
    for (Index element = blockIdx.z; element < elements; element += gridDim.z) {
        const Index kx = element % v.kernel_x, ky = element / v.kernel_x % v.kernel_y;
        const Index c = element / (v.kernel_x * v.kernel_y);
        double sum = 0;
        if (o < v.outputs) {
            const Index channel = (wide == 1 ? o : quotient(o, wide)) * deep + c;
            for (Index row = begin + threadIdx.y; row < end; row += 8) {
                const Spot at(row, v.out_height, v.out_width, 1);
                const Index down = at.y * v.stride_y + ky * v.dilation_y - v.padding_y;
                const Index across = at.x * v.stride_x + kx * v.dilation_x - v.padding_x;
                if (down < 0 || down >= v.height || across < 0 || across >= v.width) continue;
                const float value = widen(x[((at.n * v.height + down) * v.width + across) * v.channels + channel]);
                sum += (double)(value * widen(dy[row * v.outputs + o]));
            }
        }
        __syncthreads();
        lanes[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && o < v.outputs) {
            double total = 0;
            for (int lane = 0; lane < 8; lane++) total += lanes[lane][threadIdx.x];
            partial[((Index)blockIdx.y * elements + element) * v.outputs + o] = total;
        }
    }
}

// The weight's gradient (outputs, elements) from the sums of all chunks.
extern "C" __global__ void finish_weight_sums(const double *partial, Index chunks, Index elements, Index outputs,
                                              float *gradient) {
    const Index total = elements * outputs;
    for (Index i = thread_index(); i < total; i += thread_count()) {
        double sum = 0;
        for (Index chunk = 0; chunk < chunks; chunk++) sum += partial[chunk * total + i];
        const Index element = quotient(i, outputs);
        gradient[(i - element * outputs) * elements + element] = (float)sum;
    }
}

#define DEFINE(SUFFIX, T)                                                                                             \
    extern "C" __global__ void add_bias_##SUFFIX(T *y, const float *bias, Index rows, Index c, int wide) {            \
        if (wide) add_bias<T, 4>(y, bias, rows, c);                                                                   \
        else add_bias<T, 1>(y, bias, rows, c);                                                                        \
    }                                                                                                                 \
    extern "C" __global__ void column_sums_##SUFFIX(const T *dy, Index rows, Index c, Index chunk, double *partial,   \
                                                    int wide) {                                                       \
        if (wide) column_sums<T, 4>(dy, rows, c, chunk, partial);                                                     \
        else column_sums<T, 1>(dy, rows, c, chunk, partial);                                                          \
    }                                                                                                                 \
    extern "C" __global__ void grouped_forward_##SUFFIX(const T *x, const float *weight, const float *bias, T *y,     \
                                                        Convolution of) {                                             \
        grouped_forward(x, weight, bias, y, of);                                                                      \
    }                                                                                                                 \
    extern "C" __global__ void grouped_input_gradient_##SUFFIX(const T *dy, const float *weight, T *dx,               \
                                                               Convolution of) {                                      \
        grouped_input_gradient(dy, weight, dx, of);                                                                   \
    }                                                                                                                 \
    extern "C" __global__ void grouped_weight_sums_##SUFFIX(const T *x, const T *dy, double *partial, Index chunk,    \
                                                            Convolution of) {                                         \
        grouped_weight_sums(x, dy, partial, chunk, of);                                                               \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
