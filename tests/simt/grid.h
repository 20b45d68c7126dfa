// The grid that runs: which thread goes on when, and who waits for whom.
#ifndef DELTAK_TESTS_SIMT_GRID_H
#define DELTAK_TESTS_SIMT_GRID_H

#include "simt/fiber.h"
#include "simt/launch.h"
#include "simt/order.h"
#include "simt/shared.h"
#include "simt/sync.h"

#include <array>
#include <memory>

namespace simt {

constexpr unsigned max_threads = 1024;

/// Adds to what take_reports returns.
void report(std::string text);

/// Runs a launch on the one grid, after those of other threads of the host.
struct Outcome run(const Launch &launch, std::uint64_t seed);

/// Runs one block after the other. A thread starts on the fiber of one that has finished, or on an
/// idle one, and keeps it while it waits; with nothing to wait for, one fiber runs the whole grid.
///
/// Threads run in rounds: one after the other until each has finished or waits; those whose wait was
/// over by then are the next round. The order inside a round is Order's.
class Grid {
  public:
    /// The whole launch; whether there was nothing to report.
    bool run(const Launch &launch, std::uint64_t seed);

    int barrier(const char *name, bool predicate, Site site);
    std::uint64_t exchange(const WarpCall &call);
    void misaligned(const void *address, std::size_t bytes, Site site);

    void *dynamic_shared() const { return dynamic_.get(); }
    unsigned current() const { return current_; }

    void note_wait();
    bool has_waited() const { return threads_[current_].waited; }
    /// Whether all threads of the latest launch have waited for the work before it.
    bool all_waited() const { return waits_ == starts_; }

    /// What each fiber does, for ever.
    void work();

  private:
    struct Thread {
        uint3 index{};
        Fiber *fiber = nullptr; // while it has started and not finished
        WarpCall call{};        // what it waits for in its warp
        std::uint64_t result = 0;
        bool waited = false; // for the work before the kernel
    };
    struct Warp {
        unsigned exists = 0, finished = 0, waiting = 0, released = 0; // lanes
    };
    struct Barrier {
        const char *name = nullptr;
        Site site{};
        unsigned first = 0;   // the thread that came first
        unsigned waiting = 0; // how many have come
        int nonzero = 0, result = 0;
    };
    static constexpr unsigned nobody = ~0u;

    bool begin_block();
    unsigned next();
    void make_current(unsigned thread);
    Fiber *take_fiber();
    void switch_from(Fiber &fiber, unsigned thread);
    void wait();
    void finish();
    void abandon();
    void stuck();
    void complete(Warp &warp, unsigned first, const WarpCall &call);

    std::string place(unsigned thread) const;
    std::string state(unsigned thread) const;
    void note(const std::string &text);
    [[noreturn]] void fail(const std::string &text);
    [[noreturn, gnu::noinline]] void fail_at_another_barrier(const char *name, Site site);
    [[noreturn, gnu::noinline]] void fail_at_barrier_alone();
    [[noreturn, gnu::noinline]] void fail_in_warp(const Warp &warp, const WarpCall &call);
    [[noreturn, gnu::noinline]] void fail_with_another_call(unsigned thread);

    const Launch *launch_ = nullptr;
    Order order_{0};
    Fiber host_;
    std::vector<std::unique_ptr<Fiber>> fibers_; // all there are; kept from launch to launch
    std::vector<Fiber *> idle_;
    std::unique_ptr<unsigned char[]> dynamic_;

    std::vector<unsigned> blocks_, round_;
    std::size_t next_block_ = 0, next_in_round_ = 0;

    std::array<Thread, max_threads> threads_;
    std::array<Warp, max_threads / 32> warps_;
    Barrier barrier_;
    unsigned size_ = 0, unfinished_ = 0, waiting_in_warps_ = 0;
    unsigned current_ = 0;
    std::uint64_t starts_ = 0, waits_ = 0; // threads of this launch that began; that have waited
    bool released_ = false;                // by a warp or the barrier, since the round began
    bool failed_ = false;
};

} // namespace simt

#endif
