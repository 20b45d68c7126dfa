// Device and pinned memory of the emulation. Beside each block lies a gap that belongs to nobody:
// AddressSanitizer, and the watch over kernels (watch.cpp), report who touches it.
#include "insides.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define EMULATED_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATED_ASAN 1
#endif
#endif
#if defined(EMULATED_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace emulated {

namespace {

constexpr size_t page = 4096, boundary = 256;
constexpr size_t poisoned = size_t{64} << 10; ///< of each end of a large block

void forbid([[maybe_unused]] const void *p, [[maybe_unused]] size_t bytes) {
#if defined(EMULATED_ASAN)
    ASAN_POISON_MEMORY_REGION(p, bytes);
#endif
}

void allow([[maybe_unused]] const void *p, [[maybe_unused]] size_t bytes) {
#if defined(EMULATED_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
#endif
}

/// The block, up to a boundary, and a gap.
size_t room_of(size_t bytes) {
    return (bytes + boundary - 1) / boundary * boundary + boundary;
}

/// Addresses that nothing lies at yet.
char *reserve(size_t bytes) {
    void *const mapped =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped != MAP_FAILED) return static_cast<char *>(mapped);
    perror("emulated CUDA: mmap");
    abort();
}

} // namespace

Arena::Arena() : base_(reserve(2 * range)), top_{base_ + range, base_} {
    rewind(true);
    rewind(false);
}

/// Nothing of the range is in use any more: it begins anew, as fresh pages.
void Arena::rewind(bool device) {
    constexpr int often = 200;
    char *const first = base_ + (device ? 0 : range);
    if (next_[device] > first) {
        const size_t pages = (static_cast<size_t>(next_[device] - first) + page - 1) / page * page;
        allow(first, pages);
        madvise(first, pages, MADV_DONTNEED);
    }
    next_[device] = first + boundary;
    if (!device) return;
    closings_ = often;
    open(false);
}

/// Large steps: a call of the kernel for each block would take longer than the rest.
void Arena::grow(bool device) {
    constexpr size_t large = size_t{64} << 20;
    if (next_[device] <= top_[device]) return;
    const auto needed = static_cast<size_t>(next_[device] - top_[device]);
    const size_t bytes = (needed + large - 1) / large * large;
    if (open_ || !device) mprotect(top_[device], bytes, PROT_READ | PROT_WRITE);
    top_[device] += bytes;
}

char *Arena::take(size_t bytes, bool on_device, bool ours) {
    char *const first = base_ + (on_device ? 0 : range);
    char *const data = next_[on_device];
    const size_t room = room_of(bytes);
    if (room > range || static_cast<size_t>(data - first) > range - room) return nullptr;
    next_[on_device] += room;
    grow(on_device);
    allow(data, bytes);
    forbid(data - boundary, boundary);
    forbid(data + bytes, room - bytes);
    if (on_device || bytes <= poisoned) {
        const Access access;
        const size_t end = std::min(bytes, poisoned);
        memset(data, 0xFF, end);
        memset(data + bytes - end, 0xFF, end);
    }
    allocations_[data] = Allocation{data, bytes, on_device, ours};
    used_[on_device] += bytes;
    return data;
}

void Arena::release(char *data) {
    const auto at = allocations_.find(data);
    const Allocation gone = at->second;
    allocations_.erase(at);
    used_[gone.device] -= gone.bytes;
    auto *const first =
        reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(data) + page - 1) / page * page);
    auto *const end =
        reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(data) + gone.bytes) / page * page);
    {
        const Access access;
        if (first < end) madvise(first, static_cast<size_t>(end - first), MADV_DONTNEED);
        memset(data, 0xFF, std::min(gone.bytes, page));
    }
    forbid(data, gone.bytes);
    if (used_[gone.device] == 0) rewind(gone.device);
}

void Arena::release_all() {
    allocations_.clear();
    used_[0] = used_[1] = 0;
    rewind(true);
    rewind(false);
}

const Allocation *Arena::find(const void *p, size_t bytes) const {
    const auto *const first = static_cast<const char *>(p);
    const auto after = allocations_.upper_bound(first);
    if (after == allocations_.begin()) return nullptr;
    const Allocation &block = std::prev(after)->second;
    const auto offset = static_cast<size_t>(first - block.data);
    return offset <= block.bytes && bytes <= block.bytes - offset ? &block : nullptr;
}

void Arena::open(bool open) {
    if (open == open_ || (!open && closings_-- <= 0)) return;
    open_ = open;
    mprotect(base_, static_cast<size_t>(top_[1] - base_),
             open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

int Access::depth_ = 0;

Access::Access() : outer_(depth_++ == 0) {
    if (outer_) device().arena.open(true);
}

Access::~Access() {
    --depth_;
    if (outer_) device().arena.open(false);
}

void set_bytes(void *memory, int value, size_t bytes) {
    auto *const data = static_cast<char *>(memory);
    const auto address = reinterpret_cast<uintptr_t>(memory);
    const uintptr_t first = (address + page - 1) / page * page,
                    end = (address + bytes) / page * page;
    if (value != 0 || bytes < poisoned) {
        memset(data, value, bytes);
        return;
    }
    memset(data, 0, first - address);
    madvise(reinterpret_cast<void *>(first), end - first, MADV_DONTNEED);
    memset(reinterpret_cast<void *>(end), 0, address + bytes - end);
}

} // namespace emulated
