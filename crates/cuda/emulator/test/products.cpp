// cuBLAS's products against the plain formula; cuRAND's numbers.
#include "test.h"

namespace {

// Element (row, column) of a column-major matrix as it lies, or of its transpose.
size_t place(bool turned, int leading, int row, int column) {
    return size_t(turned ? row * leading + column : column * leading + row);
}

struct Handle {
    Machine machine;
    cublasHandle_t blas;
    Handle() {
        CHECK_EQUAL(BLAS(cublasCreate_v2, &blas), CUBLAS_STATUS_SUCCESS);
        CHECK_EQUAL(BLAS(cublasSetStream_v2, blas, machine.stream), CUBLAS_STATUS_SUCCESS);
    }
    ~Handle() { BLAS(cublasDestroy_v2, blas); }
};

void floats() {
    Handle h;
    const int m = 13, n = 21, k = 34, lda = 40, ldb = 37, ldc = 15;
    for (int turns = 0; turns < 4; turns++) {
        bool a_turned = turns & 1, b_turned = turns & 2;
        auto a = noise(size_t(lda * lda), 1), b = noise(size_t(ldb * ldb), 2), c = noise(size_t(ldc * n), 3);
        Array<float> a_array(h.machine, a), b_array(h.machine, b), c_array(h.machine, c);
        float alpha = 0.5f, beta = 3.0f;
        CHECK_EQUAL(BLAS(cublasSgemm_v2, h.blas, a_turned ? CUBLAS_OP_T : CUBLAS_OP_N, b_turned ? CUBLAS_OP_T : CUBLAS_OP_N, m,
                         n, k, &alpha, a_array.address, lda, b_array.address, ldb, &beta, c_array.address, ldc),
                    CUBLAS_STATUS_SUCCESS);
        auto found = c_array.read();
        for (int column = 0; column < n; column++) {
            for (int row = 0; row < ldc; row++) {
                double sum = c[size_t(column * ldc + row)];
                if (row < m) {
                    sum *= 3.0;
                    for (int at = 0; at < k; at++)
                        sum += 0.5 * a[place(a_turned, lda, row, at)] * b[place(b_turned, ldb, at, column)];
                }
                CHECK(std::fabs(found[size_t(column * ldc + row)] - sum) < 1e-5);
            }
        }
    }
}

void batches_of_sixteen_bits() {
    Handle h;
    const int m = 8, n = 5, k = 17, batches = 3;
    auto a = halved(noise(size_t(m * k * batches), 1)), b = halved(noise(size_t(k * n), 2));
    auto a_wide = doubled(a), b_wide = doubled(b);
    Array<uint16_t> a_array(h.machine, a), b_array(h.machine, b), c_array(h.machine, size_t(m * n * batches));
    float alpha = 1, beta = 0;
    CHECK_EQUAL(BLAS(cublasGemmStridedBatchedEx, h.blas, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, static_cast<const void *>(&alpha),
                     a_array.address, CUDA_R_16BF, m, (long long)(m * k), b_array.address, CUDA_R_16BF, k, 0LL,
                     static_cast<const void *>(&beta), c_array.address, CUDA_R_16BF, m, (long long)(m * n), batches,
                     CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                CUBLAS_STATUS_SUCCESS);
    auto found = doubled(c_array.read());
    for (int batch = 0; batch < batches; batch++) {
        for (int column = 0; column < n; column++) {
            for (int row = 0; row < m; row++) {
                double sum = 0;
                for (int at = 0; at < k; at++)
                    sum += double(a_wide[size_t(batch * m * k + at * m + row)]) * b_wide[size_t(column * k + at)];
                CHECK(std::fabs(found[size_t(batch * m * n + column * m + row)] - sum) <= std::fabs(sum) / 250 + 1e-6);
            }
        }
    }
}

void tf32_when_asked() {
    Handle h;
    std::vector<float> one = {1.0f + 1.0f / 4096.0f};
    Array<float> a(h.machine, one), b(h.machine, one), c(h.machine, 1);
    float alpha = 1, beta = 0;
    auto square = [&] {
        CHECK_EQUAL(BLAS(cublasSgemm_v2, h.blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &alpha, a.address, 1, b.address, 1, &beta,
                         c.address, 1),
                    CUBLAS_STATUS_SUCCESS);
        return c.read()[0];
    };
    CHECK_EQUAL(square(), one[0] * one[0]);
    CHECK_EQUAL(BLAS(cublasSetMathMode, h.blas, CUBLAS_TF32_TENSOR_OP_MATH), CUBLAS_STATUS_SUCCESS);
    CHECK_EQUAL(square(), 1.0f);
}

void refusals() {
    Handle h;
    Array<float> a(h.machine, noise(12, 1)), c(h.machine, 9);
    float alpha = 1, beta = 0;
    auto run = [&](int leading, int n) {
        return BLAS(cublasSgemm_v2, h.blas, CUBLAS_OP_N, CUBLAS_OP_T, 3, n, 4, &alpha, a.address, leading, a.address, 3, &beta,
                    c.address, 3);
    };
    CHECK_EQUAL(run(3, 3), CUBLAS_STATUS_SUCCESS);
    CHECK_EQUAL(run(2, 3), CUBLAS_STATUS_INVALID_VALUE);
    CHECK_EQUAL(run(3, -1), CUBLAS_STATUS_INVALID_VALUE);
    CHECK_EQUAL(run(4, 3), CUBLAS_STATUS_EXECUTION_FAILED);
    CHECK_EQUAL(run(3, 0), CUBLAS_STATUS_SUCCESS);
}

void random_numbers() {
    Machine machine;
    void *generator;
    auto random = [](const char *name, auto... arguments) { return call("libcurand.so.10", name, arguments...); };
    CHECK_EQUAL(random("curandCreateGenerator", &generator, 100), 0);
    CHECK_EQUAL(random("curandSetStream", generator, machine.stream), 0);
    const size_t count = 20000;
    Array<float> first(machine, count), second(machine, count);
    for (auto *array : {&first, &second}) {
        CHECK_EQUAL(random("curandSetPseudoRandomGeneratorSeed", generator, 7ull), 0);
        CHECK_EQUAL(random("curandGenerateNormal", generator, array->address, count, 1.0f, 2.0f), 0);
    }
    CHECK(first.read() == second.read());
    double sum = 0, squares = 0;
    for (float value : first.read()) {
        sum += value;
        squares += (value - 1.0) * (value - 1.0);
    }
    CHECK(std::fabs(sum / count - 1.0) < 0.05);
    CHECK(std::fabs(squares / count - 4.0) < 0.15);
    CHECK_EQUAL(random("curandGenerateUniform", generator, first.address, count), 0);
    for (float value : first.read()) CHECK(value > 0 && value <= 1);
    CHECK_EQUAL(random("curandDestroyGenerator", generator), 0);
}

}  // namespace

std::vector<Test> product_tests() {
    return {
        {"products_of_floats", floats, {}},
        {"batches_of_products_of_sixteen_bits", batches_of_sixteen_bits, {}},
        {"products_in_tf32_when_asked", tf32_when_asked, {}},
        {"refusals_of_products", refusals, {}},
        {"random_numbers", random_numbers, {}},
    };
}
