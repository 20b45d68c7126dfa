// Device and pinned memory of the stand-in. Device memory starts as 0xFF bytes (NaN in every type),
// so that nothing lives on zeros that nobody wrote. Pinned memory starts as zeros, as gpu.h says, from calloc,
// which has them for nothing: most of a context's megabytes are never touched by a small training.
#include "insides.h"

#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define STANDIN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STANDIN_ASAN 1
#endif
#endif
#if defined(STANDIN_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace standin {

void forbid(const void *p, size_t bytes) {
#if defined(STANDIN_ASAN)
    ASAN_POISON_MEMORY_REGION(p, bytes);
#else
    (void)p;
    (void)bytes;
#endif
}

void allow(const void *p, size_t bytes) {
#if defined(STANDIN_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
#else
    (void)p;
    (void)bytes;
#endif
}

Access::Access() {
    for (const auto &entry : device().regions)
        if (entry.second.device) allow(entry.second.data, entry.second.bytes);
}

Access::~Access() {
    for (const auto &entry : device().regions)
        if (entry.second.device) forbid(entry.second.data, entry.second.bytes);
}

size_t Device::in_use(bool on_device) const {
    size_t bytes = 0;
    for (const auto &entry : regions)
        if (entry.second.device == on_device) bytes += entry.second.bytes;
    return bytes;
}

const Region *Device::find(const void *p, size_t bytes) const {
    const char *first = static_cast<const char *>(p);
    auto after = regions.upper_bound(first);
    if (after == regions.begin()) return nullptr;
    const Region &region = std::prev(after)->second;
    const auto offset = static_cast<size_t>(first - region.data);
    return offset <= region.bytes && bytes <= region.bytes - offset ? &region : nullptr;
}

void Device::release(const Region &region) {
    allow(region.data, region.bytes);
    if (region.device)
        memset(region.data, 0xFF, region.bytes); // whoever reads it later gets garbage
    free(region.block);
}

/// Zeros in a block of the heap, on a boundary that calloc doesn't know; what lies beside them is forbidden.
static char *memory_of_heap(size_t bytes, void **block) {
    constexpr size_t boundary = 256;
    auto *const first = static_cast<char *>(calloc(1, bytes + boundary));
    *block = first;
    if (!first) return nullptr;
    const size_t before = boundary - reinterpret_cast<uintptr_t>(first) % boundary;
    forbid(first, before);
    forbid(first + before + bytes, boundary - before);
    return first + before;
}

static dk_status allocate(dki_gpu *gpu, const char *call, size_t bytes, bool on_device,
                          void **memory) {
    Device &d = device();
    const Guard guard(d.lock);
    *memory = nullptr;
    DKI_TRY(d.enter_waiting(call));
    if (bytes == 0) bytes = 1; // so that it has an address, as in gpu_memory.c
    const size_t total = on_device ? d.device_total : d.pinned_total, used = d.in_use(on_device);
    const size_t left = used < total ? total - used : 0;
    void *block = nullptr;
    char *const data = bytes > left ? nullptr : memory_of_heap(bytes, &block);
    if (!data)
        return dki_fail(DK_E_MEMORY, "%s: %zu bytes wanted, %zu of %zu free (stand-in)", call,
                        bytes, left, total);
    if (on_device) {
        memset(data, 0xFF, bytes);
        forbid(data, bytes);
    }
    d.regions[data] = Region{data, block, bytes, on_device, gpu};
    ++d.counts.allocations;
    *memory = data;
    return DK_OK;
}

/// Waits for everything first, as CUDA does.
static void give_back(const char *call, void *memory, bool on_device) {
    if (!memory) return;
    Device &d = device();
    const Guard guard(d.lock);
    if (d.break_captures(call)) d.report(std::string(call) + ": while this thread captures");
    d.drain();
    d.finish_all();
    auto at = d.regions.find(static_cast<char *>(memory));
    if (at == d.regions.end() || at->second.device != on_device)
        return d.report(std::string(call) + ": not the start of an allocation of that kind");
    const Region region = at->second;
    d.regions.erase(at);
    d.release(region);
}

/// Whether [p, p + bytes) can be copied from or to; reports where it can't.
static bool copyable(const char *call, const void *p, size_t bytes) {
    if (device().find(p, bytes)) return true;
    device().report(std::string(call) + ": " + std::to_string(bytes) +
                    " bytes that don't lie in one allocation (any more)");
    return false;
}

void peek(void *to, const void *from, size_t bytes) {
    const Guard guard(device().lock);
    const Access access;
    if (copyable("peek", from, bytes)) memcpy(to, from, bytes);
}

void poke(void *to, const void *from, size_t bytes) {
    const Guard guard(device().lock);
    const Access access;
    if (copyable("poke", to, bytes)) memcpy(to, from, bytes);
}

static void run_copy(void *to, const void *from, size_t bytes) {
    Device &d = device();
    ++d.counts.copies;
    d.counts.copied_bytes += bytes;
    if (copyable("copy: to", to, bytes) && copyable("copy: from", from, bytes))
        memmove(to, from, bytes);
}

static void run_zero(void *memory, size_t bytes) {
    ++device().counts.zeros;
    if (copyable("zero", memory, bytes)) memset(memory, 0, bytes);
}

} // namespace standin

using standin::device;
using standin::Guard;

dk_status dki_gpu_memory(dki_gpu *, uint64_t *total, uint64_t *free_now) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    DKI_TRY(d.enter("dki_gpu_memory"));
    const size_t used = d.in_use(true);
    *total = d.device_total;
    *free_now = used < d.device_total ? d.device_total - used : 0;
    return DK_OK;
}

dk_status dki_gpu_alloc(dki_gpu *gpu, size_t bytes, void **memory) {
    return standin::allocate(gpu, "dki_gpu_alloc", bytes, true, memory);
}

void dki_gpu_free(dki_gpu *, void *memory) {
    standin::give_back("dki_gpu_free", memory, true);
}

dk_status dki_gpu_alloc_host(dki_gpu *gpu, size_t bytes, void **memory) {
    return standin::allocate(gpu, "dki_gpu_alloc_host", bytes, false, memory);
}

void dki_gpu_free_host(dki_gpu *, void *memory) {
    standin::give_back("dki_gpu_free_host", memory, false);
}

dk_status dki_gpu_is_resident(dki_gpu *, const void *p, size_t bytes, bool *resident) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    *resident = false;
    DKI_TRY(d.enter("dki_gpu_is_resident"));
    const standin::Region *region = d.find(p, bytes ? bytes : 1);
    *resident = region && region->device;
    return DK_OK;
}

dk_status dki_gpu_copy(dki_gpu *, dki_stream stream, void *to, const void *from, size_t bytes) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    // Now, and when it runs: a graph may outlive what it reads.
    const bool valid = standin::copyable("dki_gpu_copy: to", to, bytes) &&
                       standin::copyable("dki_gpu_copy: from", from, bytes);
    if (valid && static_cast<char *>(to) < static_cast<const char *>(from) + bytes &&
        static_cast<const char *>(from) < static_cast<char *>(to) + bytes)
        d.report("dki_gpu_copy: source and target overlap");
    return d.submit(stream, "dki_gpu_copy",
                    {[=] { standin::run_copy(to, from, bytes); }, d.other_ms, false});
}

dk_status dki_gpu_zero(dki_gpu *, dki_stream stream, void *memory, size_t bytes) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    standin::copyable("dki_gpu_zero", memory, bytes);
    return d.submit(stream, "dki_gpu_zero",
                    {[=] { standin::run_zero(memory, bytes); }, d.other_ms, false});
}
