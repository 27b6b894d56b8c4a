// What cuDNN's handles and descriptors hold.
#pragma once
#include <cudnn.h>

#include <cstddef>
#include <cstdint>

#include "../driver/hooks.h"

#define GRAFT_DNN GRAFT_EXPORT cudnnStatus_t

struct cudnnContext {
    CUstream stream = nullptr;
};
struct cudnnTensorStruct {
    bool set = false;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    int size[4] = {};    // n, c, h, w
    int stride[4] = {};  // in elements
};
struct cudnnFilterStruct {
    bool set = false;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW;
    int size[4] = {};  // outputs, inputs of a group, rows, columns
};
struct cudnnConvolutionStruct {
    bool set = false;
    int pad[2] = {}, stride[2] = {1, 1}, dilation[2] = {1, 1}, groups = 1;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

namespace graft {

// Whether these are live, and descriptors have been set.
bool usable(cudnnHandle_t handle);
bool usable(cudnnTensorDescriptor_t descriptor);
bool usable(cudnnFilterDescriptor_t descriptor);
bool usable(cudnnConvolutionDescriptor_t descriptor);

size_t width(cudnnDataType_t type);
// Strides of a tensor or filter of these sizes without gaps.
void packed(cudnnTensorFormat_t format, const int size[4], int stride[4]);
// Elements from the first to the last.
size_t extent(const int size[4], const int stride[4]);
// Says on standard error what is wrong with a call, and answers `status`.
cudnnStatus_t refuse(cudnnStatus_t status, const char *call, const char *reason);
// The sizes that a convolution's output must have; false where there is none.
bool output_size(const cudnnConvolutionStruct &convolution, const cudnnTensorStruct &x, const cudnnFilterStruct &w,
                 int size[4]);

}  // namespace graft
