// cuRAND: a generator that gives the same numbers for the same seed; other numbers than the real one.
#include <curand.h>

#include <cmath>

#include "../driver/hooks.h"
#include "numbers.h"

#define GRAFT_RANDOM GRAFT_EXPORT curandStatus_t

struct curandGenerator_st {
    CUstream stream = nullptr;
    unsigned long long seed = 0, offset = 0;
};

static graft::Live<curandGenerator_st> &live() {
    static auto all = new graft::Live<curandGenerator_st>;
    return *all;
}

// The number at `index` of the sequence of `seed`, in (0, 1).
static double uniform(unsigned long long seed, unsigned long long index) {
    unsigned long long x = (seed * 0x9e3779b97f4a7c15ull) ^ (index + 1) * 0xd1342543de82ef95ull;
    for (int round = 0; round < 3; round++) {
        x = (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9ull;
        x ^= x >> 29;
    }
    return (double(x >> 40) + 0.5) / 16777216.0;
}

template <class Draw>
static curandStatus_t generate(curandGenerator_t generator, float *to, size_t count, Draw draw, const char *name) {
    if (!live().has(generator)) return CURAND_STATUS_NOT_INITIALIZED;
    if (!graft_emulated_reachable(generator->stream, to, count * sizeof(float), sizeof(float), name))
        return CURAND_STATUS_LAUNCH_FAILURE;
    unsigned long long seed = generator->seed, offset = generator->offset;
    generator->offset += count * 2;
    CUresult error = graft_emulated_submit(generator->stream, [=] {
        for (size_t at = 0; at < count; at++)
            to[at] = float(draw(uniform(seed, offset + 2 * at), uniform(seed, offset + 2 * at + 1)));
        return true;
    });
    return error ? CURAND_STATUS_LAUNCH_FAILURE : CURAND_STATUS_SUCCESS;
}

GRAFT_RANDOM curandCreateGenerator(curandGenerator_t *generator, curandRngType_t) {
    if (!generator) return CURAND_STATUS_OUT_OF_RANGE;
    *generator = live().add(new curandGenerator_st);
    return CURAND_STATUS_SUCCESS;
}
GRAFT_RANDOM curandDestroyGenerator(curandGenerator_t generator) {
    return live().remove(generator) ? CURAND_STATUS_SUCCESS : CURAND_STATUS_NOT_INITIALIZED;
}
GRAFT_RANDOM curandSetStream(curandGenerator_t generator, cudaStream_t stream) {
    if (!live().has(generator)) return CURAND_STATUS_NOT_INITIALIZED;
    if (!graft_emulated_stream(stream)) return CURAND_STATUS_OUT_OF_RANGE;
    generator->stream = stream;
    return CURAND_STATUS_SUCCESS;
}
GRAFT_RANDOM curandSetPseudoRandomGeneratorSeed(curandGenerator_t generator, unsigned long long seed) {
    if (!live().has(generator)) return CURAND_STATUS_NOT_INITIALIZED;
    generator->seed = seed;
    generator->offset = 0;
    return CURAND_STATUS_SUCCESS;
}
GRAFT_RANDOM curandSetGeneratorOffset(curandGenerator_t generator, unsigned long long offset) {
    if (!live().has(generator)) return CURAND_STATUS_NOT_INITIALIZED;
    generator->offset = offset;
    return CURAND_STATUS_SUCCESS;
}

GRAFT_RANDOM curandGenerateUniform(curandGenerator_t generator, float *to, size_t count) {
    return generate(generator, to, count, [](double x, double) { return x; }, "curandGenerateUniform");
}
GRAFT_RANDOM curandGenerateNormal(curandGenerator_t generator, float *to, size_t count, float mean, float deviation) {
    if (count % 2 != 0) return CURAND_STATUS_OUT_OF_RANGE;  // as the real one, which draws pairs
    auto draw = [=](double x, double y) {
        return mean + deviation * std::sqrt(-2 * std::log(x)) * std::cos(6.283185307179586 * y);
    };
    return generate(generator, to, count, draw, "curandGenerateNormal");
}

#define NOT_EMULATED(name)                                                                  \
    extern "C" __attribute__((visibility("default"))) int graft_no_##name() __asm__(#name); \
    int graft_no_##name() {                                                                 \
        graft_emulated_say(#name " is not emulated");                                       \
        return CURAND_STATUS_LAUNCH_FAILURE;                                                \
    }
NOT_EMULATED(curandGenerate)
NOT_EMULATED(curandGenerateLogNormal)
NOT_EMULATED(curandGenerateLogNormalDouble)
NOT_EMULATED(curandGenerateLongLong)
NOT_EMULATED(curandGenerateNormalDouble)
NOT_EMULATED(curandGeneratePoisson)
NOT_EMULATED(curandGenerateUniformDouble)
