// Losses and probabilities. Everything is computed in double precision, a row of logits by one block.
#include "common.cuh"

// Largest logit of a row and the sum of e^(logit − largest), for all threads of a block. A NaN makes both NaN.
template <typename T> __device__ void softmax_parts(const T *row, Index k, double &largest, double &total) {
    __shared__ float largests[BLOCK];
    float own = -INFINITY;
    for (Index i = threadIdx.x; i < k; i += BLOCK) {
        const float x = widen(row[i]);
        own = isnan(x) || isnan(own) ? x + own : fmaxf(own, x);
    }
    __syncthreads();
    largests[threadIdx.x] = own;
    __syncthreads();
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half) {
            const float a = largests[threadIdx.x], b = largests[threadIdx.x + half];
            largests[threadIdx.x] = isnan(a) || isnan(b) ? a + b : fmaxf(a, b);
        }
        __syncthreads();
    }
    largest = largests[0];
    double sum = 0;
    for (Index i = threadIdx.x; i < k; i += BLOCK) sum += exp((double)widen(row[i]) - largest);
    total = block_sum(sum);
}

// The softmax of each of n rows of k logits.
template <typename T> __device__ void softmax(const T *logits, float *y, Index n, Index k) {
    for (Index row = blockIdx.x; row < n; row += gridDim.x) {
        const T *in = logits + row * k;
        double largest, total;
        softmax_parts(in, k, largest, total);
        for (Index i = threadIdx.x; i < k; i += BLOCK) {
            y[row * k + i] = (float)(exp((double)widen(in[i]) - largest) / total);
        }
    }
}

// What each row adds to the loss, and the gradient of the logits if it is wanted. `weights` of the classes may be missing;
// `share` is one over the sum of the weights of all labels, or below 0 for that to be formed here.
template <typename T>
__device__ void cross_entropy(const T *logits, const uint32_t *labels, const double *weights, double smoothing,
                              double share, Index n, Index k, double *losses, T *gradient) {
    __shared__ double formed;
    if (share < 0) {
        if (threadIdx.x == 0) {
            // In the order of the CPU.
            double sum = 0;
            for (Index row = 0; row < n; row++) sum += weights[labels[row]];
            formed = sum > 0 ? 1.0 / sum : 0.0;
        }
        __syncthreads();
        share = formed;
    }
    for (Index row = blockIdx.x; row < n; row += gridDim.x) {
        const T *in = logits + row * k;
        const Index label = labels[row];
        double largest, total;
        softmax_parts(in, k, largest, total);
        const double log_total = log(total) + largest;
        double own_targets = 0, own_loss = 0;
        for (Index i = threadIdx.x; i < k; i += BLOCK) {
            const double target = (weights ? weights[i] : 1.0) * ((i == label ? 1.0 - smoothing : 0.0) + smoothing / (double)k);
            own_targets += target;
            // An infinite logit of a class that no target names has no part in the loss.
            if (target != 0) own_loss += target * (log_total - (double)widen(in[i]));
        }
        const double targets = block_sum(own_targets);
        const double loss = block_sum(own_loss);
        if (threadIdx.x == 0) losses[row] = share * loss;
        if (!gradient) continue;
        for (Index i = threadIdx.x; i < k; i += BLOCK) {
            const double target = (weights ? weights[i] : 1.0) * ((i == label ? 1.0 - smoothing : 0.0) + smoothing / (double)k);
            const double p = exp((double)widen(in[i]) - largest) / total;
            gradient[row * k + i] = narrow<T>((float)(share * (targets * p - target)));
        }
    }
}

// The sum of n doubles, times `factor`, as a float. One block.
extern "C" __global__ void sum_of_doubles(const double *values, Index n, double factor, float *sum) {
    double own = 0;
    for (Index i = threadIdx.x; i < n; i += BLOCK) own += values[i];
    const double total = block_sum(own);
    if (threadIdx.x == 0) sum[0] = (float)(total * factor);
}

// The mean of the squared differences. One block.
template <typename T> __device__ void mean_squared_error(const T *outputs, const float *targets, Index n, float *loss) {
    double own = 0;
    for (Index i = threadIdx.x; i < n; i += BLOCK) {
        const double difference = (double)widen(outputs[i]) - (double)targets[i];
        own += difference * difference;
    }
    const double total = block_sum(own);
    if (threadIdx.x == 0) loss[0] = (float)(total / (double)n);
}

template <typename T>
__device__ void mean_squared_error_gradient(const T *outputs, const float *targets, const float *upstream, T *dx, Index n) {
    const double scale = 2.0 * (double)upstream[0] / (double)n;
    for (Index i = thread_index(); i < n; i += thread_count()) {
        dx[i] = narrow<T>((float)(scale * ((double)widen(outputs[i]) - (double)targets[i])));
    }
}

#define DEFINE(SUFFIX, T)                                                                                               \
    extern "C" __global__ void softmax_##SUFFIX(const T *logits, float *y, Index n, Index k) { softmax(logits, y, n, k); } \
    extern "C" __global__ void cross_entropy_##SUFFIX(const T *logits, const uint32_t *labels, const double *weights,   \
                                                      double smoothing, double share, Index n, Index k, double *losses, \
                                                      T *gradient) {                                                    \
        cross_entropy(logits, labels, weights, smoothing, share, n, k, losses, gradient);                               \
    }                                                                                                                   \
    extern "C" __global__ void mean_squared_error_##SUFFIX(const T *outputs, const float *targets, Index n, float *loss) { \
        mean_squared_error(outputs, targets, n, loss);                                                                  \
    }                                                                                                                   \
    extern "C" __global__ void mean_squared_error_gradient_##SUFFIX(const T *outputs, const float *targets,             \
                                                                    const float *upstream, T *dx, Index n) {            \
        mean_squared_error_gradient(outputs, targets, upstream, dx, n);                                                 \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
