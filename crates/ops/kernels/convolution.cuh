// The sizes of a convolution, and which of its pixels meet.
#pragma once

#include "common.cuh"

// A convolution of maps (n, height, width, channels) with a weight (outputs, channels / groups, kernel_y, kernel_x).
struct Convolution {
    Index n, height, width, channels, out_height, out_width, outputs, groups;
    Index kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
};

// The place of the output at which element k of the kernel meets `place` of the input, or −1.
__device__ inline Index output_at(Index place, Index k, Index stride, Index padding, Index dilation, Index outputs) {
    const Index from = place + padding - k * dilation;
    if (from < 0) return -1;
    const Index output = stride == 1 ? from : quotient(from, stride);
    return output * stride == from && output < outputs ? output : -1;
}
