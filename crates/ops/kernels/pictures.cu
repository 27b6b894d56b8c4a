// Pictures, bytes (rows, columns, 3), to inputs of a network: resized with Pillow's filter, mirrored, normalised, erased in part.
//
// What is to be done comes in one block of memory: a `PictureView` for each picture, behind those the tables of the filters as
// 32-bit numbers. Bytes are those of the CPU's way (crates/data/src/transform/filter.rs): sums of whole numbers.
#include "common.cuh"

// Fractional bits of the filters' factors.
#define PICTURE_BITS 22

// One direction of a resize, or a copy.
struct PicturePass {
    Index from;                     // address of the first pixel
    Index pitch;                    // bytes from row to row there
    Index bounds, factors, stride;  // tables: from and to which pixel, and `stride` factors, of each place; bounds < 0: a copy
    Index down;                     // whether the filter runs down the columns
};

struct PictureView {
    PicturePass first;                               // to the bytes between, if there are any
    PicturePass second;                              // to the input
    Index between, row, rows;                        // where those between begin, how many bytes a row has, and how many rows
    Index left, top, width, height;                  // where the result lies in the input before that is mirrored; black around
    Index mirrored;                                  // left to right
    Index erased_x, erased_width, erased_y, erased_height;
};

// The byte `at` of row `y` of what a pass makes.
__device__ inline int picture_byte(const PicturePass &pass, const int *tables, int y, int at) {
    const uint8_t *from = reinterpret_cast<const uint8_t *>(pass.from);
    if (pass.bounds < 0) return from[y * pass.pitch + at];
    const int x = at / 3;
    const int place = pass.down ? y : x;
    const Index step = pass.down ? pass.pitch : 3;
    const int *bounds = tables + pass.bounds + 2 * place;
    const int *factors = tables + pass.factors + place * pass.stride;
    const int start = bounds[0], count = bounds[1] - start;
    from += start * step + (pass.down ? at : y * pass.pitch + (at - 3 * x));
    int sum = 1 << (PICTURE_BITS - 1);
    for (int k = 0; k < count; k++) sum += from[k * step] * factors[k];
    return min(max(sum >> PICTURE_BITS, 0), 255);
}

// The bytes between the two directions, of the pictures that are resized in both. One column of blocks for each picture.
extern "C" __global__ void picture_between(const PictureView *views, uint8_t *between) {
    const PictureView view = views[blockIdx.x];
    const int *tables = reinterpret_cast<const int *>(views);
    const Index n = view.row * view.rows;
    for (Index i = (Index)blockIdx.y * BLOCK + threadIdx.x; i < n; i += (Index)gridDim.y * BLOCK) {
        const Index y = quotient(i, view.row);
        between[view.between + i] = (uint8_t)picture_byte(view.first, tables, (int)y, (int)(i - y * view.row));
    }
}

// Inputs (n, size, size, 3). `values` has what each byte becomes, (3, 256). One column of blocks for each picture.
template <typename T>
__device__ void picture_inputs(const PictureView *views, const float *values, T *inputs, int size) {
    const PictureView view = views[blockIdx.x];
    const int *tables = reinterpret_cast<const int *>(views);
    const int n = 3 * size * size;
    T *input = inputs + (Index)blockIdx.x * n;
    for (int i = blockIdx.y * BLOCK + threadIdx.x; i < n; i += gridDim.y * BLOCK) {
        const int pixel = i / 3, c = i - 3 * pixel;
        const int row = pixel / size, column = pixel - row * size;
        const Index in_x = column - view.erased_x, in_y = row - view.erased_y;
        float value = 0.0f;
        if (in_x < 0 || in_x >= view.erased_width || in_y < 0 || in_y >= view.erased_height) {
            const Index x = (view.mirrored ? size - 1 - column : column) - view.left, y = row - view.top;
            int byte = 0;
            if (x >= 0 && x < view.width && y >= 0 && y < view.height) {
                byte = picture_byte(view.second, tables, (int)y, (int)(3 * x + c));
            }
            value = values[256 * c + byte];
        }
        input[i] = narrow<T>(value);
    }
}

#define DEFINE(SUFFIX, T)                                                                                     \
    extern "C" __global__ void picture_inputs_##SUFFIX(const PictureView *views, const float *values,        \
                                                       T *inputs, int size) {                                \
        picture_inputs(views, values, inputs, size);                                                         \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
