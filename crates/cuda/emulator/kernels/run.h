// Runs the blocks of a grid, thread by thread.
#pragma once
#include "entry.h"

namespace graft {

// Calls `body(data)` once for every thread of the grid, with threadIdx and blockIdx set.
const char *run_grid(const KernelEntry &kernel, Dimensions grid, Dimensions block, void (*body)(void *), void *data);

}  // namespace graft
