// NVRTC: it compiles nothing.
#include <nvrtc.h>

#include <cstdio>

#define GRAFT_COMPILER extern "C" __attribute__((visibility("default")))

GRAFT_COMPILER nvrtcResult nvrtcVersion(int *major, int *minor) {
    if (!major || !minor) return NVRTC_ERROR_INVALID_INPUT;
    *major = 13;
    *minor = 0;
    return NVRTC_SUCCESS;
}
GRAFT_COMPILER const char *nvrtcGetErrorString(nvrtcResult result) {
    return result == NVRTC_SUCCESS ? "NVRTC_SUCCESS" : "NVRTC_ERROR_COMPILATION";
}

#define NOT_EMULATED(name)                                                                  \
    extern "C" __attribute__((visibility("default"))) int graft_no_##name() __asm__(#name); \
    int graft_no_##name() {                                                                 \
        fprintf(stderr, "cuda emulator: " #name " is not emulated\n");                      \
        return NVRTC_ERROR_COMPILATION;                                                     \
    }
NOT_EMULATED(nvrtcCreateProgram)
NOT_EMULATED(nvrtcCompileProgram)
NOT_EMULATED(nvrtcDestroyProgram)
NOT_EMULATED(nvrtcGetPTX)
NOT_EMULATED(nvrtcGetPTXSize)
NOT_EMULATED(nvrtcGetProgramLog)
NOT_EMULATED(nvrtcGetProgramLogSize)
