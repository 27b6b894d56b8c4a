// Dropout with the random numbers of Philox 4x32-10 (Salmon et al. 2011), the same as on the CPU.
#include "common.cuh"

// The four words of block `block` of the stream `key`.
__device__ inline void philox(unsigned long long key, unsigned long long block, uint32_t words[4]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = 0, c3 = 0;
    for (int round = 0; round < 10; round++) {
        const unsigned long long a = (unsigned long long)c0 * 0xD2511F53u;
        const unsigned long long b = (unsigned long long)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

// Element i is kept, and scaled, if word i of the stream is at least p of the way from 0 to 2³². The key is that in `place`
// where there is one: a recorded launch finds another there each time.
template <typename T>
__device__ void dropout(const T *x, T *y, Index n, const unsigned long long *place, unsigned long long key, float p,
                        float scale) {
    if (place) key = *place;
    const Index blocks = (n + 3) / 4;
    for (Index block = thread_index(); block < blocks; block += thread_count()) {
        uint32_t words[4];
        philox(key, (unsigned long long)block, words);
        for (int k = 0; k < 4; k++) {
            const Index i = 4 * block + k;
            if (i >= n) break;
            const float unit = (float)(words[k] >> 8) * (1.0f / 16777216.0f);
            y[i] = unit >= p ? narrow<T>(widen(x[i]) * scale) : narrow<T>(0.0f);
        }
    }
}

#define DEFINE(SUFFIX, T)                                                                                       \
    extern "C" __global__ void dropout_##SUFFIX(const T *x, T *y, Index n, const unsigned long long *place,     \
                                                unsigned long long key, float p, float scale) {                 \
        dropout(x, y, n, place, key, p, scale);                                                                 \
    }
FOR_F32_AND_BF16(DEFINE)
#undef DEFINE
