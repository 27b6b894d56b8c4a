// What libcuda gives to the emulator's other libraries, beyond NVIDIA's interface.
#pragma once
#include <cuda.h>

#include <functional>

#define GRAFT_EXPORT extern "C" __attribute__((visibility("default")))

// Runs `work` in the order of the stream, now or later. False from it makes the context fail with
// CUDA_ERROR_LAUNCH_FAILED. The stream must be one of a live context.
GRAFT_EXPORT CUresult graft_emulated_submit(CUstream stream, const std::function<bool()> &work);
// Whether `bytes` bytes from `start` lie in one live allocation that the stream's device can reach, on an address that is
// a multiple of `alignment`. Says on standard error what is wrong otherwise.
GRAFT_EXPORT bool graft_emulated_reachable(CUstream stream, const void *start, size_t bytes, size_t alignment,
                                           const char *what);
// Whether this is a live stream, or a name of a default one while a context is current.
GRAFT_EXPORT bool graft_emulated_stream(CUstream stream);
// The error of the current context after a failure; also when none is current.
GRAFT_EXPORT CUresult graft_emulated_state();
// A line on standard error.
GRAFT_EXPORT void graft_emulated_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The same under GRAFT_EMULATED_TRACE=1 only.
GRAFT_EXPORT void graft_emulated_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
