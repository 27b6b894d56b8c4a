// Runs the emulator's tests, each in a process of its own: emulator-test FOLDER [NAME]
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

std::string folder;

void *symbol(const char *library, const char *name) {
    void *opened = dlopen((folder + "/" + library).c_str(), RTLD_NOW | RTLD_LOCAL);
    void *found = opened ? dlsym(opened, name) : nullptr;
    if (!found) {
        printf("%s\n", dlerror());
        exit(1);
    }
    return found;
}

// Without parameters none of the sizes are compared; the one that has them is compared.
const char *const PTX =
    "// for tests\n.version 8.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry scale(\n\t.param .u64 .ptr .align 1 scale_param_0,\n\t.param .u64 scale_param_1,\n"
    "\t.param .f32 scale_param_2,\n\t.param .u32 scale_param_3\n)\n{ ret; }\n"
    ".visible .entry block_sums(\n\t.param .u64 a,\n\t.param .u64 b,\n\t.param .u64 c\n)\n.maxntid 128\n{ ret; }\n"
    ".visible .entry extremes(.param .u64 a, .param .u64 b, .param .u64 c) { ret; }\n"
    ".visible .entry transpose(.param .u64 a, .param .u64 b, .param .u32 c, .param .u32 d) { ret; }\n"
    ".visible .entry to_bf16(.param .u64 a, .param .u64 b, .param .u32 c) { ret; }\n"
    ".visible .entry from_bf16(.param .u64 a, .param .u64 b, .param .u32 c) { ret; }\n"
    ".visible .entry arguments(.param .u64 y, .param .u8 a, .param .u16 b, .param .align 8 .b8 s[32],\n"
    ".param .f64 c, .param .align 16 .b8 d[16]) { ret; }\n"
    ".visible .entry reads_shared_before_writing(.param .u64 y) { ret; }\n"
    ".visible .entry half_wait(.param .u64 y) { ret; }\n"
    ".visible .entry wait_apart(.param .u64 y) { ret; }\n"
    ".visible .entry misses_barrier(.param .u64 y) { ret; }\n"
    ".visible .entry writes_behind(.param .u64 y, .param .u32 n) { ret; }\n"
    ".visible .entry of_no_library(.param .u64 y) { ret; }\n";

Machine::Machine() {
    CHECK_EQUAL(CU(cuInit, 0u), CUDA_SUCCESS);
    CUdevice device;
    CHECK_EQUAL(CU(cuDeviceGet, &device, 0), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuDevicePrimaryCtxRetain, &context, device), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuCtxSetCurrent, context), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuStreamCreate, &stream, 1u), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuModuleLoadData, &module, static_cast<const void *>(PTX)), CUDA_SUCCESS);
}

Machine::~Machine() {
    CU(cuModuleUnload, module);
    CU(cuStreamDestroy_v2, stream);
    CU(cuDevicePrimaryCtxRelease_v2, 0);
}

CUfunction Machine::kernel(const char *name) {
    CUfunction function;
    CHECK_EQUAL(CU(cuModuleGetFunction, &function, module, name), CUDA_SUCCESS);
    return function;
}

std::vector<float> noise(size_t count, unsigned seed) {
    std::vector<float> values(count);
    for (float &value : values) {
        seed = seed * 1664525u + 1013904223u;
        value = float(seed >> 8) / 8388608.0f - 1.0f;
    }
    return values;
}

// By trying the numbers of 16 bits on both sides, apart from the emulator's own way.
float rounded(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    auto number = [](uint32_t raw) {
        float result;
        memcpy(&result, &raw, 4);
        return result;
    };
    uint32_t below = bits & 0xffff0000u, above = below + 0x10000u;
    double down = std::fabs(double(value) - number(below)), up = std::fabs(double(number(above)) - value);
    if (down < up) return number(below);
    if (up < down) return number(above);
    return number(below & 0x10000u ? above : below);
}
std::vector<uint16_t> halved(const std::vector<float> &values) {
    std::vector<uint16_t> result;
    for (float value : values) {
        float near = rounded(value);
        uint32_t bits;
        memcpy(&bits, &near, 4);
        result.push_back(uint16_t(bits >> 16));
    }
    return result;
}
std::vector<float> doubled(const std::vector<uint16_t> &values) {
    std::vector<float> result(values.size());
    for (size_t at = 0; at < values.size(); at++) {
        uint32_t bits = uint32_t(values[at]) << 16;
        memcpy(&result[at], &bits, 4);
    }
    return result;
}

static bool passes(const Test &test) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setenv("GRAFT_EMULATED_KERNELS", (folder + "/test/libgraft_kernels_test.so").c_str(), 1);
        for (auto &[name, value] : test.environment) setenv(name, value, 1);
        test.run();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (test.signal) return WIFSIGNALED(status) && WTERMSIG(status) == test.signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int count, char **values) {
    if (count < 2) return 2;
    folder = values[1];
    int failed = 0, run = 0;
    for (auto tests : {driver_tests(), kernel_tests(), convolution_tests(), product_tests()}) {
        for (const Test &test : tests) {
            if (count > 2 && strcmp(values[2], test.name) != 0) continue;
            bool good = passes(test);
            printf("%s %s\n", good ? "ok    " : "FAILED", test.name);
            run++;
            failed += !good;
        }
    }
    printf("%d of %d tests of the emulator failed\n", failed, run);
    return failed > 0 || run == 0;
}
