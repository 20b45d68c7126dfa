// Shared memory: each array has red zones on both sides under AddressSanitizer, and is filled with
// 0xFF (NaN, −1) for each block, so that nothing is read which the block didn't write.
#ifndef DELTAK_TESTS_SIMT_SHARED_H
#define DELTAK_TESTS_SIMT_SHARED_H

#include "simt/toolkit.h"

namespace simt {

/// The number of the running block, counted over all launches.
extern std::uint64_t block_serial;

/// The memory of one declaration; static, therefore reachable for the leak checker.
struct SharedArray {
    std::uint64_t block = 0; ///< whose values it holds
    void *memory = nullptr;

    template <typename T> T *of_block(std::size_t count) {
        if (block != block_serial) renew(count * sizeof(T), alignof(T));
        return static_cast<T *>(memory);
    }

  private:
    void renew(std::size_t bytes, std::size_t alignment);
};

/// The memory that the launch asked for.
void *dynamic_shared();

} // namespace simt

/// An array in a block's shared memory, of a size known to the compiler. It's aligned as its type
/// is and no better, as CUDA promises.
#define DK_SHARED(type, name, count)                                                               \
    static ::simt::SharedArray name##_memory;                                                      \
    type(&name)[count] = *reinterpret_cast<type(*)[count]>(name##_memory.of_block<type>(count))

/// The block's shared memory of the size given to DK_LAUNCH_SHARED.
#define DK_DYNAMIC_SHARED(type, name)                                                              \
    type *const name = static_cast<type *>(::simt::dynamic_shared())

#endif
