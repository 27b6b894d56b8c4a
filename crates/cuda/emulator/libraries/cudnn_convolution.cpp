// cuDNN's convolutions: which algorithms there are, their workspaces, and running them.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "convolution.h"

namespace graft {
namespace {

const char *name_of(Pass pass) {
    return pass == Pass::Forward        ? "cudnnConvolutionForward"
           : pass == Pass::BackwardData ? "cudnnConvolutionBackwardData"
                                        : "cudnnConvolutionBackwardFilter";
}

bool is_packed(const cudnnTensorStruct &tensor, cudnnTensorFormat_t format) {
    int stride[4];
    packed(format, tensor.size, stride);
    for (int at = 0; at < 4; at++) {
        if (tensor.size[at] > 1 && tensor.stride[at] != stride[at]) return false;
    }
    return true;
}

// What cuDNN demands of the three descriptors together.
cudnnStatus_t check(Pass pass, cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                    cudnnConvolutionDescriptor_t shape, cudnnTensorDescriptor_t y) {
    const char *call = name_of(pass);
    if (!usable(handle)) return refuse(CUDNN_STATUS_NOT_INITIALIZED, call, "the handle is none");
    if (!usable(x) || !usable(w) || !usable(shape) || !usable(y))
        return refuse(CUDNN_STATUS_BAD_PARAM, call, "a descriptor is none, or was never set");
    if (x->type != w->type || x->type != y->type) return refuse(CUDNN_STATUS_BAD_PARAM, call, "the types of x, w and y differ");
    int size[4];
    if (x->size[1] != w->size[1] * shape->groups)
        return refuse(CUDNN_STATUS_BAD_PARAM, call, "x's channels are not the filter's times the groups");
    if (w->size[0] % shape->groups != 0)
        return refuse(CUDNN_STATUS_BAD_PARAM, call, "the groups do not divide the filter's outputs");
    if (!output_size(*shape, *x, *w, size))
        return refuse(CUDNN_STATUS_BAD_PARAM, call, "the filter is larger than the padded input");
    if (memcmp(size, y->size, sizeof size) != 0) {
        char reason[160];
        snprintf(reason, sizeof reason, "y is described as (%d, %d, %d, %d), its sizes are (%d, %d, %d, %d)", y->size[0],
                 y->size[1], y->size[2], y->size[3], size[0], size[1], size[2], size[3]);
        return refuse(CUDNN_STATUS_BAD_PARAM, call, reason);
    }
    if (shape->compute != CUDNN_DATA_FLOAT)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, call, "sums in other than floats are not emulated");
    if (!is_packed(*x, w->format) && w->format == CUDNN_TENSOR_NHWC)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, call, "a filter in NHWC with an input that is not");
    if (!is_packed(*y, w->format) && w->format == CUDNN_TENSOR_NHWC)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, call, "a filter in NHWC with an output that is not");
    if (is_packed(*x, CUDNN_TENSOR_NHWC) && !is_packed(*x, CUDNN_TENSOR_NCHW) && w->format != CUDNN_TENSOR_NHWC) {
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, call, "an input in NHWC with a filter that is not");
    }
    return CUDNN_STATUS_SUCCESS;
}

// What GRAFT_EMULATED_CUDNN asks to be refused.
enum class Refusal { Nothing, All, Running };
Refusal refusal() {
    static const Refusal asked = [] {
        const char *value = getenv("GRAFT_EMULATED_CUDNN");
        if (!value || !*value) return Refusal::Nothing;
        if (strcmp(value, "none") == 0) return Refusal::All;
        if (strcmp(value, "failing") == 0) return Refusal::Running;
        graft_emulated_say("GRAFT_EMULATED_CUDNN=%s is neither none nor failing", value);
        abort();
    }();
    return asked;
}

struct Algorithm {
    int number;
    bool supported, deterministic;
};

// In the order in which they are recommended: the first for gradients is not deterministic.
const std::vector<Algorithm> &algorithms(Pass pass) {
    static const std::vector<Algorithm> FORWARD = {{1, true, true}, {0, true, true}, {6, false, true}, {2, false, true}};
    static const std::vector<Algorithm> DATA = {{0, true, false}, {1, true, true}, {4, false, true}, {5, true, true}};
    static const std::vector<Algorithm> FILTER = {{0, true, false}, {1, true, true}, {3, true, false}, {5, true, true}};
    static const std::vector<Algorithm> NONE = {};
    if (refusal() == Refusal::All) return NONE;
    return pass == Pass::Forward ? FORWARD : pass == Pass::BackwardData ? DATA : FILTER;
}

const Algorithm *find(Pass pass, int number) {
    for (const Algorithm &algorithm : algorithms(pass)) {
        if (algorithm.number == number && algorithm.supported) return &algorithm;
    }
    return nullptr;
}

// Whether an algorithm is offered and then fails: the first of all, and the first of the deterministic ones.
bool fails(Pass pass, const Algorithm &algorithm) {
    if (refusal() != Refusal::Running) return false;
    for (const Algorithm &other : algorithms(pass)) {
        if (other.number == algorithm.number) return true;
        if (other.supported && other.deterministic) return false;
    }
    return false;
}

// Invented, and not a multiple of anything: algorithm 0 takes none, as in cuDNN.
size_t workspace(Pass pass, int number, const cudnnFilterStruct &w, const cudnnTensorStruct &y) {
    if (number == 0) return 0;
    size_t weights = size_t(w.size[0]) * size_t(w.size[1]) * size_t(w.size[2]) * size_t(w.size[3]);
    return pass == Pass::Forward ? 4 * size_t(y.size[2]) * size_t(y.size[3]) + 1028 : 4 * weights + 1028;
}

template <class Performance>
cudnnStatus_t list(Pass pass, cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                   cudnnConvolutionDescriptor_t shape, cudnnTensorDescriptor_t y, int wanted, int *count,
                   Performance *results) {
    if (cudnnStatus_t error = check(pass, handle, x, w, shape, y)) return error;
    if (wanted < 1 || !count || !results) return CUDNN_STATUS_BAD_PARAM;
    *count = 0;
    for (const Algorithm &algorithm : algorithms(pass)) {
        if (*count == wanted) break;
        Performance &result = results[(*count)++];
        memset(&result, 0, sizeof result);
        result.algo = decltype(result.algo)(algorithm.number);
        result.status = algorithm.supported ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
        result.time = algorithm.supported ? float(*count) : -1.0f;
        result.memory = algorithm.supported ? workspace(pass, algorithm.number, *w, *y) : 0;
        result.determinism = algorithm.deterministic ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC;
        result.mathType = shape->math;
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t workspace_size(Pass pass, cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                             cudnnConvolutionDescriptor_t shape, cudnnTensorDescriptor_t y, int number, size_t *bytes) {
    if (cudnnStatus_t error = check(pass, handle, x, w, shape, y)) return error;
    if (!bytes) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (!find(pass, number)) return refuse(CUDNN_STATUS_NOT_SUPPORTED, name_of(pass), "this algorithm");
    *bytes = workspace(pass, number, *w, *y);
    return CUDNN_STATUS_SUCCESS;
}

struct Arrays {
    const void *x, *w, *y;
    void *workspace;
    size_t workspace_size;
};

cudnnStatus_t run(Pass pass, cudnnHandle_t handle, const void *alpha, const void *beta, cudnnTensorDescriptor_t x,
                  cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t shape, cudnnTensorDescriptor_t y, int number,
                  const Arrays &arrays) {
    const char *call = name_of(pass);
    if (cudnnStatus_t error = check(pass, handle, x, w, shape, y)) return error;
    if (!alpha || !beta || !arrays.x || !arrays.w || !arrays.y)
        return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, call, "a pointer is null");
    const Algorithm *algorithm = find(pass, number);
    if (!algorithm) return refuse(CUDNN_STATUS_NOT_SUPPORTED, call, "this algorithm");
    size_t needed = workspace(pass, number, *w, *y);
    if (arrays.workspace_size < needed) return refuse(CUDNN_STATUS_BAD_PARAM, call, "the workspace is too small");
    int stride[4];
    packed(w->format, w->size, stride);
    bool inside =
        graft_emulated_reachable(handle->stream, arrays.x, extent(x->size, x->stride) * width(x->type), width(x->type), call) &&
        graft_emulated_reachable(handle->stream, arrays.w, extent(w->size, stride) * width(w->type), width(w->type), call) &&
        graft_emulated_reachable(handle->stream, arrays.y, extent(y->size, y->stride) * width(y->type), width(y->type), call) &&
        graft_emulated_reachable(handle->stream, arrays.workspace, needed, 1, call);
    if (!inside) return CUDNN_STATUS_EXECUTION_FAILED;
    if (fails(pass, *algorithm)) {
        graft_emulated_trace("%s: algorithm %d fails, as asked", call, number);
        return pass == Pass::BackwardFilter ? CUDNN_STATUS_EXECUTION_FAILED : CUDNN_STATUS_NOT_SUPPORTED;
    }
    static std::atomic<unsigned> calls[3];  // of each pass
    bool nudges = !algorithm->deterministic && calls[int(pass)]++ % 2 == 1;
    bool rounds = x->type == CUDNN_DATA_FLOAT && shape->math != CUDNN_FMA_MATH;
    auto start = [](const void *array) { return const_cast<void *>(array); };
    Convolution convolution{pass,
                            *x,
                            *y,
                            *w,
                            *shape,
                            start(arrays.x),
                            start(arrays.w),
                            start(arrays.y),
                            *static_cast<const float *>(alpha),
                            *static_cast<const float *>(beta),
                            rounds,
                            nudges};
    graft_emulated_trace("%s: %d x %d x %d x %d by %d x %d x %d x %d in %d groups, algorithm %d", call, x->size[0], x->size[1],
                         x->size[2], x->size[3], w->size[0], w->size[1], w->size[2], w->size[3], shape->groups, number);
    void *scratch = arrays.workspace;
    CUresult error = graft_emulated_submit(handle->stream, [convolution, scratch, needed] {
        if (needed > 0) memset(scratch, 0xff, needed);
        convolution.compute();
        return true;
    });
    return error ? CUDNN_STATUS_EXECUTION_FAILED : CUDNN_STATUS_SUCCESS;
}

}  // namespace
}  // namespace graft

using namespace graft;
typedef cudnnTensorDescriptor_t Tensor;
typedef cudnnFilterDescriptor_t Filter;
typedef cudnnConvolutionDescriptor_t Shape;

#define GRAFT_COUNT(name, number)                                     \
    GRAFT_DNN name(cudnnHandle_t handle, int *count) {                \
        if (!usable(handle) || !count) return CUDNN_STATUS_BAD_PARAM; \
        *count = number;                                              \
        return CUDNN_STATUS_SUCCESS;                                  \
    }
GRAFT_COUNT(cudnnGetConvolutionForwardAlgorithmMaxCount, CUDNN_CONVOLUTION_FWD_ALGO_COUNT)
GRAFT_COUNT(cudnnGetConvolutionBackwardDataAlgorithmMaxCount, CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT)
GRAFT_COUNT(cudnnGetConvolutionBackwardFilterAlgorithmMaxCount, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT)

GRAFT_DNN cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t handle, Tensor x, Filter w, Shape shape, Tensor y, int wanted,
                                                 int *count, cudnnConvolutionFwdAlgoPerf_t *results) {
    return list(Pass::Forward, handle, x, w, shape, y, wanted, count, results);
}
GRAFT_DNN cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t handle, Filter w, Tensor y, Shape shape, Tensor x,
                                                      int wanted, int *count, cudnnConvolutionBwdDataAlgoPerf_t *results) {
    return list(Pass::BackwardData, handle, x, w, shape, y, wanted, count, results);
}
GRAFT_DNN cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t handle, Tensor x, Tensor y, Shape shape, Filter w,
                                                        int wanted, int *count, cudnnConvolutionBwdFilterAlgoPerf_t *results) {
    return list(Pass::BackwardFilter, handle, x, w, shape, y, wanted, count, results);
}

// Finding tries nothing here: it answers what Get... does, and overwrites its output as the real one may.
GRAFT_DNN cudnnFindConvolutionForwardAlgorithmEx(cudnnHandle_t handle, Tensor x, const void *, Filter w, const void *,
                                                 Shape shape, Tensor y, void *output, int wanted, int *count,
                                                 cudnnConvolutionFwdAlgoPerf_t *results, void *, size_t) {
    if (cudnnStatus_t error = list(Pass::Forward, handle, x, w, shape, y, wanted, count, results)) return error;
    size_t bytes = extent(y->size, y->stride) * width(y->type);
    if (!graft_emulated_reachable(handle->stream, output, bytes, 1, "cudnnFindConvolutionForwardAlgorithmEx"))
        return CUDNN_STATUS_BAD_PARAM;
    CUresult error = graft_emulated_submit(handle->stream, [=] { return memset(output, 0xff, bytes) != nullptr; });
    return error ? CUDNN_STATUS_EXECUTION_FAILED : CUDNN_STATUS_SUCCESS;
}
GRAFT_DNN cudnnFindConvolutionBackwardDataAlgorithmEx(cudnnHandle_t handle, Filter w, const void *, Tensor y, const void *,
                                                      Shape shape, Tensor x, void *output, int wanted, int *count,
                                                      cudnnConvolutionBwdDataAlgoPerf_t *results, void *, size_t) {
    if (cudnnStatus_t error = list(Pass::BackwardData, handle, x, w, shape, y, wanted, count, results)) return error;
    size_t bytes = extent(x->size, x->stride) * width(x->type);
    if (!graft_emulated_reachable(handle->stream, output, bytes, 1, "cudnnFindConvolutionBackwardDataAlgorithmEx"))
        return CUDNN_STATUS_BAD_PARAM;
    CUresult error = graft_emulated_submit(handle->stream, [=] { return memset(output, 0xff, bytes) != nullptr; });
    return error ? CUDNN_STATUS_EXECUTION_FAILED : CUDNN_STATUS_SUCCESS;
}
GRAFT_DNN cudnnFindConvolutionBackwardFilterAlgorithmEx(cudnnHandle_t handle, Tensor x, const void *, Tensor y, const void *,
                                                        Shape shape, Filter w, void *output, int wanted, int *count,
                                                        cudnnConvolutionBwdFilterAlgoPerf_t *results, void *, size_t) {
    if (cudnnStatus_t error = list(Pass::BackwardFilter, handle, x, w, shape, y, wanted, count, results)) return error;
    int stride[4];
    packed(w->format, w->size, stride);
    size_t bytes = extent(w->size, stride) * width(w->type);
    if (!graft_emulated_reachable(handle->stream, output, bytes, 1, "cudnnFindConvolutionBackwardFilterAlgorithmEx"))
        return CUDNN_STATUS_BAD_PARAM;
    CUresult error = graft_emulated_submit(handle->stream, [=] { return memset(output, 0xff, bytes) != nullptr; });
    return error ? CUDNN_STATUS_EXECUTION_FAILED : CUDNN_STATUS_SUCCESS;
}

GRAFT_DNN cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle, Tensor x, Filter w, Shape shape, Tensor y,
                                                  cudnnConvolutionFwdAlgo_t algorithm, size_t *bytes) {
    return workspace_size(Pass::Forward, handle, x, w, shape, y, algorithm, bytes);
}
GRAFT_DNN cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t handle, Filter w, Tensor y, Shape shape, Tensor x,
                                                       cudnnConvolutionBwdDataAlgo_t algorithm, size_t *bytes) {
    return workspace_size(Pass::BackwardData, handle, x, w, shape, y, algorithm, bytes);
}
GRAFT_DNN cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t handle, Tensor x, Tensor y, Shape shape, Filter w,
                                                         cudnnConvolutionBwdFilterAlgo_t algorithm, size_t *bytes) {
    return workspace_size(Pass::BackwardFilter, handle, x, w, shape, y, algorithm, bytes);
}

GRAFT_DNN cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, Tensor x, const void *x_start, Filter w,
                                  const void *w_start, Shape shape, cudnnConvolutionFwdAlgo_t algorithm, void *scratch,
                                  size_t size, const void *beta, Tensor y, void *y_start) {
    return run(Pass::Forward, handle, alpha, beta, x, w, shape, y, algorithm, {x_start, w_start, y_start, scratch, size});
}
GRAFT_DNN cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, Filter w, const void *w_start, Tensor y,
                                       const void *y_start, Shape shape, cudnnConvolutionBwdDataAlgo_t algorithm, void *scratch,
                                       size_t size, const void *beta, Tensor x, void *x_start) {
    return run(Pass::BackwardData, handle, alpha, beta, x, w, shape, y, algorithm, {x_start, w_start, y_start, scratch, size});
}
GRAFT_DNN cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, Tensor x, const void *x_start, Tensor y,
                                         const void *y_start, Shape shape, cudnnConvolutionBwdFilterAlgo_t algorithm,
                                         void *scratch, size_t size, const void *beta, Filter w, void *w_start) {
    return run(Pass::BackwardFilter, handle, alpha, beta, x, w, shape, y, algorithm,
               {x_start, w_start, y_start, scratch, size});
}
