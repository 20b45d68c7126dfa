// The watch over kernels' accesses, and the functions that a compiler's -fsanitize=thread calls.
#include "insides.h"

#include "watch.h"

#include "simt/simt.h"

#include <algorithm>
#include <cstring>

namespace emulated {

Watch *Watch::current_ = nullptr;
uintptr_t Watch::first_ = 0, Watch::bytes_ = 0;

Watch::Watch(const std::string &kernel, bool dependent) : kernel_(kernel), dependent_(dependent) {
    current_ = this;
    first_ = device().arena.first();
    bytes_ = device().arena.bytes();
}

Watch::~Watch() {
    current_ = nullptr;
    bytes_ = 0;
}

/// Makes the page known, and notes the access there; both of its ends lie in one page, or it is cut.
bool Watch::find(Touch touch, uintptr_t address, size_t bytes) {
    const Allocation *block = device().arena.find(reinterpret_cast<const void *>(address), bytes);
    if (!block) return false;
    const auto first = reinterpret_cast<uintptr_t>(block->data), end = first + block->bytes;
    while (bytes > 0) {
        const uintptr_t begin = address / page * page;
        const size_t now = std::min(bytes, begin + page - address);
        Known &known = known_[address / page % known_count];
        known = {std::max(first, begin), std::min(end, begin + page),
                 &gathered_.bits_of(address / page)};
        known.bits->set(touch, address % page, now);
        address += now;
        bytes -= now;
    }
    return true;
}

void Watch::report_early() {
    if (early_) return;
    early_ = true;
    device().report(kernel_ + ": touches memory before it has waited for the work before it");
}

void Watch::outside(size_t bytes) {
    if (outside_) return;
    outside_ = true;
    device().report(kernel_ + ": touches " + std::to_string(bytes) +
                    " bytes outside of any allocation");
}

void Watch::misaligned(size_t bytes) {
    if (misaligned_) return;
    misaligned_ = true;
    device().report(kernel_ + ": takes " + std::to_string(bytes) +
                    " bytes at a misaligned address");
}

namespace {

[[gnu::noinline]] void note_watched(Touch touch, uintptr_t address, size_t bytes) {
    Watch *const watch = Watch::current();
    if (!watch->touch(touch, address, bytes, !watch->is_dependent() || simt::has_waited()))
        watch->outside(bytes);
}

/// The stack, shared memory, constants and a thread's indices aren't of the device's memory: most accesses
/// end here.
[[gnu::always_inline]] inline void note(Touch touch, const void *p, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(p);
    if (__builtin_expect(Watch::watches(address), 0)) note_watched(touch, address, bytes);
}

[[gnu::always_inline]] inline void note_aligned(Touch touch, const void *p, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(p);
    if (__builtin_expect(!Watch::watches(address), 1)) return;
    if (address % bytes != 0) Watch::current()->misaligned(bytes);
    note_watched(touch, address, bytes);
}

} // namespace

} // namespace emulated

#if defined(EMULATED_WATCH)
// The interface between compilers and ThreadSanitizer (LLVM's compiler-rt, tsan_interface.h).
using emulated::note;
using emulated::note_aligned;
using emulated::Touch;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void *) {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}

#define ACCESS(bytes)                                                                              \
    void __tsan_read##bytes(void *p) {                                                             \
        note_aligned(Touch::read, p, bytes);                                                       \
    }                                                                                              \
    void __tsan_write##bytes(void *p) {                                                            \
        note_aligned(Touch::write, p, bytes);                                                      \
    }                                                                                              \
    void __tsan_unaligned_read##bytes(void *p) {                                                   \
        note(Touch::read, p, bytes);                                                               \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(void *p) {                                                  \
        note(Touch::write, p, bytes);                                                              \
    }                                                                                              \
    void __tsan_volatile_read##bytes(void *p) {                                                    \
        note_aligned(Touch::read, p, bytes);                                                       \
    }                                                                                              \
    void __tsan_volatile_write##bytes(void *p) {                                                   \
        note_aligned(Touch::write, p, bytes);                                                      \
    }                                                                                              \
    void __tsan_read_write##bytes(void *p) {                                                       \
        note_aligned(Touch::write, p, bytes);                                                      \
    }                                                                                              \
    void __tsan_unaligned_read_write##bytes(void *p) {                                             \
        note(Touch::write, p, bytes);                                                              \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
#undef ACCESS

void __tsan_read_range(void *p, size_t bytes) {
    note(Touch::read, p, bytes);
}
void __tsan_write_range(void *p, size_t bytes) {
    note(Touch::write, p, bytes);
}

void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
    note(Touch::read, from, bytes);
    note(Touch::write, to, bytes);
    return memcpy(to, from, bytes);
}
void *__tsan_memmove(void *to, const void *from, size_t bytes) {
    note(Touch::read, from, bytes);
    note(Touch::write, to, bytes);
    return memmove(to, from, bytes);
}
void *__tsan_memset(void *to, int value, size_t bytes) {
    note(Touch::write, to, bytes);
    return memset(to, value, bytes);
}

#define ATOMIC(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *p, int) {                                 \
        note_aligned(Touch::atomic, const_cast<const type *>(p), sizeof(type));                    \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                               \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *p, type value, int) {                          \
        note_aligned(Touch::atomic, const_cast<const type *>(p), sizeof(type));                    \
        __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                              \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_add(volatile type *p, type value, int) {                      \
        note_aligned(Touch::atomic, const_cast<const type *>(p), sizeof(type));                    \
        return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);                                     \
    }                                                                                              \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type expected, type value,   \
                                                    int, int) {                                    \
        note_aligned(Touch::atomic, const_cast<const type *>(p), sizeof(type));                    \
        __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST,                  \
                                    __ATOMIC_SEQ_CST);                                             \
        return expected;                                                                           \
    }                                                                                              \
    bool __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *expected,           \
                                                       type value, int, int) {                     \
        note_aligned(Touch::atomic, const_cast<const type *>(p), sizeof(type));                    \
        return __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_SEQ_CST,            \
                                           __ATOMIC_SEQ_CST);                                      \
    }
ATOMIC(32, unsigned)
ATOMIC(64, unsigned long long)
#undef ATOMIC
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}

} // extern "C"
#endif
