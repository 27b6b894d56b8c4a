// Launches of kernels.
#include <cstdio>
#include <cstring>

#include "state.h"

namespace graft {
namespace {

CUresult check_dimensions(const KernelEntry &entry, Dimensions grid, Dimensions block, unsigned shared) {
    bool possible = grid.count() > 0 && block.count() > 0 && grid.x <= 2147483647u && grid.y <= 65535 && grid.z <= 65535 &&
                    block.x <= 1024 && block.y <= 1024 && block.z <= 64 && block.count() <= 1024;
    if (possible && block.count() <= entry.bound && shared == 0) return CUDA_SUCCESS;
    graft_emulated_say("%s: a grid of (%u, %u, %u) blocks of (%u, %u, %u) threads with %u bytes of dynamic shared memory; %s",
                       entry.name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared,
                       !possible    ? "no device takes these"
                       : shared > 0 ? "dynamic shared memory is not emulated"
                                    : "its __launch_bounds__ are smaller");
    return shared > 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
}

// The arguments, copied as a launch copies them, each on an address that suits its type.
struct Arguments {
    std::vector<std::vector<char>> storage;
    std::vector<void *> values;
};

std::shared_ptr<Arguments> copy_arguments(const KernelEntry &entry, void **given) {
    auto copied = std::make_shared<Arguments>();
    for (size_t at = 0; at < entry.count; at++) {
        const Argument &argument = entry.arguments[at];
        copied->storage.emplace_back(argument.size + argument.alignment);
        auto start = reinterpret_cast<uintptr_t>(copied->storage.back().data());
        start = (start + argument.alignment - 1) / argument.alignment * argument.alignment;
        copied->values.push_back(reinterpret_cast<void *>(start));
        memcpy(copied->values.back(), given[at], argument.size);
    }
    return copied;
}

// Pointers may be null, which kernels can ask for, or the end of an allocation, with nothing there to read.
CUresult check_pointers(const KernelEntry &entry, const Arguments &arguments, int device) {
    for (size_t at = 0; at < entry.count; at++) {
        if (!entry.arguments[at].pointer) continue;
        CUdeviceptr address;
        memcpy(&address, arguments.values[at], sizeof address);
        char what[160];
        snprintf(what, sizeof what, "%s, argument %zu", entry.name, at);
        if (address && !reachable(device, address, 0, entry.arguments[at].pointee_alignment, what))
            return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    return CUDA_SUCCESS;
}

CUresult run(const KernelEntry &entry, Dimensions grid, Dimensions block, Arguments &arguments) {
    // A process runs one kernel at a time: their shared memory is static.
    static std::mutex lock;
    std::lock_guard<std::mutex> guard(lock);
    const char *error = entry.run(entry, grid, block, arguments.values.data());
    if (!error) return CUDA_SUCCESS;
    graft_emulated_say("%s", error);
    return CUDA_ERROR_LAUNCH_FAILED;
}

CUresult launch(CUfunction function, Dimensions grid, Dimensions block, unsigned shared, CUstream handle, void **given,
                void **extra) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (!functions().has(function) || function->module->context != current()) return CUDA_ERROR_INVALID_HANDLE;
    const KernelEntry &entry = *function->entry;
    if (extra) return CUDA_ERROR_NOT_SUPPORTED;
    if (!given && entry.count > 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t at = 0; at < entry.count; at++) {
        if (!given[at]) return CUDA_ERROR_INVALID_VALUE;
    }
    if (CUresult error = check_dimensions(entry, grid, block, shared)) return error;
    auto arguments = copy_arguments(entry, given);
    if (CUresult error = check_pointers(entry, *arguments, stream->context->device)) return fail(stream->context, error);
    graft_emulated_trace("%s<<<(%u, %u, %u), (%u, %u, %u)>>>", entry.name, grid.x, grid.y, grid.z, block.x, block.y, block.z);
    return submit(stream, [&entry, grid, block, arguments] { return run(entry, grid, block, *arguments); });
}

}  // namespace
}  // namespace graft

using namespace graft;

GRAFT_API cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                         unsigned block_y, unsigned block_z, unsigned shared, CUstream stream, void **arguments, void **extra) {
    return launch(function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, stream, arguments, extra);
}

GRAFT_API cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **arguments, void **extra) {
    if (!config) return CUDA_ERROR_INVALID_VALUE;
    if (config->numAttrs > 0) return CUDA_ERROR_NOT_SUPPORTED;
    return launch(function, {config->gridDimX, config->gridDimY, config->gridDimZ},
                  {config->blockDimX, config->blockDimY, config->blockDimZ}, config->sharedMemBytes, config->hStream, arguments,
                  extra);
}

GRAFT_API cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function) {
    if (!functions().has(function)) return CUDA_ERROR_INVALID_HANDLE;
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    int major, minor;
    compute_capability(&major, &minor);
    switch (attribute) {
        case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = int(function->entry->bound); break;
        case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 32; break;
        case CU_FUNC_ATTRIBUTE_PTX_VERSION:
        case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = 10 * major + minor; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

GRAFT_API cuFuncSetCacheConfig(CUfunction function, CUfunc_cache) {
    return functions().has(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

// As many blocks as its threads allow; registers and shared memory are not counted.
GRAFT_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads, size_t) {
    if (!functions().has(function)) return CUDA_ERROR_INVALID_HANDLE;
    if (!blocks || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    *blocks = threads > 1024 ? 0 : std::min(32, 2048 / ((threads + 31) / 32 * 32));
    return CUDA_SUCCESS;
}
