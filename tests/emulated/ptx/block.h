// The threads of a block, and the memory that they share.
#ifndef DELTAK_TESTS_EMULATED_PTX_BLOCK_H
#define DELTAK_TESTS_EMULATED_PTX_BLOCK_H

#include "warp.h"

#include <deque>
#include <random>

namespace ptx {

/// A launch, as every block of it sees it.
struct Grid {
    const Module &module;
    const Kernel &kernel;
    const Launch &launch;
    const Hooks &hooks;
    std::vector<std::byte> parameters;
    std::string early; ///< the first access before griddepcontrol.wait, or end without it
};

class Block {
  public:
    explicit Block(Grid &grid);
    void run(Dim index, std::mt19937_64 &random);

    /// Notes that a thread reads or writes shared memory, which others may do only across a barrier.
    /// Returns whether what it reads is known: was written, and not with what wasn't known itself.
    bool read(const Warp &warp, unsigned lane, uint64_t address, size_t bytes);
    void write(const Warp &warp, unsigned lane, uint64_t address, size_t bytes, bool known);
    std::byte *shared(uint64_t address) { return shared_.data() + address; }

    Grid &grid;
    Dim index;

  private:
    /// Who touched a unit of shared memory, and between which barriers.
    struct Trace {
        uint64_t written = 0, read = 0; ///< barriers passed before
        unsigned writer = 0, reader = 0;
        bool known = false;
    };
    static constexpr unsigned several = ~0u;

    void check(const Warp &warp, unsigned lane, uint64_t address, size_t bytes) const;
    [[noreturn]] void race(const Warp &warp, unsigned lane, const char *what, unsigned other) const;

    std::deque<Warp> warps_;
    std::vector<std::byte> shared_;
    std::vector<Trace> traces_;
    uint64_t passed_ = 0, begun_ = 0; ///< barriers, and how many when this block began
};

/// x, y and z of the n-th of `of`, x fastest.
inline Dim unravel(uint64_t n, Dim of) {
    return {static_cast<unsigned>(n % of.x), static_cast<unsigned>(n / of.x % of.y),
            static_cast<unsigned>(n / of.x / of.y)};
}
std::string text_of(Dim index);

} // namespace ptx

#endif
