// cuBLAS: products of column-major matrices.
#include <cublas_v2.h>

#include <cstdio>

#include "../driver/hooks.h"
#include "numbers.h"
#include "product.h"

#define GRAFT_BLAS GRAFT_EXPORT cublasStatus_t

struct cublasContext {
    CUstream stream = nullptr;
    cublasMath_t math = CUBLAS_DEFAULT_MATH;
    cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
    cublasAtomicsMode_t atomics = CUBLAS_ATOMICS_NOT_ALLOWED;
};

namespace {

graft::Live<cublasContext> &live() {
    static auto all = new graft::Live<cublasContext>;
    return *all;
}

// A matrix of the caller: `rows` by `columns` as it lies, `batches` of them.
struct Matrix {
    char *start;
    cudaDataType type;
    int rows, columns, leading;
    long long stride;

    size_t width() const { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }
    double read(long long batch, int row, int column) const {
        size_t at = size_t(batch * stride + (long long)(column)*leading + row);
        if (type == CUDA_R_64F) return reinterpret_cast<double *>(start)[at];
        if (type == CUDA_R_32F) return reinterpret_cast<float *>(start)[at];
        return graft::widen(reinterpret_cast<graft::Bf16 *>(start)[at]);
    }
    void write(long long batch, int row, int column, double value) const {
        size_t at = size_t(batch * stride + (long long)(column)*leading + row);
        if (type == CUDA_R_64F)
            reinterpret_cast<double *>(start)[at] = value;
        else if (type == CUDA_R_32F)
            reinterpret_cast<float *>(start)[at] = float(value);
        else
            reinterpret_cast<graft::Bf16 *>(start)[at] = graft::narrow<graft::Bf16>(value);
    }
    bool reachable(CUstream stream, int batches, const char *what) const {
        if (rows == 0 || columns == 0 || batches == 0) return true;
        size_t last = size_t(batches - 1) * size_t(stride) + size_t(columns - 1) * size_t(leading) + size_t(rows);
        return graft_emulated_reachable(stream, start, last * width(), width(), what);
    }
};

struct Product {
    Matrix a, b, c;
    bool a_turned, b_turned, rounds;
    int m, n, k, batches;
    double alpha, beta;
};

template <class T>
void compute(const Product &p) {
    for (int batch = 0; batch < p.batches; batch++) {
        // c as it lies is the transpose of a row-major matrix: rows of the product are c's columns.
        graft::Panels<T> a{size_t(p.k), size_t(p.m)};
        std::vector<T> b(size_t(p.n) * size_t(p.k)), c(size_t(p.n) * size_t(p.m));
        auto taken = [&](double x) { return p.rounds ? T(graft::to_tf32(float(x))) : T(x); };
        for (int k = 0; k < p.k; k++) {
            for (int i = 0; i < p.m; i++)
                a.at(size_t(k), size_t(i)) = taken(p.a_turned ? p.a.read(batch, k, i) : p.a.read(batch, i, k));
            for (int j = 0; j < p.n; j++)
                b[size_t(j) * size_t(p.k) + size_t(k)] = taken(p.b_turned ? p.b.read(batch, j, k) : p.b.read(batch, k, j));
        }
        if (p.alpha != 0) graft::multiply_add(size_t(p.n), b.data(), size_t(p.k), 1, a, c.data(), size_t(p.m));
        for (int j = 0; j < p.n; j++) {
            for (int i = 0; i < p.m; i++) {
                T value = T(p.alpha) * c[size_t(j) * size_t(p.m) + size_t(i)];
                if (p.beta != 0) value += T(p.beta) * T(p.c.read(batch, i, j));
                p.c.write(batch, i, j, double(value));
            }
        }
    }
}

bool known(cudaDataType type) { return type == CUDA_R_32F || type == CUDA_R_64F || type == CUDA_R_16BF; }

// The combinations of types that cuBLAS has, of those that are emulated.
bool supported(const Product &p, bool in_double) {
    if (in_double) return p.a.type == CUDA_R_64F && p.b.type == CUDA_R_64F && p.c.type == CUDA_R_64F;
    return known(p.a.type) && p.a.type == p.b.type && p.a.type != CUDA_R_64F &&
           (p.c.type == p.a.type || p.c.type == CUDA_R_32F);
}

cublasStatus_t multiply(cublasHandle_t handle, Product p, const void *alpha, const void *beta, bool in_double,
                        const char *name) {
    if (!live().has(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (p.m < 0 || p.n < 0 || p.k < 0 || p.batches < 0) return CUBLAS_STATUS_INVALID_VALUE;
    bool leading =
        p.a.leading >= std::max(1, p.a.rows) && p.b.leading >= std::max(1, p.b.rows) && p.c.leading >= std::max(1, p.c.rows);
    if (!leading || !alpha || !beta) {
        graft_emulated_say("%s: leading dimensions %d, %d, %d are too small or alpha or beta is null", name, p.a.leading,
                           p.b.leading, p.c.leading);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!supported(p, in_double) || handle->pointers != CUBLAS_POINTER_MODE_HOST) {
        graft_emulated_say("%s: this combination of types (%d, %d, %d), or alpha on the device, is not emulated", name,
                           p.a.type, p.b.type, p.c.type);
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (p.m == 0 || p.n == 0 || p.batches == 0) return CUBLAS_STATUS_SUCCESS;
    p.alpha = in_double ? *static_cast<const double *>(alpha) : *static_cast<const float *>(alpha);
    p.beta = in_double ? *static_cast<const double *>(beta) : *static_cast<const float *>(beta);
    p.rounds = p.rounds && p.a.type == CUDA_R_32F && !in_double;
    CUstream stream = handle->stream;
    if (!p.a.reachable(stream, p.batches, name) || !p.b.reachable(stream, p.batches, name) ||
        !p.c.reachable(stream, p.batches, name)) {
        return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    graft_emulated_trace("%s: %d x %d x %d, %d times", name, p.m, p.n, p.k, p.batches);
    CUresult error = graft_emulated_submit(stream, [p, in_double] {
        if (in_double)
            compute<double>(p);
        else
            compute<float>(p);
        return true;
    });
    return error ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

Product product(cublasOperation_t a_turn, cublasOperation_t b_turn, int m, int n, int k, const void *a, cudaDataType a_type,
                int lda, long long a_stride, const void *b, cudaDataType b_type, int ldb, long long b_stride, void *c,
                cudaDataType c_type, int ldc, long long c_stride, int batches) {
    bool a_turned = a_turn != CUBLAS_OP_N, b_turned = b_turn != CUBLAS_OP_N;
    auto bytes = [](const void *start) { return static_cast<char *>(const_cast<void *>(start)); };
    return {{bytes(a), a_type, a_turned ? k : m, a_turned ? m : k, lda, a_stride},
            {bytes(b), b_type, b_turned ? n : k, b_turned ? k : n, ldb, b_stride},
            {bytes(c), c_type, m, n, ldc, c_stride},
            a_turned,
            b_turned,
            false,
            m,
            n,
            k,
            batches,
            0,
            0};
}

cublasStatus_t with_handle(cublasHandle_t handle) {
    return live().has(handle) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

}  // namespace

GRAFT_BLAS cublasCreate_v2(cublasHandle_t *handle) {
    if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
    if (graft_emulated_state() != CUDA_SUCCESS) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = live().add(new cublasContext);
    return CUBLAS_STATUS_SUCCESS;
}
GRAFT_BLAS cublasDestroy_v2(cublasHandle_t handle) {
    return live().remove(handle) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

GRAFT_BLAS cublasGetVersion_v2(cublasHandle_t, int *version) {
    if (!version) return CUBLAS_STATUS_INVALID_VALUE;
    *version = 130002;
    return CUBLAS_STATUS_SUCCESS;
}

GRAFT_BLAS cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
    if (cublasStatus_t error = with_handle(handle)) return error;
    if (!graft_emulated_stream(stream)) return CUBLAS_STATUS_INVALID_VALUE;
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

// Products here need no workspace; it must be the device's and on a multiple of 256 all the same.
GRAFT_BLAS cublasSetWorkspace_v2(cublasHandle_t handle, void *start, size_t size) {
    if (cublasStatus_t error = with_handle(handle)) return error;
    return graft_emulated_reachable(handle->stream, start, size, 256, "cublasSetWorkspace") ? CUBLAS_STATUS_SUCCESS
                                                                                            : CUBLAS_STATUS_INVALID_VALUE;
}

#define GRAFT_SETTING(set, get, Type, field)                          \
    GRAFT_BLAS set(cublasHandle_t handle, Type value) {               \
        if (cublasStatus_t error = with_handle(handle)) return error; \
        handle->field = value;                                        \
        return CUBLAS_STATUS_SUCCESS;                                 \
    }                                                                 \
    GRAFT_BLAS get(cublasHandle_t handle, Type *value) {              \
        if (cublasStatus_t error = with_handle(handle)) return error; \
        if (!value) return CUBLAS_STATUS_INVALID_VALUE;               \
        *value = handle->field;                                       \
        return CUBLAS_STATUS_SUCCESS;                                 \
    }
GRAFT_SETTING(cublasSetMathMode, cublasGetMathMode, cublasMath_t, math)
GRAFT_SETTING(cublasSetPointerMode_v2, cublasGetPointerMode_v2, cublasPointerMode_t, pointers)
GRAFT_SETTING(cublasSetAtomicsMode, cublasGetAtomicsMode, cublasAtomicsMode_t, atomics)

GRAFT_BLAS cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t a_turn, cublasOperation_t b_turn, int m, int n,
                                      int k, const void *alpha, const void *a, cudaDataType a_type, int lda,
                                      long long int a_stride, const void *b, cudaDataType b_type, int ldb,
                                      long long int b_stride, const void *beta, void *c, cudaDataType c_type, int ldc,
                                      long long int c_stride, int batches, cublasComputeType_t compute, cublasGemmAlgo_t) {
    if (cublasStatus_t error = with_handle(handle)) return error;
    bool in_double = compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC;
    bool fast = compute == CUBLAS_COMPUTE_32F_FAST_TF32 || compute == CUBLAS_COMPUTE_32F_FAST_16BF;
    if (!in_double && !fast && compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC) {
        graft_emulated_say("cublasGemm: compute type %d is not emulated", compute);
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    Product p =
        product(a_turn, b_turn, m, n, k, a, a_type, lda, a_stride, b, b_type, ldb, b_stride, c, c_type, ldc, c_stride, batches);
    p.rounds = fast || (compute == CUBLAS_COMPUTE_32F && handle->math == CUBLAS_TF32_TENSOR_OP_MATH);
    return multiply(handle, p, alpha, beta, in_double, "cublasGemmStridedBatchedEx");
}

GRAFT_BLAS cublasGemmEx(cublasHandle_t handle, cublasOperation_t a_turn, cublasOperation_t b_turn, int m, int n, int k,
                        const void *alpha, const void *a, cudaDataType a_type, int lda, const void *b, cudaDataType b_type,
                        int ldb, const void *beta, void *c, cudaDataType c_type, int ldc, cublasComputeType_t compute,
                        cublasGemmAlgo_t algorithm) {
    return cublasGemmStridedBatchedEx(handle, a_turn, b_turn, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                                      c_type, ldc, 0, 1, compute, algorithm);
}

#define GRAFT_GEMM(name, T, type, compute)                                                                                     \
    GRAFT_BLAS cublas##name##StridedBatched(cublasHandle_t handle, cublasOperation_t a_turn, cublasOperation_t b_turn, int m,  \
                                            int n, int k, const T *alpha, const T *a, int lda, long long int a_stride,         \
                                            const T *b, int ldb, long long int b_stride, const T *beta, T *c, int ldc,         \
                                            long long int c_stride, int batches) {                                             \
        return cublasGemmStridedBatchedEx(handle, a_turn, b_turn, m, n, k, alpha, a, type, lda, a_stride, b, type, ldb,        \
                                          b_stride, beta, c, type, ldc, c_stride, batches, compute, CUBLAS_GEMM_DEFAULT);      \
    }                                                                                                                          \
    GRAFT_BLAS cublas##name##_v2(cublasHandle_t handle, cublasOperation_t a_turn, cublasOperation_t b_turn, int m, int n,      \
                                 int k, const T *alpha, const T *a, int lda, const T *b, int ldb, const T *beta, T *c,         \
                                 int ldc) {                                                                                    \
        return cublas##name##StridedBatched(handle, a_turn, b_turn, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1); \
    }
GRAFT_GEMM(Sgemm, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
GRAFT_GEMM(Dgemm, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)

#define NOT_EMULATED(name)                                                                  \
    extern "C" __attribute__((visibility("default"))) int graft_no_##name() __asm__(#name); \
    int graft_no_##name() {                                                                 \
        graft_emulated_say(#name " is not emulated");                                       \
        return CUBLAS_STATUS_NOT_SUPPORTED;                                                 \
    }
NOT_EMULATED(cublasDasum_v2)
NOT_EMULATED(cublasSasum_v2)
NOT_EMULATED(cublasDgemv_v2)
NOT_EMULATED(cublasSgemv_v2)
NOT_EMULATED(cublasGemmGroupedBatchedEx)
NOT_EMULATED(cublasHgemm)
NOT_EMULATED(cublasHgemmStridedBatched)
