// Contexts: primary ones that are counted, others, and which one is current in a thread.
#include "state.h"

namespace graft {

Handles<CUctx_st> &contexts() {
    static auto all = new Handles<CUctx_st>;
    return *all;
}

CUcontext &current() {
    static thread_local CUcontext context = nullptr;
    return context;
}

CUresult ready() {
    if (!initialized()) return CUDA_ERROR_NOT_INITIALIZED;
    if (!current()) return CUDA_ERROR_INVALID_CONTEXT;
    if (!contexts().has(current())) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return CUresult(current()->error.load());
}

CUresult fail(CUcontext context, CUresult error) {
    int none = CUDA_SUCCESS;
    context->error.compare_exchange_strong(none, error);
    return error;
}

static std::mutex lock;  // of `primary` and `retained` of the devices

static CUcontext create(CUdevice device, bool primary) {
    auto context = new CUctx_st;
    context->device = device;
    context->primary = primary;
    return contexts().add(context);
}

// Waits for its streams and ends it. What it allocated stays allocated, as leaks of the caller.
static void destroy(CUcontext context) {
    drain(context);
    contexts().remove(context);
    if (current() == context) current() = nullptr;
    if (context->default_stream) {
        streams().remove(context->default_stream);
        delete context->default_stream;
    }
    delete context;
}

static CUresult check(CUdevice device) {
    if (!initialized()) return CUDA_ERROR_NOT_INITIALIZED;
    return device >= 0 && size_t(device) < devices().size() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace graft

using namespace graft;

CUresult graft_emulated_state() { return ready(); }

GRAFT_API cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    if (CUresult error = check(device)) return error;
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard<std::mutex> guard(lock);
    Device &owner = devices()[size_t(device)];
    if (owner.retained++ == 0) owner.primary = create(device, true);
    *context = owner.primary;
    return CUDA_SUCCESS;
}

GRAFT_API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    if (CUresult error = check(device)) return error;
    std::lock_guard<std::mutex> guard(lock);
    Device &owner = devices()[size_t(device)];
    if (owner.retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--owner.retained == 0) {
        destroy(owner.primary);
        owner.primary = nullptr;
    }
    return CUDA_SUCCESS;
}

// How threads wait shows in no result; it is for a context to be, or the one that is there.
GRAFT_API cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
    if (CUresult error = check(device)) return error;
    return flags & ~0x1fu ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

GRAFT_API cuCtxCreate_v4(CUcontext *context, CUctxCreateParams *, unsigned, CUdevice device) {
    if (CUresult error = check(device)) return error;
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    *context = current() = create(device, false);
    return CUDA_SUCCESS;
}

GRAFT_API cuCtxDestroy_v2(CUcontext context) {
    if (!contexts().has(context) || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    destroy(context);
    return CUDA_SUCCESS;
}

GRAFT_API cuCtxGetCurrent(CUcontext *context) {
    if (!initialized()) return CUDA_ERROR_NOT_INITIALIZED;
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    *context = current();
    return CUDA_SUCCESS;
}

GRAFT_API cuCtxSetCurrent(CUcontext context) {
    if (!initialized()) return CUDA_ERROR_NOT_INITIALIZED;
    if (context && !contexts().has(context)) return CUDA_ERROR_INVALID_CONTEXT;
    current() = context;
    return CUDA_SUCCESS;
}

GRAFT_API cuCtxGetDevice(CUdevice *device) {
    if (!current()) return CUDA_ERROR_INVALID_CONTEXT;
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = current()->device;
    return CUDA_SUCCESS;
}

GRAFT_API cuCtxSynchronize() {
    if (CUresult error = ready()) return error;
    drain(current());
    trim(current()->device);
    return ready();
}

GRAFT_API cuCtxSetFlags(unsigned) { return ready(); }
GRAFT_API cuCtxSetLimit(CUlimit, size_t) { return ready(); }
GRAFT_API cuCtxSetCacheConfig(CUfunc_cache) { return ready(); }
GRAFT_API cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    if (CUresult error = ready()) return error;
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return CUDA_SUCCESS;
}
