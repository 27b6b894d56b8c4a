// How the driver finds and starts a kernel: GRAFT_KERNEL(name, bound) after its definition.
#pragma once
#include "../kernels/run.h"

namespace graft {

template <class T>
constexpr Argument argument() {
    if constexpr (std::is_pointer_v<T>) {
        using Pointee = std::remove_cv_t<std::remove_pointer_t<T>>;
        if constexpr (std::is_void_v<Pointee>)
            return {sizeof(T), alignof(T), true, 1};
        else
            return {sizeof(T), alignof(T), true, alignof(Pointee)};
    } else {
        static_assert(std::is_trivially_copyable_v<T>, "arguments of kernels are copied byte by byte");
        return {sizeof(T), alignof(T), false, 1};
    }
}

template <auto kernel>
struct Launcher;

template <class... A, void (*kernel)(A...)>
struct Launcher<kernel> {
    static constexpr Argument arguments[] = {argument<std::remove_cv_t<A>>()..., {}};
    static constexpr size_t count = sizeof...(A);

    struct Values {
        std::tuple<std::remove_cv_t<A>...> all;
    };
    static void body(void *data) { std::apply(kernel, static_cast<Values *>(data)->all); }

    template <size_t... I>
    static Values read(void **values, std::index_sequence<I...>) {
        (void)values;
        return {{*static_cast<std::remove_cv_t<A> *>(values[I])...}};
    }
    static const char *run(const KernelEntry &entry, Dimensions grid, Dimensions block, void **values) {
        Values all = read(values, std::index_sequence_for<A...>());
        return run_grid(entry, grid, block, body, &all);
    }
};

}  // namespace graft

#define GRAFT_KERNEL(name, bound)                                                                      \
    extern "C" __attribute__((visibility("default"))) const graft::KernelEntry graft_kernel_##name = { \
        #name, bound, graft::Launcher<&name>::count, graft::Launcher<&name>::arguments, graft::Launcher<&name>::run};
