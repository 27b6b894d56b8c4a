// What the emulator's tests share: the libraries' functions, checks, and arrays on the device.
#pragma once
#include <cublas_v2.h>
#include <cudnn.h>
#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern std::string folder;  // where the libraries are

// A function of one of the libraries, with the type that the call gives it.
void *symbol(const char *library, const char *name);

#define CU(name, ...) CUresult(call("libcuda.so.1", #name, __VA_ARGS__))
#define DNN(name, ...) cudnnStatus_t(call("libcudnn.so.9", #name, __VA_ARGS__))
#define BLAS(name, ...) cublasStatus_t(call("libcublas.so.13", #name, __VA_ARGS__))
template <class... A>
int call(const char *library, const char *name, A... arguments) {
    return reinterpret_cast<int (*)(A...)>(symbol(library, name))(arguments...);
}

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                             \
        }                                                                        \
    } while (0)
#define CHECK_EQUAL(found, expected)                                                                            \
    do {                                                                                                        \
        auto found_ = (found);                                                                                  \
        decltype(found_) expected_ = (expected);                                                                \
        if (!(found_ == expected_)) {                                                                           \
            printf("%s:%d: %s is %g, not %g\n", __FILE__, __LINE__, #found, double(found_), double(expected_)); \
            exit(1);                                                                                            \
        }                                                                                                       \
    } while (0)

// A context on device 0 with a stream, as cudarc makes them.
struct Machine {
    CUcontext context = nullptr;
    CUstream stream = nullptr;
    CUmodule module = nullptr;
    Machine();
    ~Machine();
    CUfunction kernel(const char *name);
    // Starts a kernel with blocks of these sizes.
    template <class... A>
    CUresult launch(const char *name, unsigned blocks, unsigned threads, A... arguments) {
        void *values[] = {&arguments..., nullptr};
        return CU(cuLaunchKernel, kernel(name), blocks, 1u, 1u, threads, 1u, 1u, 0u, stream, static_cast<void **>(values),
                  static_cast<void **>(nullptr));
    }
    void synchronize() { CHECK_EQUAL(CU(cuStreamSynchronize, stream), CUDA_SUCCESS); }
};

// The text that stands for the PTX of the tests' kernels.
extern const char *const PTX;

// An array on the device.
template <class T>
struct Array {
    Machine &machine;
    size_t count;
    T *address = nullptr;
    Array(Machine &machine, size_t count) : machine(machine), count(count) {
        CHECK_EQUAL(CU(cuMemAllocAsync, reinterpret_cast<CUdeviceptr *>(&address), count * sizeof(T), machine.stream),
                    CUDA_SUCCESS);
    }
    Array(Machine &machine, const std::vector<T> &values) : Array(machine, values.size()) {
        CHECK_EQUAL(CU(cuMemcpyHtoDAsync_v2, at(), static_cast<const void *>(values.data()), count * sizeof(T), machine.stream),
                    CUDA_SUCCESS);
    }
    ~Array() { CU(cuMemFreeAsync, at(), machine.stream); }
    CUdeviceptr at() const { return reinterpret_cast<CUdeviceptr>(address); }
    std::vector<T> read() const {
        std::vector<T> values(count);
        CHECK_EQUAL(CU(cuMemcpyDtoHAsync_v2, static_cast<void *>(values.data()), at(), count * sizeof(T), machine.stream),
                    CUDA_SUCCESS);
        machine.synchronize();
        return values;
    }
};

// Numbers between -1 and 1 that look random; the same for the same seed.
std::vector<float> noise(size_t count, unsigned seed);
// Each rounded to 16 bits and back.
float rounded(float value);
std::vector<uint16_t> halved(const std::vector<float> &values);
std::vector<float> doubled(const std::vector<uint16_t> &values);

struct Test {
    const char *name;
    void (*run)();
    std::vector<std::pair<const char *, const char *>> environment;
    int signal = 0;  // by which it must end
};
std::vector<Test> driver_tests();
std::vector<Test> kernel_tests();
std::vector<Test> convolution_tests();
std::vector<Test> product_tests();
