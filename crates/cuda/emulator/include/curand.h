// The part of cuRAND's interface that the emulator implements, under the names of NVIDIA's curand.h.
#pragma once
#include <cuda.h>

typedef CUstream cudaStream_t;
typedef struct curandGenerator_st *curandGenerator_t;
typedef enum curandRngType { CURAND_RNG_PSEUDO_DEFAULT = 100 } curandRngType_t;
typedef enum curandStatus {
    CURAND_STATUS_SUCCESS = 0,
    CURAND_STATUS_NOT_INITIALIZED = 101,
    CURAND_STATUS_OUT_OF_RANGE = 104,
    CURAND_STATUS_LAUNCH_FAILURE = 201
} curandStatus_t;
