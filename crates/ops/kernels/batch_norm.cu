// Batch normalisation over the rows of maps (rows, c), with what follows it in the same pass.
//
// What a channel is normalised with are its `terms`, four rows of c floats: mean, scale, shift, and one over the standard
// deviation. The normalised value is (x − mean) · scale + shift.
#include "columns.cuh"
#include "curves.cuh"

template <int V> struct Terms {
    float mean[V], scale[V], shift[V];

    __device__ Terms(const float *terms, Index c, Index channel) {
        for (int k = 0; k < V; k++) {
            const Index at = channel + k < c ? channel + k : c - 1;
            mean[k] = terms[at];
            scale[k] = terms[c + at];
            shift[k] = terms[2 * c + at];
        }
    }

    __device__ float normal(float x, int k) const { return (x - mean[k]) * scale[k] + shift[k]; }
};

// Differences to the channel's first value and their squares: the usual one-pass formula, but for data that is already near
// its mean, where it loses nothing.
template <typename T, int V> struct Squares {
    static constexpr int RUN = V > 1 ? 4 : 8;
    const T *x;
    Index c, channel;
    float around[V];

    __device__ Squares(const T *x, Index c) : x(x), c(c), channel(own_channel<V>()) {
        for (int k = 0; k < V; k++) around[k] = widen(x[channel + k < c ? channel + k : c - 1]);
    }

    __device__ void operator()(Index row, float (&a)[V], float (&b)[V]) const {
        load<V>(x + row * c + channel, a);
        for (int k = 0; k < V; k++) {
            a[k] -= around[k];
            b[k] = a[k] * a[k];
        }
    }
};

template <typename T, int V>
__device__ void square_sums(const T *x, Index rows, Index c, Index chunk, double *partial) {
    Squares<T, V> term(x, c);
    two_sums<V>(rows, c, chunk, partial, term);
}

__device__ inline void write_terms(float *terms, Index c, Index channel, double mean, double var, double eps,
                                   const float *weight, const float *bias) {
    const double inv_std = 1.0 / sqrt(var + eps);
    terms[channel] = (float)mean;
    terms[c + channel] = (float)(inv_std * (double)weight[channel]);
    terms[2 * c + channel] = bias[channel];
    terms[3 * c + channel] = (float)inv_std;
}

// Mean, biased variance and terms from the sums.
template <typename T>
__device__ void statistics(const T *x, const double *partial, Index chunks, Index rows, Index c, const float *weight,
                           const float *bias, double eps, float *terms, float *mean, float *var) {
    double sum, squares;
    finish_two_sums(partial, chunks, c, sum, squares);
    const Index channel = (Index)blockIdx.x * FINISHED + threadIdx.x;
    if (threadIdx.y != 0 || channel >= c) return;
    const double offset = sum / (double)rows;
    double found = squares / (double)rows - offset * offset;
    // A NaN has to reach the loss.
    if (found < 0) found = 0;
    if (!isfinite(squares)) found = squares - squares;
    const double middle = (double)widen(x[channel]) + offset;
    mean[channel] = (float)middle;
    var[channel] = (float)found;
    write_terms(terms, c, channel, middle, found, eps, weight, bias);
}

// The terms of given statistics.
extern "C" __global__ void batch_norm_terms(const float *mean, const float *var, const float *weight, const float *bias,
                                            double eps, float *terms, Index c) {
    for (Index i = thread_index(); i < c; i += thread_count()) {
        write_terms(terms, c, i, (double)mean[i], (double)var[i], eps, weight, bias);
    }
}

// Writes the activation of the normalised x plus `other`, if there is one. y may be x or other.
template <typename T, int V, typename C> struct Normalise {
    const T *x, *other;
    T *y;
    Index c, channel;
    Terms<V> terms;
    C curve;

    __device__ void operator()(Index row) const {
        const Index at = row * c + channel;
        float in[V], plus[V], out[V];
        load<V>(x + at, in);
        if (other) load<V>(other + at, plus);
        for (int k = 0; k < V; k++) {
            const float normal = terms.normal(in[k], k);
            out[k] = curve.value(other ? normal + plus[k] : normal);
        }
        store<V>(y + at, out);
    }
};

template <typename T, int V>
__device__ void normalise(const T *x, const T *other, const float *terms, T *y, Index rows, Index c, int kind) {
    const Index channel = own_channel<V>();
    if (channel >= c) return;
    const Terms<V> own(terms, c, channel);
    WITH_USUAL_CURVE(kind, {
        Normalise<T, V, decltype(curve)> visit = {x, other, y, c, channel, own, curve};
        for_own_rows(rows, visit);
    })
}

// The gradient that arrives, past the activation, and its product with x − mean.
template <typename T, int V, typename C> struct Products {
    // The curves that are told apart at run time take much code, so their rows are not unrolled.
    static constexpr int RUN = C::USUAL ? 4 : 1;
    const T *dy, *x;
    Index c, channel;
    Terms<V> terms;
    C curve;

    __device__ void operator()(Index row, float (&a)[V], float (&b)[V]) const {
        const Index at = row * c + channel;
        float in[V];
        load<V>(dy + at, a);
        load<V>(x + at, in);
        for (int k = 0; k < V; k++) {
            a[k] = curve.gradient(a[k], terms.normal(in[k], k));
            b[k] = a[k] * (in[k] - terms.mean[k]);
        }
    }
};

template <typename T, int V>
__device__ void product_sums(const T *dy, const T *x, const float *terms, Index rows, Index c, Index chunk,
                             double *partial, int kind) {
    const Index channel = own_channel<V>();
    const Terms<V> own(terms, c, channel);
    WITH_USUAL_CURVE(kind, {
        Products<T, V, decltype(curve)> term = {dy, x, c, channel, own, curve};
        two_sums<V>(rows, c, chunk, partial, term);
    })
}

// As Products behind a sum and a rectifier, whose result was y; what passes that stays in dy.
template <typename T, int V> struct MaskedProducts {
    static constexpr int RUN = 4;
    T *dy;
    const T *y, *x;
    Index c, channel;
    Terms<V> terms;

    __device__ void operator()(Index row, float (&a)[V], float (&b)[V]) const {
        const Index at = row * c + channel;
        float in[V], result[V];
        load<V>(dy + at, a);
        load<V>(x + at, in);
        load<V>(y + at, result);
        for (int k = 0; k < V; k++) {
            a[k] = Curve<RELU>::gradient(a[k], result[k]);
            b[k] = a[k] * (in[k] - terms.mean[k]);
        }
        store<V>(dy + at, a);
    }
};

template <typename T, int V>
__device__ void masked_product_sums(T *dy, const T *y, const T *x, const float *terms, Index rows, Index c, Index chunk,
                                    double *partial) {
    const Index channel = own_channel<V>();
    MaskedProducts<T, V> term = {dy, y, x, c, channel, Terms<V>(terms, c, channel)};
    two_sums<V>(rows, c, chunk, partial, term);
}

// From the sums the gradients of weight and bias, where they are wanted, and the `slopes`, two rows of c floats, that the
// input's gradient takes: 0 where the statistics do not depend on the input.
extern "C" __global__ void batch_norm_slopes(const double *partial, Index chunks, Index rows, Index c, const float *terms,
                                             int batch, float *slopes, float *d_weight, float *d_bias) {
    double sum, products;
    finish_two_sums(partial, chunks, c, sum, products);
    const Index channel = (Index)blockIdx.x * FINISHED + threadIdx.x;
    if (threadIdx.y != 0 || channel >= c) return;
    const double inv_std = (double)terms[3 * c + channel], n = (double)rows;
    slopes[channel] = batch ? (float)(sum / n) : 0.0f;
    slopes[c + channel] = batch ? (float)(products / n * inv_std * inv_std) : 0.0f;
    if (d_weight) d_weight[channel] = (float)(products * inv_std);
    if (d_bias) d_bias[channel] = (float)sum;
}

// The input's gradient from the result's; dx may be dy. Without slopes the statistics do not depend on the input.
template <typename T, int V, typename C> struct InputGradient {
    const T *dy, *x;
    T *dx;
    Index c, channel;
    Terms<V> terms;
    float offset[V], slope[V];
    C curve;

    __device__ void operator()(Index row) const {
        const Index at = row * c + channel;
        float g[V], in[V];
        load<V>(dy + at, g);
        load<V>(x + at, in);
        for (int k = 0; k < V; k++) {
            const float passed = curve.gradient(g[k], terms.normal(in[k], k));
            g[k] = (passed - offset[k] - (in[k] - terms.mean[k]) * slope[k]) * terms.scale[k];
        }
        store<V>(dx + at, g);
    }
};

template <typename T, int V>
__device__ void input_gradient(const T *dy, const T *x, const float *terms, const float *slopes, T *dx, Index rows,
                               Index c, int kind) {
    const Index channel = own_channel<V>();
    if (channel >= c) return;
    const Terms<V> own(terms, c, channel);
    WITH_USUAL_CURVE(kind, {
        InputGradient<T, V, decltype(curve)> visit = {dy, x, dx, c, channel, own, {}, {}, curve};
        for (int k = 0; k < V; k++) {
            visit.offset[k] = slopes ? slopes[channel + k] : 0.0f;
            visit.slope[k] = slopes ? slopes[c + channel + k] : 0.0f;
        }
        for_own_rows(rows, visit);
    })
}

// running = (1 − momentum) · running + momentum · factor · batch, where only the variance has a factor.
extern "C" __global__ void update_running(float *mean, float *var, const float *batch_mean, const float *batch_var,
                                          Index n, double momentum, double factor) {
    for (Index i = thread_index(); i < n; i += thread_count()) {
        mean[i] = (float)((1.0 - momentum) * (double)mean[i] + momentum * (double)batch_mean[i]);
        var[i] = (float)((1.0 - momentum) * (double)var[i] + momentum * ((double)batch_var[i] * factor));
    }
}

// `wide` says that each thread has four channels, of which c is a multiple, and that the arrays are aligned for that.
#define DEFINE(SUFFIX, T)                                                                                           \
    extern "C" __global__ void batch_norm_sums_##SUFFIX(const T *x, Index rows, Index c, Index chunk,               \
                                                        double *partial, int wide) {                                \
        if (wide) square_sums<T, 4>(x, rows, c, chunk, partial);                                                    \
        else square_sums<T, 1>(x, rows, c, chunk, partial);                                                         \
    }                                                                                                               \
    extern "C" __global__ void batch_norm_statistics_##SUFFIX(                                                      \
        const T *x, const double *partial, Index chunks, Index rows, Index c, const float *weight,                  \
        const float *bias, double eps, float *terms, float *mean, float *var) {                                     \
        statistics(x, partial, chunks, rows, c, weight, bias, eps, terms, mean, var);                               \
    }                                                                                                               \
    extern "C" __global__ void batch_norm_##SUFFIX(const T *x, const T *other, const float *terms, T *y, Index rows, \
                                                   Index c, int kind, int wide) {                                   \
        if (wide) normalise<T, 4>(x, other, terms, y, rows, c, kind);                                               \
        else normalise<T, 1>(x, other, terms, y, rows, c, kind);                                                    \
    }                                                                                                               \
    extern "C" __global__ void batch_norm_products_##SUFFIX(const T *dy, const T *x, const float *terms, Index rows, \
                                                            Index c, Index chunk, double *partial, int kind,        \
                                                            int wide) {                                             \
        if (wide) product_sums<T, 4>(dy, x, terms, rows, c, chunk, partial, kind);                                  \
        else product_sums<T, 1>(dy, x, terms, rows, c, chunk, partial, kind);                                       \
    }                                                                                                               \
    extern "C" __global__ void batch_norm_masked_products_##SUFFIX(T *dy, const T *y, const T *x,                   \
                                                                   const float *terms, Index rows, Index c,         \
                                                                   Index chunk, double *partial, int wide) {        \
        if (wide) masked_product_sums<T, 4>(dy, y, x, terms, rows, c, chunk, partial);                              \
        else masked_product_sums<T, 1>(dy, y, x, terms, rows, c, chunk, partial);                                   \
    }                                                                                                               \
    extern "C" __global__ void batch_norm_input_gradient_##SUFFIX(const T *dy, const T *x, const float *terms,      \
                                                                  const float *slopes, T *dx, Index rows, Index c,  \
                                                                  int kind, int wide) {                             \
        if (wide) input_gradient<T, 4>(dy, x, terms, slopes, dx, rows, c, kind);                                    \
        else input_gradient<T, 1>(dy, x, terms, slopes, dx, rows, c, kind);                                         \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
