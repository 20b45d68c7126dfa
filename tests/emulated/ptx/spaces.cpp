#include "spaces.h"

#include <algorithm>

namespace ptx {

static void check_aligned(const Warp &warp, const Addresses &addresses, size_t bytes) {
    uint64_t bits = 0;
    for (unsigned lane = 0; lane < lane_count; ++lane)
        bits |= warp.active >> lane & 1 ? addresses[lane] : 0;
    if (bits % bytes == 0) return;
    for_lanes(warp.active, [&](unsigned lane) {
        if (addresses[lane] % bytes != 0)
            warp.fault(lane, "misaligned access of " + std::to_string(bytes) + " bytes");
    });
}

/// Every thread waits for the kernels before this one before it touches what they may have written.
static void note_early(Warp &warp) {
    const uint32_t early = warp.active & ~warp.waited;
    std::string &text = warp.block.grid.early;
    if (early && text.empty())
        text = warp.describe(static_cast<unsigned>(__builtin_ctz(early)),
                             "touches global memory before griddepcontrol.wait");
}

namespace {

/// Hands neighbouring threads' bytes to the hook together.
class Spans {
  public:
    Spans(const Warp &warp, Access access)
        : warp_(warp), access_(access), waited_((warp.active & ~warp.waited) == 0) {}

    void add(unsigned lane, uint64_t address, size_t bytes) {
        if (address + bytes < address) outside(lane);
        if (address >= first_ && address + bytes <= end_) return;
        if (bytes_ == 0 || address != end_) {
            flush();
            first_ = address;
            lane_ = lane;
            bytes_ = bytes;
        }
        end_ = address + bytes;
    }

    void flush() {
        if (end_ == first_ || touch(first_, end_ - first_)) return;
        unsigned lane = lane_; // the first lane whose own bytes are outside
        for (uint64_t at = first_; at + bytes_ < end_ && touch(at, bytes_); at += bytes_) ++lane;
        outside(lane);
    }

  private:
    [[noreturn]] void outside(unsigned lane) const {
        warp_.fault(lane, "touches global memory outside of allocations");
    }
    bool touch(uint64_t address, size_t bytes) const {
        return warp_.block.grid.hooks.global(access_, static_cast<uintptr_t>(address), bytes,
                                             waited_);
    }

    const Warp &warp_;
    const Access access_;
    const bool waited_;
    uint64_t first_ = 0, end_ = 0;
    unsigned lane_ = 0;
    size_t bytes_ = 0;
};

} // namespace

void GlobalSpace::touch(Warp &warp, Access access, const Addresses &addresses, size_t bytes) {
    check_aligned(warp, addresses, bytes);
    note_early(warp);
    Spans spans(warp, access);
    for_lanes(warp.active, [&](unsigned lane) { spans.add(lane, addresses[lane], bytes); });
    spans.flush();
}

void SharedSpace::touch(Warp &warp, Access access, const Addresses &addresses, size_t bytes) {
    Block &block = warp.block;
    for_lanes(warp.active, [&](unsigned lane) {
        const uint32_t bit = 1u << lane;
        if (access == Access::write)
            block.write(warp, lane, addresses[lane], bytes, !(warp.unknown & bit));
        else if (!block.read(warp, lane, addresses[lane], bytes))
            warp.unknown |= bit;
    });
}

void ParameterSpace::touch(Warp &warp, Access, const Addresses &addresses, size_t bytes) {
    check_aligned(warp, addresses, bytes);
    const size_t size = warp.block.grid.parameters.size();
    uint64_t last = 0;
    for (unsigned lane = 0; lane < lane_count; ++lane)
        last = std::max(last, warp.active >> lane & 1 ? addresses[lane] : 0);
    if (bytes <= size && last <= size - bytes) return;
    for_lanes(warp.active, [&](unsigned lane) {
        if (addresses[lane] > size || bytes > size - addresses[lane])
            warp.fault(lane, "reads outside of the parameters");
    });
}

} // namespace ptx
