// cuInit, devices and their attributes.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "state.h"

namespace graft {

static bool started = false;

std::vector<Device> &devices() {
    static auto all = new std::vector<Device>;
    return *all;
}
bool initialized() { return started; }

void compute_capability(int *major, int *minor) {
    const char *text = getenv("GRAFT_EMULATED_COMPUTE");
    *major = 9;
    *minor = 0;
    if (text && sscanf(text, "%d.%d", major, minor) != 2) {
        graft_emulated_say("GRAFT_EMULATED_COMPUTE=%s is not a compute capability (like 8.6)", text);
        abort();
    }
}

static CUresult start() {
    static std::mutex lock;
    std::lock_guard<std::mutex> guard(lock);
    if (started) return CUDA_SUCCESS;
    const char *text = getenv("GRAFT_EMULATED_DEVICES");
    int count = text ? atoi(text) : 1;
    if (count <= 0) return CUDA_ERROR_NO_DEVICE;
    devices().resize(size_t(count));
    for (Device &device : devices()) device.memory = bytes_of("GRAFT_EMULATED_MEMORY", size_t(8) << 30);
    started = true;
    return CUDA_SUCCESS;
}

static CUresult check(CUdevice device) {
    if (!started) return CUDA_ERROR_NOT_INITIALIZED;
    return device >= 0 && size_t(device) < devices().size() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static int attribute(CUdevice_attribute attribute) {
    int major, minor;
    compute_capability(&major, &minor);
    switch (attribute) {
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: return 1024;
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X: return 1024;
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: return 1024;
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: return 64;
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: return 2147483647;
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y: return 65535;
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: return 65535;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: return 49152;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return 49152;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: return 102400;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: return 32;
        case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK: return 65536;
        case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR: return 65536;
        case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: return 1000000;
        case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: return 1000000;
        case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: return 256;
        case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: return 4 << 20;
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return 4;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: return 2048;
        case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: return 1;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return major;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return minor;
        case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: return 1;
        default: return 0;  // what a device need not be able to do
    }
}

}  // namespace graft

using namespace graft;

GRAFT_API cuInit(unsigned flags) { return flags == 0 ? start() : CUDA_ERROR_INVALID_VALUE; }

GRAFT_API cuDriverGetVersion(int *version) {
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = 13000;
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceGetCount(int *count) {
    if (!initialized()) return CUDA_ERROR_NOT_INITIALIZED;
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = int(devices().size());
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceGet(CUdevice *device, int ordinal) {
    if (CUresult error = check(ordinal)) return error;
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceGetName(char *name, int length, CUdevice device) {
    if (CUresult error = check(device)) return error;
    if (!name || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, size_t(length), "Emulated GPU");
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) {
    if (CUresult error = check(device)) return error;
    if (!uuid) return CUDA_ERROR_INVALID_VALUE;
    memcpy(uuid->bytes, "graft emulated", 15);
    uuid->bytes[15] = char(device);
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
    if (CUresult error = check(device)) return error;
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    *bytes = devices()[size_t(device)].memory;
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceGetAttribute(int *value, CUdevice_attribute name, CUdevice device) {
    if (CUresult error = check(device)) return error;
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    *value = attribute(name);
    return CUDA_SUCCESS;
}

GRAFT_API cuDeviceComputeCapability(int *major, int *minor, CUdevice device) {
    if (CUresult error = check(device)) return error;
    if (!major || !minor) return CUDA_ERROR_INVALID_VALUE;
    compute_capability(major, minor);
    return CUDA_SUCCESS;
}
