// Kernels for the emulator's own tests.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define THREADS 128

extern "C" __global__ void scale(const float *__restrict__ x, float *y, float factor, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * factor;
}

// Sums of THREADS neighbours, by warps and then over them.
extern "C" __global__ void __launch_bounds__(THREADS) block_sums(const float *x, float *sums, long long n) {
    __shared__ float parts[THREADS / 32];
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    float sum = i < n ? x[i] : 0.0f;
#pragma unroll
    for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(0xffffffffu, sum, delta);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        float all = 0.0f;
        for (int warp = 0; warp < THREADS / 32; warp++) all += parts[warp];
        sums[blockIdx.x] = all;
    }
}

// Every thread gets the maximum of its warp, and how many of its block lie above zero.
extern "C" __global__ void extremes(const float *x, float *greatest, int *above) {
    float value = x[threadIdx.x];
    float most = value;
    for (int bit = 1; bit < 32; bit *= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, bit));
    greatest[threadIdx.x] = most;
    above[threadIdx.x] = __syncthreads_count(value > 0.0f);
}

// A tile turned through shared memory, with blocks of two dimensions.
extern "C" __global__ void transpose(const float *x, float *y, int rows, int columns) {
    __shared__ float tile[16][17];
    int column = blockIdx.x * 16 + threadIdx.x, row = blockIdx.y * 16 + threadIdx.y;
    if (row < rows && column < columns) tile[threadIdx.y][threadIdx.x] = x[row * columns + column];
    __syncthreads();
    column = blockIdx.y * 16 + threadIdx.x;
    row = blockIdx.x * 16 + threadIdx.y;
    if (row < columns && column < rows) y[row * rows + column] = tile[threadIdx.x][threadIdx.y];
}

template <typename From, typename To>
static __device__ void convert(const From *x, To *y, int n);
template <>
__device__ void convert(const float *x, __nv_bfloat16 *y, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = __float2bfloat16(x[i]);
}
template <>
__device__ void convert(const __nv_bfloat16 *x, float *y, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = __bfloat162float(x[i]);
}
#define CONVERT(name, From, To) \
    extern "C" __global__ void name(const From *x, To *y, int n) { convert(x, y, n); }
CONVERT(to_bf16, float, __nv_bfloat16)
CONVERT(from_bf16, __nv_bfloat16, float)

struct Sizes {
    long long size[3];
    char kind;
};
// Arguments of several sizes, as they come.
extern "C" __global__ void arguments(double *y, char a, short b, Sizes sizes, double c, float4 d) {
    if (threadIdx.x == 0) y[0] = a + b + sizes.size[0] + sizes.size[1] + sizes.size[2] + sizes.kind + c + d.x + d.y + d.z + d.w;
}

extern "C" __global__ void reads_shared_before_writing(float *y) {
    __shared__ float values[64];
    y[threadIdx.x] = values[threadIdx.x];
    __syncthreads();
    values[threadIdx.x] = 1.0f;
}

// Wrong on purpose: not every thread comes to the barrier.
extern "C" __global__ void half_wait(float *y) {
    if (threadIdx.x < blockDim.x / 2) __syncthreads();
    y[threadIdx.x] = 1.0f;
}
// Wrong on purpose: threads wait at different barriers.
extern "C" __global__ void wait_apart(float *y) {
    if (threadIdx.x % 2 == 0) {
        y[threadIdx.x] = 1.0f;
        __syncthreads();
    } else {
        y[threadIdx.x] = 2.0f;
        __syncthreads();
    }
}
// Wrong on purpose: one number too many.
extern "C" __global__ void writes_behind(float *y, int n) {
    if (threadIdx.x == 0) y[n] = 1.0f;
}
// Wrong on purpose: a barrier is missing, which shows when threads run the other way round.
extern "C" __global__ void misses_barrier(float *y) {
    __shared__ float values[64];
    values[threadIdx.x] = float(threadIdx.x);
    y[threadIdx.x] = values[threadIdx.x ^ 1];
    __syncthreads();
}
