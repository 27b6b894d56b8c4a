// Loops over maps seen as a matrix: one row per pixel, one column per channel.
//
// A block is (across, down) threads, together BLOCK of them. Each thread has V neighbouring channels of its own and goes
// over rows, so that what it has to know of its channels stays in registers. Blocks along x share out the channels.
#pragma once

#include "common.cuh"

template <int V, typename T> __device__ inline void load(const T *from, float (&to)[V]) {
    const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V> *>(from);
    for (int k = 0; k < V; k++) to[k] = widen(pack.v[k]);
}

template <int V, typename T> __device__ inline void store(T *to, const float (&from)[V]) {
    Pack<T, V> pack;
    for (int k = 0; k < V; k++) pack.v[k] = narrow<T>(from[k]);
    *reinterpret_cast<Pack<T, V> *>(to) = pack;
}

// The first channel of this thread.
template <int V> __device__ inline Index own_channel() { return ((Index)blockIdx.x * blockDim.x + threadIdx.x) * V; }

// Calls visit(row) for the rows of this thread, all blocks along y together having all.
template <typename Visit> __device__ void for_own_rows(Index rows, Visit &visit) {
    const Index step = (Index)gridDim.y * blockDim.y;
    for (Index row = (Index)blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += step) visit(row);
}

// Memory of a block for two doubles for each of four channels of all threads. One array for all that is compiled from here.
__device__ inline double *block_sums() {
    __shared__ double sums[2 * BLOCK * 4];
    return sums;
}

// Two sums for each channel over the `chunk` rows of each block along y: partial[block][2][c]. term(row, a, b) says what is
// added for this thread's channels. Short runs, of Term::RUN rows, are added up as floats, and their sums in double precision.
template <int V, typename Term>
__device__ void two_sums(Index rows, Index c, Index chunk, double *partial, Term &term) {
    constexpr int RUN = Term::RUN;
    const Index channel = own_channel<V>();
    double first[V], second[V];
    for (int k = 0; k < V; k++) first[k] = second[k] = 0;
    if (channel < c) {
        const Index begin = (Index)blockIdx.y * chunk;
        const Index end = begin + chunk < rows ? begin + chunk : rows;
        const Index step = blockDim.y;
        Index row = begin + threadIdx.y;
        for (; row + (RUN - 1) * step < end; row += RUN * step) {
            float a[RUN][V], b[RUN][V];
#pragma unroll
            for (int r = 0; r < RUN; r++) term(row + r * step, a[r], b[r]);
            for (int k = 0; k < V; k++) {
                float sum_a = 0, sum_b = 0;
                for (int r = 0; r < RUN; r++) {
                    sum_a += a[r][k];
                    sum_b += b[r][k];
                }
                first[k] += sum_a;
                second[k] += sum_b;
            }
        }
        for (; row < end; row += step) {
            float a[V], b[V];
            term(row, a, b);
            for (int k = 0; k < V; k++) {
                first[k] += a[k];
                second[k] += b[k];
            }
        }
    }
    double *sums_a = block_sums(), *sums_b = sums_a + BLOCK * V;
    const int own = (threadIdx.y * blockDim.x + threadIdx.x) * V;
    for (int k = 0; k < V; k++) {
        sums_a[own + k] = first[k];
        sums_b[own + k] = second[k];
    }
    __syncthreads();
    if (threadIdx.y == 0 && channel < c) {
        double *out = partial + (Index)blockIdx.y * 2 * c + channel;
        for (int k = 0; k < V; k++) {
            double total_a = 0, total_b = 0;
            for (int y = 0; y < (int)blockDim.y; y++) {
                total_a += sums_a[(y * blockDim.x + threadIdx.x) * V + k];
                total_b += sums_b[(y * blockDim.x + threadIdx.x) * V + k];
            }
            out[k] = total_a;
            out[c + k] = total_b;
        }
    }
}

// Channels and lanes of the blocks that add up what two_sums left: (FINISHED, LANES) threads.
#define FINISHED 8
#define LANES 32

// The sums of one channel over all `chunks` blocks, for the threads with threadIdx.y == 0; the others only help.
__device__ inline void finish_two_sums(const double *partial, Index chunks, Index c, double &first, double &second) {
    __shared__ double sums[2][LANES][FINISHED];
    const Index channel = (Index)blockIdx.x * FINISHED + threadIdx.x;
    double a = 0, b = 0;
    if (channel < c) {
        for (Index chunk = threadIdx.y; chunk < chunks; chunk += LANES) {
            a += partial[chunk * 2 * c + channel];
            b += partial[chunk * 2 * c + c + channel];
        }
    }
    sums[0][threadIdx.y][threadIdx.x] = a;
    sums[1][threadIdx.y][threadIdx.x] = b;
    __syncthreads();
    first = second = 0;
    if (threadIdx.y == 0) {
        for (int lane = 0; lane < LANES; lane++) {
            first += sums[0][lane][threadIdx.x];
            second += sums[1][lane][threadIdx.x];
        }
    }
}
