// Names and texts of errors, and how settings are read.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "state.h"

namespace {

struct Text {
    CUresult error;
    const char *name, *text;
};

#define TEXT(error, text) {error, #error, text}
const Text TEXTS[] = {
    TEXT(CUDA_SUCCESS, "no error"),
    TEXT(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    TEXT(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    TEXT(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    TEXT(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    TEXT(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    TEXT(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    TEXT(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    TEXT(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
    TEXT(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    TEXT(CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
    TEXT(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    TEXT(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    TEXT(CUDA_ERROR_NOT_READY, "device not ready"),
    TEXT(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    TEXT(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    TEXT(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    TEXT(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    TEXT(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    TEXT(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    TEXT(CUDA_ERROR_UNKNOWN, "unknown error"),
};

CUresult text_of(CUresult error, const char **text, const char *Text::*part) {
    if (!text) return CUDA_ERROR_INVALID_VALUE;
    *text = nullptr;
    for (const Text &candidate : TEXTS) {
        if (candidate.error == error) *text = candidate.*part;
    }
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

GRAFT_API cuGetErrorName(CUresult error, const char **text) { return text_of(error, text, &Text::name); }
GRAFT_API cuGetErrorString(CUresult error, const char **text) { return text_of(error, text, &Text::text); }

static void say(const char *format, va_list arguments) {
    char line[1024];
    vsnprintf(line, sizeof line, format, arguments);
    fprintf(stderr, "cuda emulator: %s\n", line);
}

void graft_emulated_say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void graft_emulated_trace(const char *format, ...) {
    static const bool traced = graft::enabled("GRAFT_EMULATED_TRACE", false);
    if (!traced) return;
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

namespace graft {

bool enabled(const char *name, bool otherwise) {
    const char *value = getenv(name);
    return value && *value ? strcmp(value, "0") != 0 : otherwise;
}

size_t bytes_of(const char *name, size_t otherwise) {
    const char *value = getenv(name);
    if (!value || !*value) return otherwise;
    char *end;
    double number = strtod(value, &end);
    size_t unit = *end == 'K' ? 1024u : *end == 'M' ? 1024u * 1024 : *end == 'G' ? 1024u * 1024 * 1024 : 1;
    if (end == value || number < 0 || (*end && (unit == 1 || end[1]))) {
        graft_emulated_say("%s=%s is not a number of bytes (like 500000, 64M, 2G)", name, value);
        abort();
    }
    return size_t(number * double(unit));
}

}  // namespace graft
