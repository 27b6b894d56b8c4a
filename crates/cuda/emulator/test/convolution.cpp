// cuDNN's convolutions against the plain formula.
#include "test.h"

namespace {

struct Case {
    int n, c, h, w, k, r, s, pad, stride, dilation, groups;
    cudnnTensorFormat_t format;
    int out(int size, int filter) const { return (size + 2 * pad - dilation * (filter - 1) - 1) / stride + 1; }
    int p() const { return out(h, r); }
    int q() const { return out(w, s); }
};

// Where element (a, b, y, x) of an array of these sizes lies.
size_t place(cudnnTensorFormat_t format, int sizes_b, int sizes_y, int sizes_x, int a, int b, int y, int x) {
    if (format == CUDNN_TENSOR_NCHW) return size_t(((a * sizes_b + b) * sizes_y + y) * sizes_x + x);
    return size_t(((a * sizes_y + y) * sizes_x + x) * sizes_b + b);
}

// Calls visit(place in x, in w, in y) for every product of the convolution.
template <class Visit>
void products(const Case &t, Visit visit) {
    int inputs = t.c / t.groups, outputs = t.k / t.groups;
    for (int n = 0; n < t.n; n++)
        for (int k = 0; k < t.k; k++)
            for (int p = 0; p < t.p(); p++)
                for (int q = 0; q < t.q(); q++)
                    for (int c = 0; c < inputs; c++)
                        for (int r = 0; r < t.r; r++)
                            for (int s = 0; s < t.s; s++) {
                                int h = p * t.stride + r * t.dilation - t.pad, w = q * t.stride + s * t.dilation - t.pad;
                                if (h < 0 || w < 0 || h >= t.h || w >= t.w) continue;
                                visit(place(t.format, t.c, t.h, t.w, n, k / outputs * inputs + c, h, w),
                                      place(t.format, inputs, t.r, t.s, k, c, r, s),
                                      place(t.format, t.k, t.p(), t.q(), n, k, p, q));
                            }
}

// Handles and descriptors of a case.
struct Setup {
    Machine machine;
    cudnnHandle_t handle;
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t shape;

    Setup(const Case &t, cudnnDataType_t type, cudnnMathType_t math) {
        CHECK_EQUAL(DNN(cudnnCreate, &handle), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnSetStream, handle, machine.stream), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnCreateTensorDescriptor, &x), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnCreateTensorDescriptor, &y), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnCreateFilterDescriptor, &w), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnCreateConvolutionDescriptor, &shape), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnSetTensor4dDescriptor, x, t.format, type, t.n, t.c, t.h, t.w), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnSetTensor4dDescriptor, y, t.format, type, t.n, t.k, t.p(), t.q()), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnSetFilter4dDescriptor, w, type, t.format, t.k, t.c / t.groups, t.r, t.s), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnSetConvolution2dDescriptor, shape, t.pad, t.pad, t.stride, t.stride, t.dilation, t.dilation,
                        CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                    CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnSetConvolutionGroupCount, shape, t.groups), CUDNN_STATUS_SUCCESS);
        CHECK_EQUAL(DNN(cudnnSetConvolutionMathType, shape, math), CUDNN_STATUS_SUCCESS);
    }
    ~Setup() {
        DNN(cudnnDestroyTensorDescriptor, x);
        DNN(cudnnDestroyTensorDescriptor, y);
        DNN(cudnnDestroyFilterDescriptor, w);
        DNN(cudnnDestroyConvolutionDescriptor, shape);
        DNN(cudnnDestroy, handle);
    }

    // The number of the first deterministic algorithm of a list, and its workspace.
    template <class Performance, class... A>
    auto choose(const char *list, size_t *bytes, A... descriptors) {
        Performance found[8];
        int count;
        CHECK_EQUAL(
            cudnnStatus_t(call("libcudnn.so.9", list, handle, descriptors..., 8, &count, static_cast<Performance *>(found))),
            CUDNN_STATUS_SUCCESS);
        CHECK(count > 1);
        for (int at = 0; at < count; at++) {
            if (found[at].status != CUDNN_STATUS_SUCCESS || found[at].determinism != CUDNN_DETERMINISTIC) continue;
            *bytes = found[at].memory;
            return found[at].algo;
        }
        CHECK(!"no deterministic algorithm");
        return found[0].algo;
    }
};

std::vector<Case> cases() {
    std::vector<Case> result;
    for (auto format : {CUDNN_TENSOR_NHWC, CUDNN_TENSOR_NCHW}) {
        result.push_back({2, 5, 9, 7, 6, 3, 3, 1, 1, 1, 1, format});
        result.push_back({3, 16, 8, 8, 32, 1, 1, 0, 1, 1, 1, format});
        result.push_back({1, 3, 30, 31, 20, 7, 7, 3, 2, 1, 1, format});
        result.push_back({2, 8, 10, 11, 12, 3, 3, 2, 1, 2, 4, format});
        result.push_back({2, 6, 9, 9, 6, 3, 5, 1, 2, 1, 6, format});
    }
    return result;
}

float largest(const std::vector<double> &values) {
    double most = 0;
    for (double value : values) most = std::max(most, std::fabs(value));
    return float(most);
}

void near(const std::vector<float> &found, const std::vector<double> &expected, double tolerance) {
    double scale = largest(expected);
    for (size_t at = 0; at < found.size(); at++) {
        if (std::fabs(found[at] - expected[at]) <= tolerance * scale) continue;
        printf("element %zu is %g, not %g\n", at, double(found[at]), expected[at]);
        exit(1);
    }
}

// One of the three passes, with 2 times the result plus `beta` times what was there.
std::vector<float> forward(Setup &s, const Array<float> &x, const Array<float> &w, Array<float> &y, float beta) {
    size_t bytes;
    auto algorithm =
        s.choose<cudnnConvolutionFwdAlgoPerf_t>("cudnnGetConvolutionForwardAlgorithm_v7", &bytes, s.x, s.w, s.shape, s.y);
    Array<char> scratch(s.machine, bytes);
    float alpha = 2;
    CHECK_EQUAL(DNN(cudnnConvolutionForward, s.handle, &alpha, s.x, x.address, s.w, w.address, s.shape, algorithm,
                    scratch.address, bytes, &beta, s.y, y.address),
                CUDNN_STATUS_SUCCESS);
    return y.read();
}
std::vector<float> backward_data(Setup &s, const Array<float> &w, const Array<float> &y, Array<float> &x, float beta) {
    size_t bytes;
    auto algorithm = s.choose<cudnnConvolutionBwdDataAlgoPerf_t>("cudnnGetConvolutionBackwardDataAlgorithm_v7", &bytes, s.w,
                                                                 s.y, s.shape, s.x);
    Array<char> scratch(s.machine, bytes);
    float alpha = 2;
    CHECK_EQUAL(DNN(cudnnConvolutionBackwardData, s.handle, &alpha, s.w, w.address, s.y, y.address, s.shape, algorithm,
                    scratch.address, bytes, &beta, s.x, x.address),
                CUDNN_STATUS_SUCCESS);
    return x.read();
}
std::vector<float> backward_filter(Setup &s, const Array<float> &x, const Array<float> &y, Array<float> &w, float beta) {
    size_t bytes;
    auto algorithm = s.choose<cudnnConvolutionBwdFilterAlgoPerf_t>("cudnnGetConvolutionBackwardFilterAlgorithm_v7", &bytes, s.x,
                                                                   s.y, s.shape, s.w);
    Array<char> scratch(s.machine, bytes);
    float alpha = 2;
    CHECK_EQUAL(DNN(cudnnConvolutionBackwardFilter, s.handle, &alpha, s.x, x.address, s.y, y.address, s.shape, algorithm,
                    scratch.address, bytes, &beta, s.w, w.address),
                CUDNN_STATUS_SUCCESS);
    return w.read();
}

void against_the_formula() {
    for (const Case &t : cases()) {
        Setup s(t, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH);
        auto x = noise(size_t(t.n * t.c * t.h * t.w), 1), w = noise(size_t(t.k * t.c / t.groups * t.r * t.s), 2);
        auto y = noise(size_t(t.n * t.k * t.p() * t.q()), 3);
        std::vector<double> x_sums(x.begin(), x.end()), w_sums(w.size()), y_sums(y.begin(), y.end());
        products(t, [&](size_t at_x, size_t at_w, size_t at_y) {
            x_sums[at_x] += 2.0 * w[at_w] * y[at_y];
            w_sums[at_w] += 2.0 * x[at_x] * y[at_y];
            y_sums[at_y] += 2.0 * x[at_x] * w[at_w];
        });
        Array<float> x_array(s.machine, x), w_array(s.machine, w), y_array(s.machine, y);
        Array<float> x_given(s.machine, x), w_fresh(s.machine, w.size()), y_given(s.machine, y);
        near(forward(s, x_array, w_array, y_given, 1.0f), y_sums, 2e-6);
        near(backward_data(s, w_array, y_array, x_given, 1.0f), x_sums, 2e-6);
        near(backward_filter(s, x_array, y_array, w_fresh, 0.0f), w_sums, 2e-6);  // NaNs there are not read
    }
}

// With the default math type factors lose their last 13 bits: the error shows, and stays near 1e-3.
void tf32_by_default() {
    Case t{2, 32, 6, 6, 8, 3, 3, 1, 1, 1, 1, CUDNN_TENSOR_NHWC};
    Setup s(t, CUDNN_DATA_FLOAT, CUDNN_DEFAULT_MATH);
    auto x = noise(size_t(t.n * t.c * t.h * t.w), 1), w = noise(size_t(t.k * t.c * t.r * t.s), 2);
    std::vector<double> sums(size_t(t.n * t.k * t.p() * t.q()));
    products(t, [&](size_t at_x, size_t at_w, size_t at_y) { sums[at_y] += 2.0 * x[at_x] * w[at_w]; });
    Array<float> x_array(s.machine, x), w_array(s.machine, w), y(s.machine, sums.size());
    auto found = forward(s, x_array, w_array, y, 0.0f);
    near(found, sums, 1e-3);
    double worst = 0;
    for (size_t at = 0; at < found.size(); at++) worst = std::max(worst, std::fabs(found[at] - sums[at]));
    CHECK(worst > 1e-5 * largest(sums));
}

void sixteen_bits() {
    Case t{2, 8, 7, 7, 6, 3, 3, 1, 2, 1, 2, CUDNN_TENSOR_NHWC};
    Setup s(t, CUDNN_DATA_BFLOAT16, CUDNN_TENSOR_OP_MATH);
    auto x = halved(noise(size_t(t.n * t.c * t.h * t.w), 1)), w = halved(noise(size_t(t.k * t.c / t.groups * t.r * t.s), 2));
    auto x_wide = doubled(x), w_wide = doubled(w);
    std::vector<double> sums(size_t(t.n * t.k * t.p() * t.q()));
    products(t, [&](size_t at_x, size_t at_w, size_t at_y) { sums[at_y] += double(x_wide[at_x]) * w_wide[at_w]; });
    Array<uint16_t> x_array(s.machine, x), w_array(s.machine, w), y(s.machine, sums.size());
    size_t bytes;
    auto algorithm =
        s.choose<cudnnConvolutionFwdAlgoPerf_t>("cudnnGetConvolutionForwardAlgorithm_v7", &bytes, s.x, s.w, s.shape, s.y);
    Array<char> scratch(s.machine, bytes);
    float alpha = 1, beta = 0;
    CHECK_EQUAL(DNN(cudnnConvolutionForward, s.handle, &alpha, s.x, x_array.address, s.w, w_array.address, s.shape, algorithm,
                    scratch.address, bytes, &beta, s.y, y.address),
                CUDNN_STATUS_SUCCESS);
    auto found = doubled(y.read());
    for (size_t at = 0; at < sums.size(); at++) CHECK(std::fabs(found[at] - sums[at]) <= std::fabs(sums[at]) / 250 + 1e-6);
}

// The first algorithm for gradients gives other bits the second time; the deterministic one does not.
void determinism() {
    Case t{2, 8, 7, 7, 8, 3, 3, 1, 1, 1, 1, CUDNN_TENSOR_NHWC};
    Setup s(t, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH);
    Array<float> w(s.machine, noise(size_t(t.k * t.c * 9), 2)), y(s.machine, noise(size_t(t.n * t.k * 49), 3)),
        x(s.machine, size_t(t.n * t.c * 49));
    CHECK(backward_data(s, w, y, x, 0) == backward_data(s, w, y, x, 0));
    float alpha = 1, beta = 0;
    std::vector<float> found[2];
    for (auto &result : found) {
        CHECK_EQUAL(DNN(cudnnConvolutionBackwardData, s.handle, &alpha, s.w, w.address, s.y, y.address, s.shape,
                        CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, static_cast<void *>(nullptr), size_t(0), &beta, s.x, x.address),
                    CUDNN_STATUS_SUCCESS);
        result = x.read();
    }
    CHECK(found[0] != found[1]);
}

// The numbers of the algorithms that are offered for one pass or another.
template <class Performance, class... A>
std::vector<int> offered(const char *list, A... descriptors) {
    Performance found[8];
    int count = -1;
    CHECK_EQUAL(cudnnStatus_t(call("libcudnn.so.9", list, descriptors..., 8, &count, static_cast<Performance *>(found))),
                CUDNN_STATUS_SUCCESS);
    std::vector<int> numbers;
    for (int at = 0; at < count; at++)
        if (found[at].status == CUDNN_STATUS_SUCCESS) numbers.push_back(found[at].algo);
    return numbers;
}

void nothing_offered() {
    Case t{2, 8, 7, 7, 6, 3, 3, 1, 1, 1, 1, CUDNN_TENSOR_NHWC};
    Setup s(t, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH);
    CHECK(offered<cudnnConvolutionFwdAlgoPerf_t>("cudnnGetConvolutionForwardAlgorithm_v7", s.handle, s.x, s.w, s.shape, s.y)
              .empty());
    CHECK(offered<cudnnConvolutionBwdDataAlgoPerf_t>("cudnnGetConvolutionBackwardDataAlgorithm_v7", s.handle, s.w, s.y, s.shape,
                                                     s.x)
              .empty());
    CHECK(offered<cudnnConvolutionBwdFilterAlgoPerf_t>("cudnnGetConvolutionBackwardFilterAlgorithm_v7", s.handle, s.x, s.y,
                                                       s.shape, s.w)
              .empty());
}

// All are offered; the first two of the input's gradient fail, being the first and the first deterministic one.
void offers_that_fail() {
    Case t{2, 8, 7, 7, 6, 3, 3, 1, 1, 1, 1, CUDNN_TENSOR_NHWC};
    Setup s(t, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH);
    Array<float> w(s.machine, noise(size_t(t.k * t.c * 9), 2)), y(s.machine, noise(size_t(t.n * t.k * 49), 3)),
        x(s.machine, size_t(t.n * t.c * 49));
    auto numbers = offered<cudnnConvolutionBwdDataAlgoPerf_t>("cudnnGetConvolutionBackwardDataAlgorithm_v7", s.handle, s.w, s.y,
                                                              s.shape, s.x);
    CHECK_EQUAL(numbers.size(), size_t(3));
    float alpha = 1, beta = 0;
    for (size_t at = 0; at < numbers.size(); at++) {
        auto algorithm = cudnnConvolutionBwdDataAlgo_t(numbers[at]);
        size_t bytes;
        CHECK_EQUAL(DNN(cudnnGetConvolutionBackwardDataWorkspaceSize, s.handle, s.w, s.y, s.shape, s.x, algorithm, &bytes),
                    CUDNN_STATUS_SUCCESS);
        Array<char> scratch(s.machine, bytes + 1);
        CHECK_EQUAL(DNN(cudnnConvolutionBackwardData, s.handle, &alpha, s.w, w.address, s.y, y.address, s.shape, algorithm,
                        scratch.address, bytes, &beta, s.x, x.address),
                    at < 2 ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS);
    }
}

void refusals() {
    Case t{2, 8, 7, 7, 6, 3, 3, 1, 1, 1, 1, CUDNN_TENSOR_NHWC};
    Setup s(t, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH);
    Array<float> x(s.machine, noise(size_t(t.n * t.c * 49), 2)), w(s.machine, noise(size_t(t.k * t.c * 9), 3)),
        y(s.machine, size_t(t.n * t.k * 49));
    float alpha = 1, beta = 0;
    auto run = [&](const Array<float> &weights, void *scratch, size_t bytes) {
        return DNN(cudnnConvolutionForward, s.handle, &alpha, s.x, x.address, s.w, weights.address, s.shape,
                   CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, scratch, bytes, &beta, s.y, y.address);
    };
    size_t bytes;
    CHECK_EQUAL(DNN(cudnnGetConvolutionForwardWorkspaceSize, s.handle, s.x, s.w, s.shape, s.y,
                    CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, &bytes),
                CUDNN_STATUS_SUCCESS);
    Array<char> scratch(s.machine, bytes);
    Array<float> few(s.machine, 10);
    CHECK_EQUAL(run(w, scratch.address, bytes), CUDNN_STATUS_SUCCESS);
    CHECK_EQUAL(run(w, scratch.address, bytes - 1), CUDNN_STATUS_BAD_PARAM);
    CHECK_EQUAL(run(w, few.address, bytes), CUDNN_STATUS_EXECUTION_FAILED);
    CHECK_EQUAL(run(few, scratch.address, bytes), CUDNN_STATUS_EXECUTION_FAILED);
    CHECK_EQUAL(DNN(cudnnSetTensor4dDescriptor, s.y, t.format, CUDNN_DATA_FLOAT, t.n, t.k, 7, 6), CUDNN_STATUS_SUCCESS);
    CHECK_EQUAL(run(w, scratch.address, bytes), CUDNN_STATUS_BAD_PARAM);
    CHECK_EQUAL(DNN(cudnnSetTensor4dDescriptor, s.y, t.format, CUDNN_DATA_BFLOAT16, t.n, t.k, 7, 7), CUDNN_STATUS_SUCCESS);
    CHECK_EQUAL(run(w, scratch.address, bytes), CUDNN_STATUS_BAD_PARAM);
    CHECK_EQUAL(DNN(cudnnSetTensor4dDescriptor, s.y, t.format, CUDNN_DATA_FLOAT, t.n, t.k, 7, 7), CUDNN_STATUS_SUCCESS);
    CHECK_EQUAL(DNN(cudnnSetFilter4dDescriptor, s.w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, t.k, t.c, 3, 3),
                CUDNN_STATUS_SUCCESS);
    CHECK_EQUAL(run(w, scratch.address, bytes), CUDNN_STATUS_NOT_SUPPORTED);
    CHECK_EQUAL(DNN(cudnnSetFilter4dDescriptor, s.w, CUDNN_DATA_FLOAT, t.format, t.k, 4, 3, 3), CUDNN_STATUS_SUCCESS);
    CHECK_EQUAL(run(w, scratch.address, bytes), CUDNN_STATUS_BAD_PARAM);
    CHECK_EQUAL(DNN(cudnnSetTensor4dDescriptor, s.y, t.format, CUDNN_DATA_FLOAT, 0, t.k, 7, 7), CUDNN_STATUS_BAD_PARAM);
    cudnnTensorDescriptor_t gone;
    CHECK_EQUAL(DNN(cudnnCreateTensorDescriptor, &gone), CUDNN_STATUS_SUCCESS);
    CHECK_EQUAL(DNN(cudnnDestroyTensorDescriptor, gone), CUDNN_STATUS_SUCCESS);
    CHECK_EQUAL(DNN(cudnnDestroyTensorDescriptor, gone), CUDNN_STATUS_BAD_PARAM);
}

}  // namespace

std::vector<Test> convolution_tests() {
    return {
        {"convolutions_against_the_formula", against_the_formula, {}},
        {"convolutions_in_threads", against_the_formula, {{"GRAFT_EMULATED_ASYNC", "1"}}},
        {"convolutions_guarded", against_the_formula, {{"GRAFT_EMULATED_GUARD", "1"}}},
        {"convolutions_in_tf32_by_default", tf32_by_default, {}},
        {"convolutions_of_sixteen_bits", sixteen_bits, {}},
        {"determinism_of_convolutions", determinism, {}},
        {"refusals_of_convolutions", refusals, {}},
        {"cudnn_without_algorithms", nothing_offered, {{"GRAFT_EMULATED_CUDNN", "none"}}},
        {"algorithms_of_cudnn_that_fail", offers_that_fail, {{"GRAFT_EMULATED_CUDNN", "failing"}}},
    };
}
