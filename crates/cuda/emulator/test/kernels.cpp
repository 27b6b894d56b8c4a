// What runs kernels: indices, barriers, exchanges within warps, arguments, and what is refused.
#include "test.h"

static void plain_loops() {
    Machine machine;
    std::vector<float> values = noise(1000, 2);
    Array<float> x(machine, values), y(machine, 1000);
    CHECK_EQUAL(machine.launch("scale", 8, 128, x.at(), y.at(), 3.0f, 1000), CUDA_SUCCESS);
    auto found = y.read();
    for (size_t at = 0; at < 1000; at++) CHECK_EQUAL(found[at], values[at] * 3.0f);
}

static void barriers_and_shuffles() {
    Machine machine;
    std::vector<float> values = noise(1000, 4);
    Array<float> x(machine, values), sums(machine, 8);
    CHECK_EQUAL(machine.launch("block_sums", 8, 128, x.at(), sums.at(), 1000LL), CUDA_SUCCESS);
    auto found = sums.read();
    for (size_t block = 0; block < 8; block++) {
        double sum = 0;
        for (size_t at = block * 128; at < std::min(size_t(1000), block * 128 + 128); at++) sum += values[at];
        CHECK(std::fabs(found[block] - sum) < 1e-5);
    }
}

static void votes_and_exchanges() {
    Machine machine;
    std::vector<float> values = noise(256, 5);
    Array<float> x(machine, values), greatest(machine, 256);
    Array<int> above(machine, 256);
    CHECK_EQUAL(machine.launch("extremes", 1, 256, x.at(), greatest.at(), above.at()), CUDA_SUCCESS);
    auto found = greatest.read();
    auto counts = above.read();
    int positive = 0;
    for (float value : values) positive += value > 0;
    for (size_t at = 0; at < 256; at++) {
        float most = -2;
        for (size_t lane = 0; lane < 32; lane++) most = std::max(most, values[at / 32 * 32 + lane]);
        CHECK_EQUAL(found[at], most);
        CHECK_EQUAL(counts[at], positive);
    }
}

static void two_dimensions() {
    Machine machine;
    const int rows = 37, columns = 50;
    std::vector<float> values = noise(rows * columns, 6);
    Array<float> x(machine, values), y(machine, rows * columns);
    auto at_x = x.at(), at_y = y.at();
    int r = rows, c = columns;
    void *arguments[] = {&at_x, &at_y, &r, &c};
    CHECK_EQUAL(CU(cuLaunchKernel, machine.kernel("transpose"), 4u, 3u, 1u, 16u, 16u, 1u, 0u, machine.stream,
                   static_cast<void **>(arguments), static_cast<void **>(nullptr)),
                CUDA_SUCCESS);
    auto found = y.read();
    for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++)
            CHECK_EQUAL(found[size_t(column * rows + row)], values[size_t(row * columns + column)]);
    }
}

static void sixteen_bits() {
    Machine machine;
    std::vector<float> values = noise(4096, 7);
    for (size_t at = 0; at < 64; at++) values[at] = 1.0f + float(at) / 256.0f;  // many of them halfway between two
    values[64] = 3.4e38f;
    Array<float> x(machine, values), back(machine, 4096);
    Array<uint16_t> y(machine, 4096);
    CHECK_EQUAL(machine.launch("to_bf16", 3, 64, x.at(), y.at(), 4096), CUDA_SUCCESS);
    CHECK_EQUAL(machine.launch("from_bf16", 3, 64, y.at(), back.at(), 4096), CUDA_SUCCESS);
    auto found = back.read();
    for (size_t at = 0; at < 4096; at++) {
        if (at == 64)
            CHECK(std::isinf(found[at]));
        else
            CHECK_EQUAL(found[at], rounded(values[at]));
    }
    Array<float> odd(machine, std::vector<float>{NAN, -INFINITY, -0.0f});
    CHECK_EQUAL(machine.launch("to_bf16", 1, 32, odd.at(), y.at(), 3), CUDA_SUCCESS);
    auto bits = y.read();
    CHECK_EQUAL(bits[0], 0x7fff);
    CHECK_EQUAL(bits[1], 0xff80);
    CHECK_EQUAL(bits[2], 0x8000);
}

static void arguments_of_all_sizes() {
    struct Sizes {
        long long size[3];
        char kind;
    } sizes = {{10, 20, 30}, 40};
    struct alignas(16) Four {
        float values[4];
    } four = {{0.5f, 0.25f, 0.125f, 1.0f}};
    Machine machine;
    Array<double> y(machine, 1);
    CHECK_EQUAL(machine.launch("arguments", 1, 32, y.at(), char(-1), short(300), sizes, 1000.5, four), CUDA_SUCCESS);
    CHECK_EQUAL(y.read()[0], -1 + 300 + 10 + 20 + 30 + 40 + 1000.5 + 1.875);
}

static void shared_memory_is_not_zero() {
    Machine machine;
    Array<float> y(machine, 64);
    for (int time = 0; time < 2; time++) {
        CHECK_EQUAL(machine.launch("reads_shared_before_writing", 2, 64, y.at()), CUDA_SUCCESS);
        for (float value : y.read()) CHECK(std::isnan(value));
    }
}

// With threads from first to last half of the pairs are missed, the other way round the other half.
static void missing_barriers_show() {
    Machine machine;
    Array<float> y(machine, 64);
    const char *order = getenv("GRAFT_EMULATED_ORDER");
    size_t early = order ? 1 : 0;
    CHECK_EQUAL(machine.launch("misses_barrier", 1, 64, y.at()), CUDA_SUCCESS);
    auto found = y.read();
    for (size_t at = 0; at < 64; at++) {
        if (at % 2 == early)
            CHECK(std::isnan(found[at]));
        else
            CHECK_EQUAL(found[at], float(at ^ 1));
    }
}

static void limits_of_launches() {
    Machine machine;
    Array<float> x(machine, noise(10, 8));
    CHECK_EQUAL(machine.launch("scale", 0, 32, x.at(), x.at(), 1.0f, 10), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(machine.launch("scale", 1, 1025, x.at(), x.at(), 1.0f, 10), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(machine.launch("block_sums", 1, 256, x.at(), x.at(), 10LL), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(CU(cuLaunchKernel, machine.kernel("half_wait"), 1u, 65536u, 1u, 1u, 1u, 1u, 0u, machine.stream,
                   static_cast<void **>(nullptr), static_cast<void **>(nullptr)),
                CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(machine.launch("scale", 1, 32, x.at(), x.at(), 1.0f, 10), CUDA_SUCCESS);
    CHECK_EQUAL(machine.launch("scale", 1, 32, x.at() + 4096, x.at(), 1.0f, 10), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_EQUAL(CU(cuStreamSynchronize, machine.stream), CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void freed_memory_is_refused() {
    Machine machine;
    CUdeviceptr freed;
    {
        Array<float> x(machine, 1 << 20);
        freed = x.at();
    }
    CHECK_EQUAL(machine.launch("scale", 1, 32, freed, freed, 1.0f, 10), CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void unaligned_pointers_are_refused() {
    Machine machine;
    Array<float> x(machine, noise(10, 8));
    CHECK_EQUAL(machine.launch("scale", 1, 32, x.at() + 2, x.at(), 1.0f, 4), CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void barriers_for_some() {
    Machine machine;
    Array<float> y(machine, 64);
    CHECK_EQUAL(machine.launch("half_wait", 1, 64, y.at()), CUDA_ERROR_LAUNCH_FAILED);
    CHECK_EQUAL(CU(cuStreamSynchronize, machine.stream), CUDA_ERROR_LAUNCH_FAILED);
}

static void barriers_apart() {
    Machine machine;
    Array<float> y(machine, 64);
    CHECK_EQUAL(machine.launch("wait_apart", 1, 64, y.at()), CUDA_ERROR_LAUNCH_FAILED);
}

// Failures in a stream's thread are seen later, as with a real device.
static void failures_later() {
    Machine machine;
    Array<float> y(machine, 64);
    CHECK_EQUAL(machine.launch("half_wait", 1, 64, y.at()), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuStreamSynchronize, machine.stream), CUDA_ERROR_LAUNCH_FAILED);
}

std::vector<Test> kernel_tests() {
    return {
        {"plain_loops", plain_loops, {}},
        {"barriers_and_shuffles", barriers_and_shuffles, {}},
        {"barriers_and_shuffles_reversed", barriers_and_shuffles, {{"GRAFT_EMULATED_ORDER", "reverse"}}},
        {"votes_and_exchanges", votes_and_exchanges, {}},
        {"votes_and_exchanges_reversed", votes_and_exchanges, {{"GRAFT_EMULATED_ORDER", "reverse"}}},
        {"two_dimensions", two_dimensions, {}},
        {"two_dimensions_in_threads", two_dimensions, {{"GRAFT_EMULATED_ASYNC", "1"}}},
        {"sixteen_bits", sixteen_bits, {}},
        {"arguments_of_all_sizes", arguments_of_all_sizes, {}},
        {"shared_memory_is_not_zero", shared_memory_is_not_zero, {}},
        {"missing_barriers_show", missing_barriers_show, {}},
        {"missing_barriers_show_reversed", missing_barriers_show, {{"GRAFT_EMULATED_ORDER", "reverse"}}},
        {"limits_of_launches", limits_of_launches, {}},
        {"freed_memory_is_refused", freed_memory_is_refused, {}},
        {"unaligned_pointers_are_refused", unaligned_pointers_are_refused, {}},
        {"barriers_for_some", barriers_for_some, {}},
        {"barriers_apart", barriers_apart, {}},
        {"failures_later", failures_later, {{"GRAFT_EMULATED_ASYNC", "1"}}},
    };
}
