// The part of cuBLASLt's interface that the emulator implements.
#pragma once
#include <cublas_v2.h>

typedef struct cublasLtContext *cublasLtHandle_t;
