// cuDNN's handles and descriptors.
#include "cudnn_descriptors.h"

#include <algorithm>
#include <cstdio>

#include "numbers.h"

namespace graft {

template <class T>
static Live<T> &live() {
    static auto all = new Live<T>;
    return *all;
}

bool usable(cudnnHandle_t handle) { return live<cudnnContext>().has(handle); }
bool usable(cudnnTensorDescriptor_t descriptor) { return live<cudnnTensorStruct>().has(descriptor) && descriptor->set; }
bool usable(cudnnFilterDescriptor_t descriptor) { return live<cudnnFilterStruct>().has(descriptor) && descriptor->set; }
bool usable(cudnnConvolutionDescriptor_t descriptor) {
    return live<cudnnConvolutionStruct>().has(descriptor) && descriptor->set;
}

size_t width(cudnnDataType_t type) { return type == CUDNN_DATA_DOUBLE ? 8 : type == CUDNN_DATA_FLOAT ? 4 : 2; }

void packed(cudnnTensorFormat_t format, const int size[4], int stride[4]) {
    if (format == CUDNN_TENSOR_NHWC) {
        stride[1] = 1;
        stride[3] = size[1];
        stride[2] = size[3] * stride[3];
        stride[0] = size[2] * stride[2];
    } else {
        stride[3] = 1;
        stride[2] = size[3];
        stride[1] = size[2] * stride[2];
        stride[0] = size[1] * stride[1];
    }
}

size_t extent(const int size[4], const int stride[4]) {
    size_t last = 0;
    for (int at = 0; at < 4; at++) last += size_t(size[at] - 1) * size_t(stride[at]);
    return last + 1;
}

cudnnStatus_t refuse(cudnnStatus_t status, const char *call, const char *reason) {
    graft_emulated_say("%s: %s", call, reason);
    return status;
}

bool output_size(const cudnnConvolutionStruct &convolution, const cudnnTensorStruct &x, const cudnnFilterStruct &w,
                 int size[4]) {
    size[0] = x.size[0];
    size[1] = w.size[0];
    for (int at = 0; at < 2; at++) {
        int covered = convolution.dilation[at] * (w.size[2 + at] - 1) + 1;
        int room = x.size[2 + at] + 2 * convolution.pad[at] - covered;
        if (room < 0) return false;
        size[2 + at] = room / convolution.stride[at] + 1;
    }
    return true;
}

template <class T>
static cudnnStatus_t create(T **made) {
    if (!made) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    *made = live<T>().add(new T);
    return CUDNN_STATUS_SUCCESS;
}
template <class T>
static cudnnStatus_t destroy(T *object) {
    return live<T>().remove(object) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

static bool known(cudnnDataType_t type) { return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_BFLOAT16; }
static bool positive(const int *values, int count) {
    return std::all_of(values, values + count, [](int value) { return value > 0; });
}

}  // namespace graft

using namespace graft;

GRAFT_EXPORT size_t cudnnGetVersion() { return CUDNN_VERSION; }
GRAFT_EXPORT size_t cudnnGetCudartVersion() { return 13000; }
GRAFT_DNN cudnnOpsVersionCheck() { return CUDNN_STATUS_SUCCESS; }
GRAFT_DNN cudnnCnnVersionCheck() { return CUDNN_STATUS_SUCCESS; }
GRAFT_DNN cudnnAdvVersionCheck() { return CUDNN_STATUS_SUCCESS; }

GRAFT_EXPORT const char *cudnnGetErrorString(cudnnStatus_t status) {
    switch (status) {
        case CUDNN_STATUS_SUCCESS: return "CUDNN_STATUS_SUCCESS";
        case CUDNN_STATUS_NOT_INITIALIZED: return "CUDNN_STATUS_NOT_INITIALIZED";
        case CUDNN_STATUS_BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
        case CUDNN_STATUS_BAD_PARAM_NULL_POINTER: return "CUDNN_STATUS_BAD_PARAM_NULL_POINTER";
        case CUDNN_STATUS_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
        case CUDNN_STATUS_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
        default: return "CUDNN_STATUS_INTERNAL_ERROR";
    }
}

GRAFT_DNN cudnnCreate(cudnnHandle_t *handle) {
    if (graft_emulated_state() != CUDA_SUCCESS) return CUDNN_STATUS_NOT_INITIALIZED;
    return create(handle);
}
GRAFT_DNN cudnnDestroy(cudnnHandle_t handle) { return destroy(handle); }
GRAFT_DNN cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    if (!usable(handle) || !graft_emulated_stream(stream)) return CUDNN_STATUS_BAD_PARAM;
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}
GRAFT_DNN cudnnGetStream(cudnnHandle_t handle, cudaStream_t *stream) {
    if (!usable(handle) || !stream) return CUDNN_STATUS_BAD_PARAM;
    *stream = handle->stream;
    return CUDNN_STATUS_SUCCESS;
}

GRAFT_DNN cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *descriptor) { return create(descriptor); }
GRAFT_DNN cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t descriptor) { return destroy(descriptor); }
GRAFT_DNN cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *descriptor) { return create(descriptor); }
GRAFT_DNN cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t descriptor) { return destroy(descriptor); }
GRAFT_DNN cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *descriptor) { return create(descriptor); }
GRAFT_DNN cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t descriptor) { return destroy(descriptor); }

GRAFT_DNN cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t descriptor, cudnnDataType_t type, int n, int c, int h, int w,
                                       int n_stride, int c_stride, int h_stride, int w_stride) {
    const int size[4] = {n, c, h, w}, stride[4] = {n_stride, c_stride, h_stride, w_stride};
    if (!live<cudnnTensorStruct>().has(descriptor) || !positive(size, 4)) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "cudnnSetTensor4dDescriptorEx",
                      "a size is not positive, or the descriptor is none");
    }
    if (!known(type) || !positive(stride, 4))
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cudnnSetTensor4dDescriptorEx", "strides or type are not emulated");
    if (extent(size, stride) > 2147483647u)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cudnnSetTensor4dDescriptorEx", "a tensor of more than 2^31 - 1 elements");
    std::copy(size, size + 4, descriptor->size);
    std::copy(stride, stride + 4, descriptor->stride);
    descriptor->type = type;
    descriptor->set = true;
    return CUDNN_STATUS_SUCCESS;
}

GRAFT_DNN cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t descriptor, cudnnTensorFormat_t format, cudnnDataType_t type,
                                     int n, int c, int h, int w) {
    const int size[4] = {n, c, h, w};
    int stride[4];
    packed(format, size, stride);
    if (format != CUDNN_TENSOR_NCHW && format != CUDNN_TENSOR_NHWC)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cudnnSetTensor4dDescriptor", "this format");
    return cudnnSetTensor4dDescriptorEx(descriptor, type, n, c, h, w, stride[0], stride[1], stride[2], stride[3]);
}

GRAFT_DNN cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t descriptor, cudnnDataType_t type, int dimensions, const int size[],
                                     const int stride[]) {
    if (!size || !stride) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (dimensions != 4)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cudnnSetTensorNdDescriptor",
                      "tensors of other than four dimensions are not emulated");
    return cudnnSetTensor4dDescriptorEx(descriptor, type, size[0], size[1], size[2], size[3], stride[0], stride[1], stride[2],
                                        stride[3]);
}

GRAFT_DNN cudnnGetTensorSizeInBytes(cudnnTensorDescriptor_t descriptor, size_t *bytes) {
    if (!usable(descriptor) || !bytes) return CUDNN_STATUS_BAD_PARAM;
    *bytes = extent(descriptor->size, descriptor->stride) * width(descriptor->type);
    return CUDNN_STATUS_SUCCESS;
}

GRAFT_DNN cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t descriptor, cudnnDataType_t type, cudnnTensorFormat_t format,
                                     int k, int c, int h, int w) {
    const int size[4] = {k, c, h, w};
    if (!live<cudnnFilterStruct>().has(descriptor) || !positive(size, 4)) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "cudnnSetFilter4dDescriptor",
                      "a size is not positive, or the descriptor is none");
    }
    if (!known(type) || (format != CUDNN_TENSOR_NCHW && format != CUDNN_TENSOR_NHWC)) {
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cudnnSetFilter4dDescriptor", "format or type are not emulated");
    }
    std::copy(size, size + 4, descriptor->size);
    descriptor->type = type;
    descriptor->format = format;
    descriptor->set = true;
    return CUDNN_STATUS_SUCCESS;
}

GRAFT_DNN cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t descriptor, cudnnDataType_t type, cudnnTensorFormat_t format,
                                     int dimensions, const int size[]) {
    if (!size) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (dimensions != 4)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cudnnSetFilterNdDescriptor",
                      "filters of other than four dimensions are not emulated");
    return cudnnSetFilter4dDescriptor(descriptor, type, format, size[0], size[1], size[2], size[3]);
}

GRAFT_DNN cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t descriptor, int pad_h, int pad_w, int stride_h,
                                          int stride_w, int dilation_h, int dilation_w, cudnnConvolutionMode_t mode,
                                          cudnnDataType_t compute) {
    const int steps[4] = {stride_h, stride_w, dilation_h, dilation_w};
    if (!live<cudnnConvolutionStruct>().has(descriptor) || pad_h < 0 || pad_w < 0 || !positive(steps, 4)) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "cudnnSetConvolution2dDescriptor",
                      "padding is negative, or a stride or dilation not positive");
    }
    descriptor->pad[0] = pad_h;
    descriptor->pad[1] = pad_w;
    std::copy(steps, steps + 2, descriptor->stride);
    std::copy(steps + 2, steps + 4, descriptor->dilation);
    descriptor->mode = mode;
    descriptor->compute = compute;
    descriptor->set = true;
    return CUDNN_STATUS_SUCCESS;
}

GRAFT_DNN cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t descriptor, int dimensions, const int pad[],
                                          const int stride[], const int dilation[], cudnnConvolutionMode_t mode,
                                          cudnnDataType_t compute) {
    if (!pad || !stride || !dilation) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (dimensions != 2)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "cudnnSetConvolutionNdDescriptor",
                      "other than two dimensions are not emulated");
    return cudnnSetConvolution2dDescriptor(descriptor, pad[0], pad[1], stride[0], stride[1], dilation[0], dilation[1], mode,
                                           compute);
}

GRAFT_DNN cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t descriptor, int groups) {
    if (!live<cudnnConvolutionStruct>().has(descriptor) || groups <= 0) return CUDNN_STATUS_BAD_PARAM;
    descriptor->groups = groups;
    return CUDNN_STATUS_SUCCESS;
}

GRAFT_DNN cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t descriptor, cudnnMathType_t math) {
    if (!live<cudnnConvolutionStruct>().has(descriptor)) return CUDNN_STATUS_BAD_PARAM;
    descriptor->math = math;
    return CUDNN_STATUS_SUCCESS;
}

GRAFT_DNN cudnnGetConvolution2dForwardOutputDim(cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t x,
                                                cudnnFilterDescriptor_t w, int *n, int *c, int *height, int *breadth) {
    int size[4];
    if (!usable(convolution) || !usable(x) || !usable(w) || !n || !c || !height || !breadth) return CUDNN_STATUS_BAD_PARAM;
    if (!output_size(*convolution, *x, *w, size)) return CUDNN_STATUS_BAD_PARAM;
    *n = size[0];
    *c = size[1];
    *height = size[2];
    *breadth = size[3];
    return CUDNN_STATUS_SUCCESS;
}

#define NOT_EMULATED(name)                                                                  \
    extern "C" __attribute__((visibility("default"))) int graft_no_##name() __asm__(#name); \
    int graft_no_##name() {                                                                 \
        graft_emulated_say(#name " is not emulated");                                       \
        return CUDNN_STATUS_NOT_SUPPORTED;                                                  \
    }
NOT_EMULATED(cudnnActivationForward)
NOT_EMULATED(cudnnConvolutionBiasActivationForward)
NOT_EMULATED(cudnnCreateActivationDescriptor)
NOT_EMULATED(cudnnDestroyActivationDescriptor)
NOT_EMULATED(cudnnCreatePoolingDescriptor)
NOT_EMULATED(cudnnDestroyPoolingDescriptor)
NOT_EMULATED(cudnnCreateReduceTensorDescriptor)
NOT_EMULATED(cudnnDestroyReduceTensorDescriptor)
NOT_EMULATED(cudnnGetReductionIndicesSize)
NOT_EMULATED(cudnnGetReductionWorkspaceSize)
NOT_EMULATED(cudnnPoolingForward)
NOT_EMULATED(cudnnReduceTensor)
NOT_EMULATED(cudnnSetActivationDescriptor)
NOT_EMULATED(cudnnSetPoolingNdDescriptor)
NOT_EMULATED(cudnnSetReduceTensorDescriptor)
NOT_EMULATED(cudnnSoftmaxForward)
