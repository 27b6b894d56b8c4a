// What the library of kernels tells the driver about each of them.
#pragma once
#include <cstddef>

namespace graft {

struct Dimensions {
    unsigned x, y, z;
    size_t count() const { return size_t(x) * y * z; }
};

// An argument of a kernel; of pointers also the alignment of what they point to.
struct Argument {
    size_t size, alignment;
    bool pointer;
    size_t pointee_alignment;
};

struct KernelEntry {
    const char *name;
    unsigned bound;  // of __launch_bounds__, 1024 without
    size_t count;
    const Argument *arguments;
    // Runs a grid. `values` are pointers to the arguments. A text describes what went wrong, null if nothing did.
    const char *(*run)(const KernelEntry &self, Dimensions grid, Dimensions block, void **values);
};

}  // namespace graft
