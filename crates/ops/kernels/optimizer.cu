// Steps of optimizers, and norms of gradients, for many tensors in one launch.
#include "common.cuh"

// One tensor of a list: up to four arrays of n floats, and the numbers of its step.
struct Item {
    float *array[4];
    Index n;
    float number[12];
};

// As many as fit the arguments of a kernel. Blocks along y have one item each.
struct Items {
    Item item[44];
};

// Calls change(x) with the elements of the first N arrays, and writes those that it may change: all but the second.
template <int N, typename Change> __device__ void update(const Item &item, const Change &change) {
    bool aligned = true;
    for (int a = 0; a < N; a++) aligned = aligned && is_aligned(item.array[a]);
    const Index packs = aligned ? item.n / 4 : 0;
    for (Index i = thread_index(); i < packs; i += thread_count()) {
        Pack<float, 4> packed[N];
        for (int a = 0; a < N; a++) packed[a] = reinterpret_cast<const Pack<float, 4> *>(item.array[a])[i];
        for (int k = 0; k < 4; k++) {
            float x[N];
            for (int a = 0; a < N; a++) x[a] = packed[a].v[k];
            change(x);
            for (int a = 0; a < N; a++) packed[a].v[k] = x[a];
        }
        for (int a = 0; a < N; a++) {
            if (a != 1) reinterpret_cast<Pack<float, 4> *>(item.array[a])[i] = packed[a];
        }
    }
    for (Index i = packs * 4 + thread_index(); i < item.n; i += thread_count()) {
        float x[N];
        for (int a = 0; a < N; a++) x[a] = item.array[a][i];
        change(x);
        for (int a = 0; a < N; a++) {
            if (a != 1) item.array[a][i] = x[a];
        }
    }
}

// A gradient times a scale, within ± a limit; NaN stays NaN.
__device__ inline float clipped(float gradient, float scale, float limit) {
    const float scaled = scale * gradient;
    if (scaled < -limit) return -limit;
    return scaled > limit ? limit : scaled;
}

// Arrays: parameter, gradient, velocity.
struct Sgd {
    float lr, momentum, weight_decay, nesterov, scale, limit;

    __device__ void operator()(float (&x)[3]) const {
        const float g = clipped(x[1], scale, limit) + weight_decay * x[0];
        x[2] = momentum * x[2] + g;
        x[0] -= lr * (nesterov != 0.0f ? g + momentum * x[2] : x[2]);
    }
};

extern "C" __global__ void sgd_step(Items items) {
    const Item &item = items.item[blockIdx.y];
    const float *f = item.number;
    update<3>(item, Sgd{f[0], f[1], f[2], f[3], f[4], f[5]});
}

// Arrays: parameter, gradient, mean, mean square.
struct Adam {
    float shrink, weight_decay, scale, limit, beta1, rest1, beta2, rest2, step_size, root_scale, eps;

    __device__ void operator()(float (&x)[4]) const {
        const float g = clipped(x[1], scale, limit) + weight_decay * x[0];
        x[2] = beta1 * x[2] + rest1 * g;
        x[3] = beta2 * x[3] + rest2 * (g * g);
        x[0] = shrink * x[0] - step_size * x[2] / (sqrtf(x[3]) * root_scale + eps);
    }
};

extern "C" __global__ void adam_step(Items items) {
    const Item &item = items.item[blockIdx.y];
    const float *f = item.number;
    update<4>(item, Adam{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10]});
}

// Arrays: parameter, gradient, mean square, velocity.
struct Rmsprop {
    float lr, alpha, rest, eps, momentum, weight_decay, scale, limit;

    __device__ void operator()(float (&x)[4]) const {
        const float g = clipped(x[1], scale, limit) + weight_decay * x[0];
        x[2] = alpha * x[2] + rest * (g * g);
        x[3] = momentum * x[3] + g / (sqrtf(x[2]) + eps);
        x[0] -= lr * x[3];
    }
};

extern "C" __global__ void rmsprop_step(Items items) {
    const Item &item = items.item[blockIdx.y];
    const float *f = item.number;
    update<4>(item, Rmsprop{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]});
}

// Arrays: target, other. target += share · (other − target).
struct Lerp {
    float share;

    __device__ void operator()(float (&x)[2]) const { x[0] += share * (x[1] - x[0]); }
};

extern "C" __global__ void lerp_items(Items items, float share) { update<2>(items.item[blockIdx.y], Lerp{share}); }

// Arrays: target, source.
struct Copy {
    __device__ void operator()(float (&x)[2]) const { x[0] = x[1]; }
};

extern "C" __global__ void copy_items(Items items) { update<2>(items.item[blockIdx.y], Copy{}); }

// Arrays: gradient. It is multiplied with the factor on the device.
struct Times {
    float factor;

    __device__ void operator()(float (&x)[1]) const { x[0] *= factor; }
};

extern "C" __global__ void scale_items(Items items, const float *factor) {
    update<1>(items.item[blockIdx.y], Times{factor[0]});
}

// The sum of the squares of the part of each item that each block along x has: partial[item][block].
extern "C" __global__ void square_sums(Items items, double *partial) {
    const Item &item = items.item[blockIdx.y];
    double own = 0;
    for (Index i = thread_index(); i < item.n; i += thread_count()) {
        const double value = (double)item.array[0][i];
        own += value * value;
    }
    const double sum = block_sum(own);
    if (threadIdx.x == 0) partial[(Index)blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// The sum of n doubles as a float and what that lacks of it. One block.
extern "C" __global__ void sum_as_two_floats(const double *values, Index n, float *sum) {
    double own = 0;
    for (Index i = threadIdx.x; i < n; i += BLOCK) own += values[i];
    const double total = block_sum(own);
    if (threadIdx.x == 0) {
        sum[0] = (float)total;
        sum[1] = (float)(total - (double)sum[0]);
    }
}

// What gradients are multiplied with so that their norm, the root of the sum of n doubles, is at most `most`. One block.
extern "C" __global__ void clip_scale(const double *squares, Index n, double most, float *scale) {
    double own = 0;
    for (Index i = threadIdx.x; i < n; i += BLOCK) own += squares[i];
    const double total = block_sum(own);
    // The small number is PyTorch's; fmin takes 1 where the norm is NaN.
    if (threadIdx.x == 0) scale[0] = (float)fmin(most / (sqrt(total) + 1e-6), 1.0);
}
