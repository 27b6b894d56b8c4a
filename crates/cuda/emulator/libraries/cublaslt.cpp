// cuBLASLt: its handle only.
#include <cublasLt.h>

#include "../driver/hooks.h"
#include "numbers.h"

struct cublasLtContext {
    int unused = 0;
};

static graft::Live<cublasLtContext> &live() {
    static auto all = new graft::Live<cublasLtContext>;
    return *all;
}

GRAFT_EXPORT cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
    *handle = live().add(new cublasLtContext);
    return CUBLAS_STATUS_SUCCESS;
}
GRAFT_EXPORT cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    return live().remove(handle) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

#define NOT_EMULATED(name)                                                                  \
    extern "C" __attribute__((visibility("default"))) int graft_no_##name() __asm__(#name); \
    int graft_no_##name() {                                                                 \
        graft_emulated_say(#name " is not emulated");                                       \
        return CUBLAS_STATUS_NOT_SUPPORTED;                                                 \
    }
NOT_EMULATED(cublasLtLoggerOpenFile)
NOT_EMULATED(cublasLtLoggerSetLevel)
NOT_EMULATED(cublasLtMatmul)
NOT_EMULATED(cublasLtMatmulAlgoGetHeuristic)
NOT_EMULATED(cublasLtMatmulDescCreate)
NOT_EMULATED(cublasLtMatmulDescDestroy)
NOT_EMULATED(cublasLtMatmulDescSetAttribute)
NOT_EMULATED(cublasLtMatmulPreferenceCreate)
NOT_EMULATED(cublasLtMatmulPreferenceDestroy)
NOT_EMULATED(cublasLtMatmulPreferenceSetAttribute)
NOT_EMULATED(cublasLtMatrixLayoutCreate)
NOT_EMULATED(cublasLtMatrixLayoutDestroy)
NOT_EMULATED(cublasLtMatrixLayoutSetAttribute)
