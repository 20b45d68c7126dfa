// What threads of a block do together. Each call knows its place in the source, so that a report
// can name it.
#ifndef DELTAK_TESTS_SIMT_SYNC_H
#define DELTAK_TESTS_SIMT_SYNC_H

#include "simt/toolkit.h"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

namespace simt {

/// A place in the source.
struct Site {
    const char *file;
    int line;
};

/// A call of a barrier: how many of the block's threads gave a predicate that isn't 0.
int barrier(const char *name, bool predicate, Site site);

/// What one lane brings to a function of its warp.
struct WarpCall {
    const char *name;
    unsigned mask;
    unsigned source;     ///< the lane whose value it wants, or every_lane
    std::uint64_t value; ///< bits, or a predicate
    Site site;
};
constexpr unsigned every_lane = ~0u;

/// The value of lane `source`, all bits set where the mask doesn't name it; of every lane: the set
/// of those whose value isn't 0.
std::uint64_t exchange(const WarpCall &call);
unsigned lane();

/// What stands for dki_wait_for_earlier: notes that the thread has waited. Kernels run one after the
/// other.
void wait_for_earlier();

void report_misaligned(const void *address, std::size_t bytes, Site site);

/// Reports an address that isn't a multiple of `bytes`; for packed loads and stores to call.
inline void check_aligned(const void *address, std::size_t bytes,
                          const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    if (reinterpret_cast<std::uintptr_t>(address) % bytes == 0) return;
    report_misaligned(address, bytes, {file, line});
}

inline unsigned ballot(const char *name, unsigned mask, bool predicate, Site site) {
    return static_cast<unsigned>(exchange({name, mask, every_lane, predicate, site}));
}

template <typename T>
T shuffle(const char *name, unsigned mask, T value, unsigned source, Site site) {
    static_assert(std::is_trivially_copyable<T>::value && sizeof(T) <= 8, "not a value to shuffle");
    WarpCall call{name, mask, source, 0, site};
    std::memcpy(&call.value, &value, sizeof value);
    const std::uint64_t bits = exchange(call);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

} // namespace simt

#define SIMT_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(SIMT_SITE) {
    simt::barrier("__syncthreads", false, {file, line});
}
inline int __syncthreads_count(int predicate, SIMT_SITE) {
    return simt::barrier("__syncthreads_count", predicate != 0, {file, line});
}
inline int __syncthreads_or(int predicate, SIMT_SITE) {
    return simt::barrier("__syncthreads_or", predicate != 0, {file, line}) != 0;
}
inline int __syncthreads_and(int predicate, SIMT_SITE) {
    return simt::barrier("__syncthreads_and", predicate == 0, {file, line}) == 0;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, SIMT_SITE) {
    simt::ballot("__syncwarp", mask, false, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_SITE) {
    return simt::ballot("__ballot_sync", mask, predicate != 0, {file, line});
}
inline int __any_sync(unsigned mask, int predicate, SIMT_SITE) {
    return simt::ballot("__any_sync", mask, predicate != 0, {file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SIMT_SITE) {
    return simt::ballot("__all_sync", mask, predicate == 0, {file, line}) == 0;
}

// The shuffles of section "Warp Shuffle Functions" of the CUDA programming guide: a lane of one
// segment of `width` lanes never reads another segment, and has its own value back instead.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, SIMT_SITE) {
    const unsigned segment = simt::lane() & ~static_cast<unsigned>(width - 1);
    return simt::shuffle(
        "__shfl_sync", mask, value,
        segment + (static_cast<unsigned>(source) & static_cast<unsigned>(width - 1)), {file, line});
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, SIMT_SITE) {
    const unsigned lane = simt::lane(), size = static_cast<unsigned>(width);
    return simt::shuffle("__shfl_down_sync", mask, value,
                         (lane & (size - 1)) + delta < size ? lane + delta : lane, {file, line});
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, SIMT_SITE) {
    const unsigned lane = simt::lane(), size = static_cast<unsigned>(width);
    return simt::shuffle("__shfl_up_sync", mask, value,
                         (lane & (size - 1)) >= delta ? lane - delta : lane, {file, line});
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int flip, int width = warpSize, SIMT_SITE) {
    const unsigned lane = simt::lane(), size = static_cast<unsigned>(width);
    const unsigned source = lane ^ static_cast<unsigned>(flip);
    // Earlier segments may be read, later ones not.
    return simt::shuffle("__shfl_xor_sync", mask, value,
                         source < (lane | (size - 1)) + 1 ? source : lane, {file, line});
}

#undef SIMT_SITE

#endif
