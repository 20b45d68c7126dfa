// Shared memory on the heap, an allocation for each array: its ends are exact for
// AddressSanitizer.
#include "simt/shared.h"

#include "simt/fiber.h"

#include <new>

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace simt {

/// Kept from block to block, filled anew. An array whose type needs 8 bytes or less lies 8 bytes off
/// a multiple of 16, so that a 128-bit access to it is seen as the misaligned one it may be.
void SharedArray::renew(std::size_t bytes, std::size_t alignment) {
    const std::size_t before = alignment <= 8 ? 8 : 0;
    if (memory == nullptr) {
        const std::align_val_t boundary{alignment <= 16 ? 16 : alignment};
        char *const block_of_heap = static_cast<char *>(::operator new(before + bytes, boundary));
#if defined(SIMT_ASAN)
        __asan_poison_memory_region(block_of_heap, before);
#endif
        memory = block_of_heap + before;
    }
    std::memset(memory, 0xff, bytes);
    block = block_serial;
}

} // namespace simt
