// 32 threads that execute the same instruction at a time.
//
// Threads that branch apart form groups. The group that is furthest behind in the code runs until it
// meets another, and becomes one with it: nvcc lays code out so that this is where they belong together.
#ifndef DELTAK_TESTS_EMULATED_PTX_WARP_H
#define DELTAK_TESTS_EMULATED_PTX_WARP_H

#include "code.h"

#include <stdexcept>

namespace ptx {

class Block;

/// What a thread may not do; ends the kernel.
struct Fault : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Warp {
    Warp(const Kernel &kernel, Block &block, unsigned first);

    /// Begins the kernel anew, as a warp of the block that `block` is now.
    void restart();
    /// Runs until every thread is at a barrier or has ended.
    void run();
    /// Lets those at the barrier go on.
    void release();

    /// The lanes' values of a register; T is of 32 or 64 bits.
    template <class T> T *lanes(Cell cell) { return reinterpret_cast<T *>(&cells_[cell]); }
    uint32_t predicate(Cell cell) { return lanes<uint32_t>(cell)[0]; }
    void set_predicate(Cell cell, uint32_t bits) {
        uint32_t &now = lanes<uint32_t>(cell)[0];
        now = (now & ~active) | (bits & active);
    }

    /// `what` with the kernel, the thread and the line.
    [[noreturn]] void fault(unsigned lane, const std::string &what) const;
    std::string describe(unsigned lane, const std::string &what) const;

    uint32_t active = 0; ///< lanes that execute now
    uint32_t live = 0;   ///< lanes that haven't ended
    uint32_t waited = 0; ///< lanes that executed griddepcontrol.wait
    /// Lanes for which what the instruction writes isn't known: something that it reads nobody wrote.
    uint32_t unknown = 0;
    const unsigned first; ///< thread of lane 0
    Block &block;

  private:
    enum class State { ready, at_barrier, at_shuffle };
    struct Group {
        uint32_t at, lanes;
        State state;
    };
    struct alignas(128) Line {
        uint32_t words[lane_count];
    };

    void fill();
    void fill(const Kernel::Filled &filled);
    bool choose();
    void step();
    void compute(const Op &op);
    void branch(const Op &op);
    void leave(const Op &op);
    void barrier();
    void shuffle(const Op &op);
    uint32_t guarded(const Op &op);
    void park(State state);
    void join(State state);
    uint32_t unknown_of(const Op &op) const;
    void check_barrier();

    const Kernel &kernel_;
    const std::unique_ptr<Line[]> cells_;
    std::vector<uint32_t> known_; ///< for each cell the lanes that have a value there
    std::vector<Group> groups_;   ///< but for the one that runs
    uint32_t at_ = 0;             ///< of the one that runs
    uint32_t meets_ = 0;          ///< where the next group waits
    uint64_t steps_ = 0;
};

} // namespace ptx

#endif
