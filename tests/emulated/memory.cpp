// The runtime's calls for memory: allocation, attributes of addresses, copies.
#include "insides.h"

#include <algorithm>
#include <cstring>

namespace emulated {

namespace {

cudaError_t allocate(const char *name, void **memory, size_t bytes, bool on_device) {
    Call call(name, Call::waiting);
    *memory = nullptr;
    if (call.error) return call.error;
    Device &d = call.device;
    if (bytes == 0) return cudaSuccess;
    const size_t total = on_device ? d.settings.device_memory : d.settings.pinned_memory;
    const size_t used = d.arena.in_use(on_device), left = used < total ? total - used : 0;
    char *const data = bytes > left ? nullptr : d.arena.take(bytes, on_device, in_context());
    if (!data) return noted(cudaErrorMemoryAllocation);
    ++d.counts.allocations;
    *memory = data;
    return cudaSuccess;
}

/// Waits for everything first, as CUDA does.
cudaError_t give_back(const char *name, void *memory, bool on_device) {
    if (!memory) return cudaSuccess;
    Call call(name, Call::release);
    if (call.error) return call.error;
    Device &d = call.device;
    d.drain();
    const Allocation *block = d.arena.find(memory, 1);
    if (!block || block->data != memory || block->device != on_device) {
        d.report(std::string(name) + ": not the start of an allocation of that kind");
        return noted(cudaErrorInvalidValue);
    }
    d.arena.release(block->data);
    return noted(d.sticky);
}

/// Whether [p, p + bytes) can be copied from or to; reports where it can't. Memory of the host that CUDA
/// doesn't know would be copied at once, or behind a wait: deltak queues none.
bool copyable(const std::string &what, const void *p, size_t bytes) {
    if (device().arena.find(p, bytes)) return true;
    device().report(what + ": " + std::to_string(bytes) +
                    " bytes that don't lie in one allocation (any more)");
    return false;
}

/// What the host's pinned memory holds when a copy of it is queued, to be compared when it runs: no work
/// that deltak queues writes what a later copy reads from there. Of a recording it may change between
/// launches.
class Staged {
  public:
    Staged(const void *from, size_t bytes) : from_(from) {
        const Allocation *block = device().arena.find(from, bytes);
        bytes_ = block && !block->device ? bytes : 0;
        sum_ = sum();
    }
    bool is_as_queued() const { return sum_ == sum(); }

  private:
    /// Of words: sums of sums, which differ with the order, too (Fletcher's).
    std::pair<uint64_t, uint64_t> sum() const {
        uint64_t first = 0, second = 0;
        const auto *bytes = static_cast<const char *>(from_);
        for (size_t at = 0; at < bytes_; at += sizeof(uint64_t)) {
            uint64_t word = 0;
            memcpy(&word, bytes + at, std::min(sizeof word, bytes_ - at));
            first += word;
            second += first;
        }
        return {first, second};
    }

    const void *from_;
    size_t bytes_ = 0;
    std::pair<uint64_t, uint64_t> sum_;
};

void run_copy(void *to, const void *from, size_t bytes, Footprint &touched) {
    Device &d = device();
    ++d.counts.copies;
    d.counts.copied_bytes += bytes;
    if (!copyable("copy: to", to, bytes) || !copyable("copy: from", from, bytes)) return;
    touched.add(Touch::read, from, bytes);
    touched.add(Touch::write, to, bytes);
    memmove(to, from, bytes);
}

void run_set(void *memory, int value, size_t bytes, Footprint &touched) {
    ++device().counts.zeros;
    if (!copyable("memset", memory, bytes)) return;
    touched.add(Touch::write, memory, bytes);
    set_bytes(memory, value, bytes);
}

} // namespace

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

} // namespace emulated

using emulated::Call;
using emulated::copyable;
using emulated::Footprint;
using emulated::noted;

cudaError_t cudaMalloc(void **memory, size_t bytes) {
    return emulated::allocate("cudaMalloc", memory, bytes, true);
}

cudaError_t cudaFree(void *memory) {
    return emulated::give_back("cudaFree", memory, true);
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned) {
    return emulated::allocate("cudaHostAlloc", memory, bytes, false);
}

cudaError_t cudaFreeHost(void *memory) {
    return emulated::give_back("cudaFreeHost", memory, false);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    const Call call("cudaMemGetInfo");
    if (call.error) return call.error;
    const size_t used = call.device.arena.in_use(true);
    *total = call.device.settings.device_memory;
    *available = used < *total ? *total - used : 0;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *p) {
    const Call call("cudaPointerGetAttributes");
    if (call.error) return call.error;
    const emulated::Allocation *block = call.device.arena.find(p, 1);
    *attributes = cudaPointerAttributes{};
    attributes->device = block ? 0 : -2;
    attributes->type = !block          ? cudaMemoryTypeUnregistered
                       : block->device ? cudaMemoryTypeDevice
                                       : cudaMemoryTypeHost;
    attributes->devicePointer = block ? const_cast<void *>(p) : nullptr;
    attributes->hostPointer = block && !block->device ? const_cast<void *>(p) : nullptr;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
    const Call call("cudaMemcpyAsync");
    if (call.error) return call.error;
    // Now, and when it runs: a graph may outlive what it reads.
    const bool valid = copyable("cudaMemcpyAsync: to", to, bytes) &&
                       copyable("cudaMemcpyAsync: from", from, bytes);
    if (valid && static_cast<char *>(to) < static_cast<const char *>(from) + bytes &&
        static_cast<const char *>(from) < static_cast<char *>(to) + bytes)
        call.device.report("cudaMemcpyAsync: source and target overlap");
    const emulated::Stream *on = call.device.stream(stream, "cudaMemcpyAsync");
    const emulated::Staged staged(from, valid && on && !on->capture ? bytes : 0);
    return call.device.submit(stream, "cudaMemcpyAsync",
                              {"a copy",
                               [=](Footprint &touched) {
                                   if (!staged.is_as_queued())
                                       emulated::device().report(
                                           "a copy from memory that the host has written since");
                                   emulated::run_copy(to, from, bytes, touched);
                               },
                               call.device.settings.other_ms, cudaGraphNodeTypeMemcpy});
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream) {
    const Call call("cudaMemsetAsync");
    if (call.error) return call.error;
    copyable("cudaMemsetAsync", memory, bytes);
    return call.device.submit(
        stream, "cudaMemsetAsync",
        {"a memset", [=](Footprint &touched) { emulated::run_set(memory, value, bytes, touched); },
         call.device.settings.other_ms, cudaGraphNodeTypeMemset});
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    return error ? error : cudaStreamSynchronize(nullptr);
}
