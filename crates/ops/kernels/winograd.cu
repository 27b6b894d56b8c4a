// Convolutions with kernels of 3 × 3 by Winograd's F(4 × 4, 3 × 3): the transforms around 36 products of matrices.
//
// Along one axis, six numbers stand for a polynomial by its values at 0, ∞, ±√½ and ±√2, in this order; a tile has 6 × 6
// of them. Maps are (n, height, width, channels), transformed tiles (piece, 36, tile, channels), transformed filters
// (36, outputs, channels): the same value of all tiles and channels is a matrix.
#include "columns.cuh"

#define SQRT_2 1.41421356237309505f
#define SQRT_HALF 0.70710678118654752f

// Numbers along an axis of a transformed tile, and of the outputs that come from it.
#define POINTS 6
#define OUTPUTS 4

// Threads of the blocks that transform tiles, and filters and values of those that form the filters' gradient.
#define TILE_BLOCK 128
#define FILTERS 32
#define VALUES 12

// Some of the tiles that maps are cut into, each OUTPUTS pixels from the next.
struct Tiles {
    Index first, end;              // The tiles, counted over all pictures.
    Index count, piece;            // As many are transformed, behind the end of zeros, and as many lie together.
    Index down, across;            // Tiles of a picture.
    Index height, width, channels; // Of the maps.
    Index top, left;               // How far the first tile reaches past the map's top left corner.
};

// V channels of one of the tiles.
template <int V> struct Tile {
    Index channel, picture, y, x; // Of the first pixel.
    Index value, stride;          // Where its first value lies, and the distance to the next one.
    bool exists;

    __device__ Tile(Index i, const Tiles &of) {
        const Index packs = V == 1 ? of.channels : of.channels / V;
        const Index own = quotient(i, packs), tile = of.first + own;
        const Index row = quotient(tile, of.across), piece = quotient(own, of.piece);
        channel = (i - own * packs) * V;
        picture = quotient(row, of.down);
        y = (row - picture * of.down) * OUTPUTS - of.top;
        x = (tile - row * of.across) * OUTPUTS - of.left;
        stride = of.piece * of.channels;
        value = piece * (POINTS * POINTS) * stride + (own - piece * of.piece) * of.channels + channel;
        exists = tile < of.end;
    }

    __device__ bool has(const Tiles &of, int i, int j) const {
        return exists && y + i >= 0 && y + i < of.height && x + j >= 0 && x + j < of.width;
    }

    __device__ Index pixel(const Tiles &of, int i, int j) const {
        return ((picture * of.height + y + i) * of.width + x + j) * of.channels + channel;
    }
};

// Bᵀ d: six pixels.
struct OfInput {
    static constexpr int PIXELS = POINTS;

    static __device__ void apply(const float (&d)[POINTS], float (&v)[POINTS]) {
        v[0] = fmaf(-2.5f, d[2], d[0] + d[4]);
        v[1] = fmaf(-2.5f, d[3], d[1] + d[5]);
        const float near_even = fmaf(-2.0f, d[2], d[4]), near_odd = fmaf(-2.0f, d[1], d[3]);
        v[2] = fmaf(SQRT_HALF, near_odd, near_even);
        v[3] = fmaf(-SQRT_HALF, near_odd, near_even);
        const float far_even = fmaf(-0.5f, d[2], d[4]), far_odd = fmaf(-0.5f, d[1], d[3]);
        v[4] = fmaf(SQRT_2, far_odd, far_even);
        v[5] = fmaf(-SQRT_2, far_odd, far_even);
    }
};

// A y: four gradients of outputs.
struct OfOutputGradient {
    static constexpr int PIXELS = OUTPUTS;

    static __device__ void apply(const float (&y)[OUTPUTS], float (&v)[POINTS]) {
        v[0] = y[0];
        v[1] = y[3];
        const float near_even = fmaf(0.5f, y[2], y[0]), near_odd = SQRT_HALF * fmaf(0.5f, y[3], y[1]);
        v[2] = near_even + near_odd;
        v[3] = near_even - near_odd;
        const float far_even = fmaf(2.0f, y[2], y[0]), far_odd = SQRT_2 * fmaf(2.0f, y[3], y[1]);
        v[4] = far_even + far_odd;
        v[5] = far_even - far_odd;
    }
};

// G g: three elements of a filter.
__device__ inline void of_filter(const float (&g)[3], float (&v)[POINTS]) {
    v[0] = g[0];
    v[1] = g[2];
    const float near_even = fmaf(-1.0f / 3.0f, g[2], -2.0f / 3.0f * g[0]), near_odd = -SQRT_2 / 3.0f * g[1];
    v[2] = near_even + near_odd;
    v[3] = near_even - near_odd;
    const float far_even = fmaf(1.0f / 3.0f, g[2], 1.0f / 6.0f * g[0]), far_odd = SQRT_2 / 6.0f * g[1];
    v[4] = far_even + far_odd;
    v[5] = far_even - far_odd;
}

// Aᵀ m: four outputs from six products.
__device__ inline void to_output(const float (&m)[POINTS], float (&y)[OUTPUTS]) {
    const float near_sum = m[2] + m[3], near_difference = m[2] - m[3];
    const float far_sum = m[4] + m[5], far_difference = m[4] - m[5];
    y[0] = m[0] + near_sum + far_sum;
    y[1] = fmaf(SQRT_2, far_difference, SQRT_HALF * near_difference);
    y[2] = fmaf(2.0f, far_sum, 0.5f * near_sum);
    y[3] = fmaf(2.0f * SQRT_2, far_difference, fmaf(0.5f * SQRT_HALF, near_difference, m[1]));
}

// Gᵀ s: three gradients of a filter's elements from six sums.
__device__ inline void to_filter_gradient(const float (&s)[POINTS], float (&g)[3]) {
    const float near_sum = s[2] + s[3], near_difference = s[2] - s[3];
    const float far_sum = s[4] + s[5], far_difference = s[4] - s[5];
    g[0] = fmaf(1.0f / 6.0f, far_sum, fmaf(-2.0f / 3.0f, near_sum, s[0]));
    g[1] = fmaf(SQRT_2 / 6.0f, far_difference, -SQRT_2 / 3.0f * near_difference);
    g[2] = fmaf(1.0f / 3.0f, far_sum - near_sum, s[1]);
}

// Transforms tiles of Transform::PIXELS squared pixels to 6 × 6 values.
template <typename Transform, int V> __device__ void transform_tiles(const float *maps, float *values, const Tiles &of) {
    const Index i = thread_index();
    if (i >= of.count * (of.channels / V)) return;
    const Tile<V> tile(i, of);
    constexpr int N = Transform::PIXELS;
    float rows[V][POINTS][N];
#pragma unroll
    for (int column = 0; column < N; column++) {
        float pixels[V][N];
#pragma unroll
        for (int row = 0; row < N; row++) {
            float pixel[V] = {};
            if (tile.has(of, row, column)) load<V>(maps + tile.pixel(of, row, column), pixel);
#pragma unroll
            for (int k = 0; k < V; k++) pixels[k][row] = pixel[k];
        }
#pragma unroll
        for (int k = 0; k < V; k++) {
            float points[POINTS];
            Transform::apply(pixels[k], points);
#pragma unroll
            for (int row = 0; row < POINTS; row++) rows[k][row][column] = points[row];
        }
    }
    float *to = values + tile.value;
#pragma unroll
    for (int row = 0; row < POINTS; row++) {
        float points[V][POINTS];
#pragma unroll
        for (int k = 0; k < V; k++) Transform::apply(rows[k][row], points[k]);
#pragma unroll
        for (int column = 0; column < POINTS; column++) {
            float value[V];
#pragma unroll
            for (int k = 0; k < V; k++) value[k] = points[k][column];
            store<V>(to, value);
            to += tile.stride;
        }
    }
}

// Transforms tiles of 6 × 6 products to 4 × 4 outputs, and adds the bias.
template <int V>
__device__ void transform_products(const float *products, const float *bias, float *maps, const Tiles &of) {
    const Index i = thread_index();
    if (i >= of.count * (of.channels / V)) return;
    const Tile<V> tile(i, of);
    float rows[V][OUTPUTS][POINTS];
#pragma unroll
    for (int column = 0; column < POINTS; column++) {
        float points[V][POINTS];
#pragma unroll
        for (int row = 0; row < POINTS; row++) {
            float product[V];
            load<V>(products + tile.value + (row * POINTS + column) * tile.stride, product);
#pragma unroll
            for (int k = 0; k < V; k++) points[k][row] = product[k];
        }
#pragma unroll
        for (int k = 0; k < V; k++) {
            float outputs[OUTPUTS];
            to_output(points[k], outputs);
#pragma unroll
            for (int row = 0; row < OUTPUTS; row++) rows[k][row][column] = outputs[row];
        }
    }
    float shift[V] = {};
    if (bias) load<V>(bias + tile.channel, shift);
#pragma unroll
    for (int row = 0; row < OUTPUTS; row++) {
        float outputs[V][OUTPUTS];
#pragma unroll
        for (int k = 0; k < V; k++) to_output(rows[k][row], outputs[k]);
#pragma unroll
        for (int column = 0; column < OUTPUTS; column++) {
            float output[V];
#pragma unroll
            for (int k = 0; k < V; k++) output[k] = outputs[k][column] + shift[k];
            if (tile.has(of, row, column)) store<V>(maps + tile.pixel(of, row, column), output);
        }
    }
}

extern "C" __global__ void __launch_bounds__(TILE_BLOCK)
    winograd_input(const float *x, float *values, Tiles of, int wide) {
    if (wide) transform_tiles<OfInput, 2>(x, values, of);
    else transform_tiles<OfInput, 1>(x, values, of);
}

extern "C" __global__ void __launch_bounds__(TILE_BLOCK)
    winograd_output_gradient(const float *dy, float *values, Tiles of, int wide) {
    if (wide) transform_tiles<OfOutputGradient, 2>(dy, values, of);
    else transform_tiles<OfOutputGradient, 1>(dy, values, of);
}

extern "C" __global__ void __launch_bounds__(TILE_BLOCK)
    winograd_output(const float *products, const float *bias, float *y, Tiles of, int wide) {
    if (wide) transform_products<2>(products, bias, y, of);
    else transform_products<1>(products, bias, y, of);
}

// Transforms `n` filters of 3 × 3, turned around if asked; value k of filter i is values[k · n + i].
extern "C" __global__ void winograd_filter(const float *weight, float *values, Index n, int turned) {
    const Index i = thread_index();
    if (i >= n) return;
    const float *filter = weight + i * 9;
    float rows[POINTS][3];
#pragma unroll
    for (int column = 0; column < 3; column++) {
        float elements[3], points[POINTS];
#pragma unroll
        for (int row = 0; row < 3; row++) {
            const int element = row * 3 + column;
            elements[row] = filter[turned ? 8 - element : element];
        }
        of_filter(elements, points);
#pragma unroll
        for (int row = 0; row < POINTS; row++) rows[row][column] = points[row];
    }
#pragma unroll
    for (int row = 0; row < POINTS; row++) {
        float points[POINTS];
        of_filter(rows[row], points);
#pragma unroll
        for (int column = 0; column < POINTS; column++) values[(row * POINTS + column) * n + i] = points[column];
    }
}

// The gradients of `n` filters from the sums (pieces, 36, n) of all pieces. Blocks are FILTERS filters by VALUES values.
extern "C" __global__ void __launch_bounds__(FILTERS *VALUES)
    winograd_filter_gradient(const float *partial, float *gradient, Index n, Index pieces) {
    __shared__ float sums[POINTS * POINTS][FILTERS];
    const Index i = (Index)blockIdx.x * FILTERS + threadIdx.x;
    for (int value = threadIdx.y; value < POINTS * POINTS; value += VALUES) {
        float sum = 0;
        if (i < n) {
            for (Index piece = 0; piece < pieces; piece++) sum += partial[(piece * (POINTS * POINTS) + value) * n + i];
        }
        sums[value][threadIdx.x] = sum;
    }
    __syncthreads();
    if (threadIdx.y != 0 || i >= n) return;
    float rows[3][POINTS];
#pragma unroll
    for (int column = 0; column < POINTS; column++) {
        float points[POINTS], elements[3];
#pragma unroll
        for (int row = 0; row < POINTS; row++) points[row] = sums[row * POINTS + column][threadIdx.x];
        to_filter_gradient(points, elements);
#pragma unroll
        for (int row = 0; row < 3; row++) rows[row][column] = elements[row];
    }
#pragma unroll
    for (int row = 0; row < 3; row++) {
        float elements[3];
        to_filter_gradient(rows[row], elements);
#pragma unroll
        for (int column = 0; column < 3; column++) gradient[i * 9 + row * 3 + column] = elements[column];
    }
}
