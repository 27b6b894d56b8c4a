// The driver: devices, contexts, streams, memory.
#include <csignal>

#include "test.h"

static void without_a_device() {
    CHECK_EQUAL(CU(cuInit, 0u), CUDA_ERROR_NO_DEVICE);
    int count;
    CHECK_EQUAL(CU(cuDeviceGetCount, &count), CUDA_ERROR_NOT_INITIALIZED);
}

static void devices_and_contexts() {
    int count, value;
    CUcontext context;
    CHECK_EQUAL(CU(cuDeviceGetCount, &count), CUDA_ERROR_NOT_INITIALIZED);
    CHECK_EQUAL(CU(cuInit, 0u), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuDeviceGetCount, &count), CUDA_SUCCESS);
    CHECK_EQUAL(count, 2);
    CUdevice device;
    CHECK_EQUAL(CU(cuDeviceGet, &device, 2), CUDA_ERROR_INVALID_DEVICE);
    char name[64];
    CHECK_EQUAL(CU(cuDeviceGetName, static_cast<char *>(name), 64, 1), CUDA_SUCCESS);
    CHECK(!strcmp(name, "Emulated GPU"));
    CHECK_EQUAL(CU(cuDeviceGetAttribute, &value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0), CUDA_SUCCESS);
    CHECK_EQUAL(value, 8);
    CHECK_EQUAL(CU(cuDeviceGetAttribute, &value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0), CUDA_SUCCESS);
    CHECK_EQUAL(value, 6);
    CUdeviceptr memory;
    CHECK_EQUAL(CU(cuMemAlloc_v2, &memory, size_t(16)), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_EQUAL(CU(cuDevicePrimaryCtxSetFlags_v2, 0, 4u), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuDevicePrimaryCtxSetFlags_v2, 2, 4u), CUDA_ERROR_INVALID_DEVICE);
    CHECK_EQUAL(CU(cuDevicePrimaryCtxRetain, &context, 0), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuCtxSetCurrent, context), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuMemAlloc_v2, &memory, size_t(16)), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuMemFree_v2, memory), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuMemFree_v2, memory), CUDA_ERROR_INVALID_VALUE);
    // A stream of the other device is none of this context.
    CUcontext other;
    CUstream stream;
    CHECK_EQUAL(CU(cuDevicePrimaryCtxRetain, &other, 1), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuCtxSetCurrent, other), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuStreamCreate, &stream, 1u), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuCtxSetCurrent, context), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuStreamSynchronize, stream), CUDA_ERROR_INVALID_HANDLE);
    CHECK_EQUAL(CU(cuDevicePrimaryCtxRelease_v2, 0), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuDevicePrimaryCtxRelease_v2, 0), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_EQUAL(CU(cuCtxSetCurrent, context), CUDA_ERROR_INVALID_CONTEXT);
}

static void copies_and_fills() {
    Machine machine;
    std::vector<float> values = noise(1000, 1);
    Array<float> a(machine, values), b(machine, 1000);
    CHECK(std::isnan(b.read()[0]));  // memory that nobody wrote
    CHECK_EQUAL(CU(cuMemcpyDtoDAsync_v2, b.at(), a.at(), size_t(4000), machine.stream), CUDA_SUCCESS);
    CHECK(b.read() == values);
    CHECK_EQUAL(CU(cuMemsetD8Async, b.at(), 0, size_t(2000), machine.stream), CUDA_SUCCESS);
    CHECK_EQUAL(b.read()[499], 0.0f);
    CHECK_EQUAL(b.read()[500], values[500]);
    CHECK_EQUAL(CU(cuMemcpyDtoDAsync_v2, b.at() + 4, a.at(), size_t(4000), machine.stream), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(CU(cuMemcpyHtoDAsync_v2, b.at(), reinterpret_cast<const void *>(a.at()), size_t(4), machine.stream),
                CUDA_ERROR_INVALID_VALUE);
    // Without bytes nothing is asked of the addresses.
    CUdeviceptr none = 1;
    CHECK_EQUAL(CU(cuMemAllocAsync, &none, size_t(0), machine.stream), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuMemsetD8Async, none, 0, size_t(0), machine.stream), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuMemFreeAsync, none, machine.stream), CUDA_SUCCESS);
}

static void memory_ends() {
    Machine machine;
    size_t left, total;
    CHECK_EQUAL(CU(cuMemGetInfo_v2, &left, &total), CUDA_SUCCESS);
    CHECK_EQUAL(total, size_t(1) << 20);
    CHECK_EQUAL(left, total);
    CUmemoryPool pool;
    cuuint64_t all = ~cuuint64_t(0);
    CHECK_EQUAL(CU(cuDeviceGetDefaultMemPool, &pool, 0), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuMemPoolSetAttribute, pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, static_cast<void *>(&all)), CUDA_SUCCESS);
    {
        Array<char> half(machine, size_t(1) << 19);
        CUdeviceptr more;
        CHECK_EQUAL(CU(cuMemAllocAsync, &more, (size_t(1) << 19) + 1, machine.stream), CUDA_ERROR_OUT_OF_MEMORY);
        Array<char> other(machine, size_t(1) << 19);
    }
    // The pool keeps what was freed, until somebody else needs it or it is told to give it back.
    machine.synchronize();
    CHECK_EQUAL(CU(cuMemGetInfo_v2, &left, &total), CUDA_SUCCESS);
    CHECK_EQUAL(left, size_t(0));
    CHECK_EQUAL(CU(cuMemPoolTrimTo, pool, size_t(1000)), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuMemGetInfo_v2, &left, &total), CUDA_SUCCESS);
    CHECK_EQUAL(left, total - 1000);
    // An allocation that failed is no failure of the context.
    Array<char> again(machine, 100);
    CHECK_EQUAL(again.read().size(), size_t(100));
}

static void events() {
    Machine machine;
    CUevent event, untimed;
    CHECK_EQUAL(CU(cuEventCreate, &event, 0u), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuEventCreate, &untimed, 2u), CUDA_SUCCESS);
    float milliseconds;
    CHECK_EQUAL(CU(cuEventElapsedTime_v2, &milliseconds, event, event), CUDA_ERROR_INVALID_HANDLE);
    CUstream other;
    CHECK_EQUAL(CU(cuStreamCreate, &other, 1u), CUDA_SUCCESS);
    Array<float> a(machine, noise(1 << 16, 3)), b(machine, 1 << 16);
    for (int time = 0; time < 20; time++)
        CHECK_EQUAL(machine.launch("scale", 256, 256, a.at(), b.at(), 2.0f, 1 << 16), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuEventRecord, event, machine.stream), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuStreamWaitEvent, other, event, 0u), CUDA_SUCCESS);
    float last = 0;
    CHECK_EQUAL(CU(cuMemcpyDtoHAsync_v2, static_cast<void *>(&last), b.at() + 4 * 65535, size_t(4), other), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuStreamSynchronize, other), CUDA_SUCCESS);
    CHECK_EQUAL(last, 2.0f * noise(1 << 16, 3)[65535]);
    CHECK_EQUAL(CU(cuEventSynchronize, event), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuEventElapsedTime_v2, &milliseconds, event, event), CUDA_SUCCESS);
    CHECK_EQUAL(milliseconds, 0.0f);
    CHECK_EQUAL(CU(cuEventDestroy_v2, event), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuEventRecord, event, machine.stream), CUDA_ERROR_INVALID_HANDLE);
    CHECK_EQUAL(CU(cuStreamDestroy_v2, other), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuStreamSynchronize, other), CUDA_ERROR_INVALID_HANDLE);
}

static void modules() {
    Machine machine;
    CUfunction function;
    CUmodule module;
    CHECK_EQUAL(CU(cuModuleGetFunction, &function, machine.module, "of_no_library"), CUDA_ERROR_NOT_FOUND);
    CHECK_EQUAL(CU(cuModuleGetFunction, &function, machine.module, "of_no_module"), CUDA_ERROR_NOT_FOUND);
    const char *newer = ".version 8.0\n.target sm_90\n.address_size 64\n";
    CHECK_EQUAL(CU(cuModuleLoadData, &module, static_cast<const void *>(newer)), CUDA_ERROR_NO_BINARY_FOR_GPU);
    CHECK_EQUAL(CU(cuModuleLoadData, &module, static_cast<const void *>("nothing")), CUDA_ERROR_INVALID_IMAGE);
    const char *changed =
        ".version 8.0\n.target sm_80\n.visible .entry scale(.param .u64 a, .param .u64 b, .param .f32 c, .param .u64 d)\n";
    CHECK_EQUAL(CU(cuModuleLoadData, &module, static_cast<const void *>(changed)), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuModuleGetFunction, &function, module, "scale"), CUDA_ERROR_INVALID_IMAGE);
    CHECK_EQUAL(CU(cuModuleUnload, module), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuModuleUnload, module), CUDA_ERROR_INVALID_HANDLE);
    CHECK_EQUAL(CU(cuGraphLaunch, 0, 0), CUDA_ERROR_NOT_SUPPORTED);
    const char *name;
    CHECK_EQUAL(CU(cuGetErrorName, CUDA_ERROR_OUT_OF_MEMORY, &name), CUDA_SUCCESS);
    CHECK(!strcmp(name, "CUDA_ERROR_OUT_OF_MEMORY"));
}

static void writes_behind_are_seen() {
    Machine machine;
    CUdeviceptr memory;
    CHECK_EQUAL(CU(cuMemAlloc_v2, &memory, size_t(40)), CUDA_SUCCESS);
    CHECK_EQUAL(machine.launch("writes_behind", 1, 32, memory, 10), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuMemFree_v2, memory), CUDA_ERROR_ILLEGAL_ADDRESS);
    // From then on nothing works.
    CHECK_EQUAL(CU(cuStreamSynchronize, machine.stream), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_EQUAL(CU(cuMemAlloc_v2, &memory, size_t(40)), CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void writes_behind_die() {
    Machine machine;
    Array<float> small(machine, 1024);
    machine.launch("writes_behind", 1, 32, small.at(), 1024);
}

// Copies to locked memory of the host come later than the call; others wait.
static void host_code_is_not_waited_for() {
    Machine machine;
    Array<float> a(machine, noise(1 << 18, 3)), b(machine, 1 << 18);
    float expected = 2.0f * noise(1, 3)[0];
    void *locked;
    CHECK_EQUAL(CU(cuMemHostAlloc, &locked, size_t(4), 0u), CUDA_SUCCESS);
    auto copied = static_cast<float *>(locked);
    *copied = 5.0f;
    auto scale = [&] {
        for (int time = 0; time < 50; time++) {
            CHECK_EQUAL(machine.launch("scale", 1024, 256, a.at(), b.at(), 2.0f, 1 << 18), CUDA_SUCCESS);
        }
    };
    scale();
    CHECK_EQUAL(CU(cuMemcpyDtoHAsync_v2, locked, b.at(), size_t(4), machine.stream), CUDA_SUCCESS);
    CHECK_EQUAL(CU(cuStreamQuery, machine.stream), CUDA_ERROR_NOT_READY);
    CHECK_EQUAL(*copied, 5.0f);
    machine.synchronize();
    CHECK_EQUAL(*copied, expected);
    scale();
    float unlocked = 5.0f;
    CHECK_EQUAL(CU(cuMemcpyDtoHAsync_v2, static_cast<void *>(&unlocked), b.at(), size_t(4), machine.stream), CUDA_SUCCESS);
    CHECK_EQUAL(unlocked, expected);
    CHECK_EQUAL(CU(cuMemFreeHost, locked), CUDA_SUCCESS);
}

std::vector<Test> driver_tests() {
    std::vector<Test> tests = {
        {"without_a_device", without_a_device, {{"GRAFT_EMULATED_DEVICES", "0"}}},
        {"devices_and_contexts", devices_and_contexts, {{"GRAFT_EMULATED_DEVICES", "2"}, {"GRAFT_EMULATED_COMPUTE", "8.6"}}},
        {"copies_and_fills", copies_and_fills, {}},
        {"copies_and_fills_in_threads", copies_and_fills, {{"GRAFT_EMULATED_ASYNC", "1"}}},
        {"copies_and_fills_guarded", copies_and_fills, {{"GRAFT_EMULATED_GUARD", "1"}}},
        {"memory_ends", memory_ends, {{"GRAFT_EMULATED_MEMORY", "1M"}}},
        {"events", events, {}},
        {"events_in_threads", events, {{"GRAFT_EMULATED_ASYNC", "1"}}},
        {"modules", modules, {{"GRAFT_EMULATED_COMPUTE", "8.6"}}},
        {"host_code_is_not_waited_for", host_code_is_not_waited_for, {{"GRAFT_EMULATED_ASYNC", "1"}}},
    };
#if !defined(__SANITIZE_ADDRESS__)  // which finds them itself
    tests.push_back({"writes_behind_are_seen", writes_behind_are_seen, {}});
    tests.push_back({"writes_behind_die", writes_behind_die, {{"GRAFT_EMULATED_GUARD", "1"}}, SIGSEGV});
#endif
    return tests;
}
