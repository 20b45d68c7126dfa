// The spaces of memory: what is checked before threads touch them, and where they lie.
#ifndef DELTAK_TESTS_EMULATED_PTX_SPACES_H
#define DELTAK_TESTS_EMULATED_PTX_SPACES_H

#include "block.h"

namespace ptx {

/// The lanes of a mask, one after the other.
template <class Do> void for_lanes(uint32_t lanes, const Do &run) {
    for (; lanes; lanes &= lanes - 1) run(static_cast<unsigned>(__builtin_ctz(lanes)));
}

using Addresses = uint64_t[lane_count];

struct GlobalSpace {
    using Address = uint64_t;
    static void touch(Warp &warp, Access access, const Addresses &addresses, size_t bytes);
    static std::byte *at(Warp &, uint64_t address) {
        return reinterpret_cast<std::byte *>(static_cast<uintptr_t>(address));
    }
};

struct SharedSpace {
    using Address = uint32_t;
    static void touch(Warp &warp, Access access, const Addresses &addresses, size_t bytes);
    static std::byte *at(Warp &warp, uint64_t address) { return warp.block.shared(address); }
};

struct ParameterSpace {
    using Address = uint64_t;
    static void touch(Warp &warp, Access access, const Addresses &addresses, size_t bytes);
    static std::byte *at(Warp &warp, uint64_t address) {
        return warp.block.grid.parameters.data() + address;
    }
};

} // namespace ptx

#endif
