// Reading and writing arrays of any of the libraries' types as floats or doubles.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <unordered_set>

namespace graft {

// Live objects behind handles of a library.
template <class T>
class Live {
    std::mutex lock;
    std::unordered_set<const T *> all;

  public:
    T *add(T *object) {
        std::lock_guard<std::mutex> guard(lock);
        all.insert(object);
        return object;
    }
    bool has(const T *object) {
        std::lock_guard<std::mutex> guard(lock);
        return all.count(object) > 0;
    }
    bool remove(T *object) {
        std::lock_guard<std::mutex> guard(lock);
        if (all.erase(object) == 0) return false;
        delete object;
        return true;
    }
};

template <class To, class From>
inline To bits(From from) {
    To to;
    static_assert(sizeof to == sizeof from);
    memcpy(&to, &from, sizeof to);
    return to;
}

struct Bf16 {
    uint16_t raw;
};

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(Bf16 x) { return bits<float>(uint32_t(x.raw) << 16); }

template <class T>
inline T narrow(double x) {
    return T(x);
}
template <>
inline Bf16 narrow<Bf16>(double x) {
    uint32_t raw = bits<uint32_t>(float(x));
    if ((raw & 0x7fffffff) > 0x7f800000) return {0x7fff};
    return {uint16_t((raw + 0x7fff + (raw >> 16 & 1)) >> 16)};
}

// A float with 10 bits behind the point, as tensor cores take it.
inline float to_tf32(float x) {
    uint32_t raw = bits<uint32_t>(x);
    if ((raw & 0x7f800000) == 0x7f800000) return x;
    return bits<float>((raw + 0x1000) & ~uint32_t(0x1fff));
}

}  // namespace graft
