// The arithmetic of convolutions, through products of patches with weights.
#pragma once
#include "cudnn_descriptors.h"

namespace graft {

enum class Pass { Forward, BackwardData, BackwardFilter };

// A convolution with its arrays. Of `x`, `w` and `y` the pass writes one: y forwards, else the gradient of x or of w, as
// alpha times the result plus beta times what was there (which is not read where beta is 0).
struct Convolution {
    Pass pass;
    cudnnTensorStruct x, y;
    cudnnFilterStruct w;
    cudnnConvolutionStruct shape;
    void *x_start, *w_start, *y_start;
    float alpha, beta;
    bool rounds;  // factors to TF32
    bool nudges;  // changes some results in their last bit, as sums in another order would

    void compute() const;
};

}  // namespace graft
