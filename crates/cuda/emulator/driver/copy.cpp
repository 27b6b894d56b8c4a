// Copies and fills. Each is checked when it is submitted and done in its stream's order.
#include <cstring>

#include "state.h"

namespace graft {

static void *pointer(CUdeviceptr address) { return reinterpret_cast<void *>(address); }

// A copy of `bytes` bytes; the ends that are a device's must lie in its allocations, host memory must not.
static CUresult copy(CUdeviceptr to, bool to_device, CUdeviceptr from, bool from_device, size_t bytes, CUstream handle,
                     const char *name) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!to || !from) return CUDA_ERROR_INVALID_VALUE;
    int device = stream->context->device;
    if (to_device && !reachable(device, to, bytes, 1, name)) return CUDA_ERROR_INVALID_VALUE;
    if (from_device && !reachable(device, from, bytes, 1, name)) return CUDA_ERROR_INVALID_VALUE;
    if ((!to_device && on_device(pointer(to))) || (!from_device && on_device(pointer(from)))) {
        graft_emulated_say("%s: memory of a device was given as the host's", name);
        return CUDA_ERROR_INVALID_VALUE;
    }
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_MEMCPY;
    // Host memory that is not locked has been read, or written, when the call returns. A graph would read it at each launch.
    if (!from_device && !is_locked(pointer(from))) {
        auto bytes_read =
            std::make_shared<std::vector<char>>(static_cast<char *>(pointer(from)), static_cast<char *>(pointer(from)) + bytes);
        return submit(stream, [=] {
            memcpy(pointer(to), bytes_read->data(), bytes);
            return CUDA_SUCCESS;
        }, type, true);
    }
    CUresult error = submit(stream, [=] {
        memmove(pointer(to), pointer(from), bytes);
        return CUDA_SUCCESS;
    }, type, !from_device || !to_device);
    if (error || to_device || is_locked(pointer(to))) return error;
    if (breaks_capture(stream, name)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    drain(stream);
    return ready();
}

static CUresult then_wait(CUresult error, CUstream handle) {
    CUstream stream;
    if (error) return error;
    if (CUresult missing = find_stream(handle, &stream)) return missing;
    drain(stream);
    return ready();
}

template <class T>
static CUresult fill(CUdeviceptr to, T value, size_t count, CUstream handle, const char *name) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (count == 0) return CUDA_SUCCESS;
    if (!reachable(stream->context->device, to, count * sizeof(T), sizeof(T), name)) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, [=] {
        auto start = static_cast<T *>(pointer(to));
        for (size_t at = 0; at < count; at++) start[at] = value;
        return CUDA_SUCCESS;
    }, CU_GRAPH_NODE_TYPE_MEMSET);
}

}  // namespace graft

using namespace graft;

GRAFT_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    return copy(to, true, reinterpret_cast<CUdeviceptr>(from), false, bytes, stream, "cuMemcpyHtoDAsync");
}
GRAFT_API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy(reinterpret_cast<CUdeviceptr>(to), false, from, true, bytes, stream, "cuMemcpyDtoHAsync");
}
GRAFT_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy(to, true, from, true, bytes, stream, "cuMemcpyDtoDAsync");
}
GRAFT_API cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
    return then_wait(cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr), nullptr);
}
GRAFT_API cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
    return then_wait(cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr), nullptr);
}
GRAFT_API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    return then_wait(cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr), nullptr);
}

// Between devices; the stream may belong to either.
GRAFT_API cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t bytes,
                            CUstream handle) {
    CUstream stream;
    if (CUresult error = find_stream(handle, &stream)) return error;
    if (!contexts().has(to_context) || !contexts().has(from_context)) return CUDA_ERROR_INVALID_CONTEXT;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!reachable(to_context->device, to, bytes, 1, "cuMemcpyPeerAsync") ||
        !reachable(from_context->device, from, bytes, 1, "cuMemcpyPeerAsync")) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    return submit(stream, [=] {
        memmove(pointer(to), pointer(from), bytes);
        return CUDA_SUCCESS;
    });
}

GRAFT_API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
    return fill(to, value, count, stream, "cuMemsetD8Async");
}
GRAFT_API cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) {
    return fill(to, value, count, stream, "cuMemsetD16Async");
}
GRAFT_API cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
    return fill(to, value, count, stream, "cuMemsetD32Async");
}
GRAFT_API cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) {
    return then_wait(cuMemsetD8Async(to, value, count, nullptr), nullptr);
}
