// The scheduler: blocks, rounds of threads, and how a wait begins and ends.
#include "simt/grid.h"
#include "simt/simt.h"

#include <cstring>
#include <mutex>
#include <numeric>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {

std::uint64_t block_serial = 0;

namespace {

/// Thrown on the fiber of a thread that will not go on: a report ends the launch.
struct Abandoned {};

/// The one grid that runs, of all threads of the host that launch, and what they wait for. CUDA's
/// threadIdx and friends are plain variables, so there can't be two.
std::mutex running;

inline Grid &grid() {
    static Grid only;
    return only;
}

std::string triple(const uint3 &v) {
    return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

/// Texts of the source: nearly always the one text itself, so that it needn't be read.
bool same(const char *one, const char *other) {
    return one == other || std::strcmp(one, other) == 0;
}

uint3 index_in(const dim3 &size, unsigned linear) {
    return {linear % size.x, linear / size.x % size.y, linear / size.x / size.y};
}

} // namespace

// --- blocks and rounds ---------------------------------------------------------------------------

bool Grid::run(const Launch &launch, std::uint64_t seed) {
    launch_ = &launch;
    order_ = Order(seed);
    failed_ = false;
    starts_ = waits_ = 0;
    gridDim = dim3(static_cast<unsigned>(launch.grid.x), static_cast<unsigned>(launch.grid.y),
                   static_cast<unsigned>(launch.grid.z));
    blockDim = dim3(static_cast<unsigned>(launch.block.x), static_cast<unsigned>(launch.block.y),
                    static_cast<unsigned>(launch.block.z));
    size_ = blockDim.x * blockDim.y * blockDim.z;
    for (unsigned i = 0; i < size_; ++i) threads_[i].index = index_in(blockDim, i);
    dynamic_.reset(launch.shared > 0 ? new unsigned char[launch.shared] : nullptr);
    blocks_.resize(static_cast<std::size_t>(gridDim.x) * gridDim.y * gridDim.z);
    std::iota(blocks_.begin(), blocks_.end(), 0u);
    order_.arrange(blocks_);
    next_block_ = 0;
    if (begin_block()) {
        switch_from(host_, next());
        if (!failed_ && unfinished_ > 0) stuck();
        if (failed_) abandon();
    }
    dynamic_.reset();
    launch_ = nullptr;
    return !failed_;
}

/// Makes the next block's threads the round; false after the last block.
bool Grid::begin_block() {
    if (next_block_ == blocks_.size()) return false;
    blockIdx = index_in(gridDim, blocks_[next_block_++]);
    ++block_serial;
    if (dynamic_) std::memset(dynamic_.get(), 0xff, launch_->shared);
    unfinished_ = size_;
    waiting_in_warps_ = 0;
    barrier_ = Barrier();
    for (unsigned first = 0; first < size_; first += 32) {
        const unsigned lanes = size_ - first < 32 ? (1u << (size_ - first)) - 1 : 0xffffffffu;
        warps_[first / 32] = {lanes, 0, 0, lanes};
    }
    released_ = true;
    return true;
}

/// The thread that goes on now; nobody, if all blocks are done, or all threads wait.
unsigned Grid::next() {
    if (failed_) return nobody;
    if (next_in_round_ < round_.size()) return round_[next_in_round_++];
    if (unfinished_ == 0 && !begin_block()) return nobody;
    if (!released_) return nobody;
    released_ = false;
    round_.clear();
    for (unsigned first = 0; first < size_; first += 32) {
        Warp &warp = warps_[first / 32];
        for (unsigned lanes = warp.released; lanes != 0; lanes &= lanes - 1) {
            round_.push_back(first + static_cast<unsigned>(__builtin_ctz(lanes)));
        }
        warp.released = 0;
    }
    order_.arrange(round_);
    next_in_round_ = 1;
    return round_[0];
}

inline void Grid::make_current(unsigned thread) {
    current_ = thread;
    threadIdx = threads_[thread].index;
}

/// For a thread that starts.
Fiber *Grid::take_fiber() {
    if (idle_.empty()) {
        fibers_.push_back(std::make_unique<Fiber>([] { grid().work(); }));
        return fibers_.back().get();
    }
    Fiber *const fiber = idle_.back();
    idle_.pop_back();
    return fiber;
}

/// Lets `thread` go on, or the host where there is none.
inline void Grid::switch_from(Fiber &fiber, unsigned thread) {
    Fiber *to = &host_;
    if (thread != nobody) {
        make_current(thread);
        if (threads_[thread].fiber == nullptr) threads_[thread].fiber = take_fiber();
        to = threads_[thread].fiber;
    }
    if (to != &fiber) Fiber::switch_to(fiber, *to);
}

void Grid::work() {
    for (;;) {
        ++starts_;
        threads_[current_].waited = false;
        try {
            launch_->thread();
        } catch (const Abandoned &) {
        }
        Fiber *const self = threads_[current_].fiber;
        finish();
        const unsigned thread = next();
        if (thread != nobody && threads_[thread].fiber == nullptr) {
            make_current(thread);
            threads_[thread].fiber = self;
        } else {
            idle_.push_back(self);
            switch_from(*self, thread);
        }
    }
}

/// The current thread stops until it is released.
inline void Grid::wait() {
    const unsigned self = current_;
    switch_from(*threads_[self].fiber, next());
    if (failed_) throw Abandoned();
}

void Grid::note_wait() {
    waits_ += !threads_[current_].waited;
    threads_[current_].waited = true;
}

void Grid::finish() {
    threads_[current_].fiber = nullptr;
    Warp &warp = warps_[current_ / 32];
    warp.finished |= 1u << current_ % 32;
    --unfinished_;
    if (failed_) return;
    if (barrier_.waiting > 0) {
        note(place(current_) + " ends, but " + place(barrier_.first) + " " + state(barrier_.first) +
             " for all threads of the block");
    } else if (waiting_in_warps_ > 0) {
        for (unsigned lanes = warp.waiting; lanes != 0; lanes &= lanes - 1) {
            const unsigned other = current_ / 32 * 32 + static_cast<unsigned>(__builtin_ctz(lanes));
            if (!(threads_[other].call.mask >> current_ % 32 & 1)) continue;
            return note(place(current_) + " ends, but " + place(other) + " " + state(other) +
                        " for its lane");
        }
    }
}

// --- reports ---------------------------------------------------------------------------------------

/// All threads wait, or have ended: a lane that another one waits for won't come.
void Grid::stuck() {
    for (unsigned i = 0; i < size_; ++i) {
        const Warp &warp = warps_[i / 32];
        if (!(warp.waiting >> i % 32 & 1)) continue;
        const unsigned missing = threads_[i].call.mask & ~warp.waiting;
        if (missing == 0) continue; // waits for one that waits in vain
        const unsigned other = i / 32 * 32 + static_cast<unsigned>(__builtin_ctz(missing));
        return note(place(i) + " " + state(i) + " for lane " + std::to_string(other % 32) +
                    ", which " + state(other));
    }
}

/// Ends the threads that wait, each on its own fiber, so that their frames are unwound.
void Grid::abandon() {
    for (unsigned i = 0; i < size_; ++i) {
        if (threads_[i].fiber != nullptr) switch_from(host_, i);
    }
    round_.clear();
    next_in_round_ = 0;
}

std::string Grid::place(unsigned thread) const {
    return "thread " + triple(threads_[thread].index);
}

std::string Grid::state(unsigned thread) const {
    const Warp &warp = warps_[thread / 32];
    const unsigned lane = thread % 32;
    if (warp.finished >> lane & 1) return "has ended";
    const bool in_warp = warp.waiting >> lane & 1;
    const char *const name = in_warp ? threads_[thread].call.name : barrier_.name;
    const Site &site = in_warp ? threads_[thread].call.site : barrier_.site;
    return std::string("waits in ") + name + " at " + site.file + ":" + std::to_string(site.line);
}

void Grid::misaligned(const void *address, std::size_t bytes, Site site) {
    const std::string text = std::to_string(bytes) + " bytes at a misaligned address, …" +
                             std::to_string(reinterpret_cast<std::uintptr_t>(address) % bytes) +
                             " mod " + std::to_string(bytes) + ", at " + site.file + ":" +
                             std::to_string(site.line);
    if (launch_ == nullptr) return report(text);
    fail(place(current_) + ": " + text);
}

void Grid::note(const std::string &text) {
    failed_ = true;
    report(std::string(launch_->kernel) + ", block " + triple(blockIdx) + ": " + text);
}

void Grid::fail(const std::string &text) {
    note(text);
    throw Abandoned();
}

// Functions of their own, so that their texts take no room on the stacks of those that don't fail.

void Grid::fail_at_another_barrier(const char *name, Site site) {
    fail(place(barrier_.first) + " " + state(barrier_.first) + ", " + place(current_) + " in " +
         name + " at " + site.file + ":" + std::to_string(site.line));
}

void Grid::fail_at_barrier_alone() {
    fail(place(current_) + " " + state(current_) + ", but " + std::to_string(size_ - unfinished_) +
         " threads of the block have ended");
}

/// A mask without the lane itself, or with one that won't come.
void Grid::fail_in_warp(const Warp &warp, const WarpCall &call) {
    const std::string here = place(current_) + " " + state(current_);
    if (!(call.mask >> current_ % 32 & 1)) fail(here + " with a mask without its lane");
    const unsigned absent = call.mask & (warp.finished | ~warp.exists);
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(absent));
    fail(here + " for lane " + std::to_string(lane) +
         (warp.exists >> lane & 1 ? ", which has ended" : ", which the block doesn't have"));
}

void Grid::fail_with_another_call(unsigned thread) {
    fail(place(thread) + " " + state(thread) + ", but " + place(current_) + " " + state(current_) +
         " with it");
}

// --- the barrier and the warp ----------------------------------------------------------------------

int Grid::barrier(const char *name, bool predicate, Site site) {
    if (barrier_.waiting == 0) {
        barrier_.name = name;
        barrier_.site = site;
        barrier_.first = current_;
        barrier_.nonzero = 0;
    } else if (barrier_.site.line != site.line || !same(barrier_.name, name) ||
               !same(barrier_.site.file, site.file)) {
        fail_at_another_barrier(name, site);
    }
    if (unfinished_ != size_) fail_at_barrier_alone();
    barrier_.nonzero += predicate;
    if (++barrier_.waiting == size_) {
        barrier_.waiting = 0;
        barrier_.result = barrier_.nonzero;
        for (unsigned first = 0; first < size_; first += 32) {
            warps_[first / 32].released = warps_[first / 32].exists;
        }
        released_ = true;
    }
    wait();
    return barrier_.result;
}

std::uint64_t Grid::exchange(const WarpCall &call) {
    Thread &self = threads_[current_];
    Warp &warp = warps_[current_ / 32];
    const unsigned first = current_ / 32 * 32, bit = 1u << current_ % 32;
    self.call = call;
    warp.waiting |= bit;
    ++waiting_in_warps_;
    if (!(call.mask & bit) || (call.mask & (warp.finished | ~warp.exists)))
        fail_in_warp(warp, call);
    if ((call.mask & ~warp.waiting) == 0) complete(warp, first, call);
    wait();
    return self.result;
}

/// All lanes of the call have come.
void Grid::complete(Warp &warp, unsigned first, const WarpCall &call) {
    unsigned votes = 0;
    for (unsigned lanes = call.mask; lanes != 0; lanes &= lanes - 1) {
        const unsigned thread = first + static_cast<unsigned>(__builtin_ctz(lanes));
        const WarpCall &other = threads_[thread].call;
        if (other.mask != call.mask || other.site.line != call.site.line ||
            !same(other.name, call.name) || !same(other.site.file, call.site.file)) {
            fail_with_another_call(thread);
        }
        votes |= (other.value != 0 ? 1u : 0u) << thread % 32;
    }
    for (unsigned lanes = call.mask; lanes != 0; lanes &= lanes - 1) {
        Thread &thread = threads_[first + static_cast<unsigned>(__builtin_ctz(lanes))];
        const unsigned source = thread.call.source;
        if (source == every_lane)
            thread.result = votes;
        else if (call.mask >> source & 1)
            thread.result = threads_[first + source].call.value;
        else
            thread.result = ~std::uint64_t{0};
    }
    waiting_in_warps_ -= static_cast<unsigned>(__builtin_popcount(call.mask));
    warp.waiting &= ~call.mask;
    warp.released |= call.mask;
    released_ = true;
}

// --- what the emulator's headers declare -----------------------------------------------------------

int barrier(const char *name, bool predicate, Site site) {
    return grid().barrier(name, predicate, site);
}

std::uint64_t exchange(const WarpCall &call) {
    return grid().exchange(call);
}

unsigned lane() {
    return grid().current() % 32;
}

void report_misaligned(const void *address, std::size_t bytes, Site site) {
    grid().misaligned(address, bytes, site);
}

void *dynamic_shared() {
    return grid().dynamic_shared();
}

void wait_for_earlier() {
    grid().note_wait();
}

bool has_waited() {
    return grid().has_waited();
}

Outcome run(const Launch &launch, std::uint64_t seed) {
    const std::lock_guard<std::mutex> lock(running);
    Outcome outcome;
    outcome.well = grid().run(launch, seed);
    outcome.waited = grid().all_waited();
    return outcome;
}

} // namespace simt
