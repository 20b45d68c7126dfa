// Launching a kernel: DK_LAUNCH packs the kernel and its arguments, by value, into a closure.
#ifndef DELTAK_TESTS_SIMT_LAUNCH_H
#define DELTAK_TESTS_SIMT_LAUNCH_H

#include "simt/toolkit.h"

namespace simt {

/// The size of a grid or a block, before it is known to fit into a dim3.
struct Extent {
    std::uint64_t x, y = 1, z = 1;
    Extent(dim3 size) : x(size.x), y(size.y), z(size.z) {}
    template <typename T, typename = std::enable_if_t<std::is_integral<T>::value>>
    Extent(T size) : x(static_cast<std::uint64_t>(size)) {}
};

struct Launch {
    const char *kernel;
    Extent grid, block;
    std::size_t shared; ///< bytes of dynamic shared memory
    std::function<void()> thread;
};

/// The code that CUDA's launch would return; also the one of a report, when the launch has run.
int launch(Launch launch, void *stream);

/// The arguments, evaluated now.
template <typename... T> std::tuple<std::decay_t<T>...> arguments(T &&...values) {
    static_assert((0 + ... + sizeof(std::decay_t<T>)) <= 4096, "more than a kernel's parameters");
    return {std::forward<T>(values)...};
}

} // namespace simt

#define DK_LAUNCH_SHARED(kernel, grid, block, bytes, stream, ...)                                  \
    ::simt::launch({#kernel, (grid), (block), (bytes),                                             \
                    [simt_arguments = ::simt::arguments(__VA_ARGS__)] {                            \
                        std::apply([](const auto &...simt_values) { kernel(simt_values...); },     \
                                   simt_arguments);                                                \
                    }},                                                                            \
                   (stream))

/// kernel<<<grid, block, 0, stream>>>(…)
#define DK_LAUNCH(kernel, grid, block, stream, ...)                                                \
    DK_LAUNCH_SHARED(kernel, grid, block, 0, stream, __VA_ARGS__)

#endif
