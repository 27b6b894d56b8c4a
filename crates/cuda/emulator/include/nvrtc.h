// The part of NVRTC's interface that the emulator implements.
#pragma once
#include <cstddef>

typedef struct _nvrtcProgram *nvrtcProgram;
typedef enum { NVRTC_SUCCESS = 0, NVRTC_ERROR_INVALID_INPUT = 3, NVRTC_ERROR_COMPILATION = 6 } nvrtcResult;
