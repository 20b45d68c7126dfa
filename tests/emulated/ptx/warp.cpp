#include "block.h"

#include <algorithm>

namespace ptx {

static unsigned lowest(uint32_t lanes) {
    return static_cast<unsigned>(__builtin_ctz(lanes));
}

// Cells are filled before they are read, or the reader is reported.
Warp::Warp(const Kernel &kernel, Block &of, unsigned from)
    : first(from), block(of), kernel_(kernel), cells_(new Line[kernel.cells]) {
    for (const Kernel::Constant &constant : kernel.constants) {
        if (constant.width == Width::b64)
            std::fill_n(lanes<uint64_t>(constant.cell), lane_count, constant.bits);
        else
            std::fill_n(lanes<uint32_t>(constant.cell), lane_count,
                        static_cast<uint32_t>(constant.bits));
    }
    for (const Kernel::Filled &filled : kernel.specials) fill(filled);
}

void Warp::restart() {
    const Dim size = block.grid.launch.block;
    const unsigned threads = size.x * size.y * size.z,
                   count = std::min(threads - first, lane_count);
    live = all_lanes >> (lane_count - count);
    waited = 0;
    steps_ = 0;
    groups_.assign(1, {0, live, State::ready});
    known_.assign(kernel_.cells, 0);
    for (const Kernel::Constant &constant : kernel_.constants) known_[constant.cell] = all_lanes;
    for (const Kernel::Filled &filled : kernel_.specials) {
        if (filled.special == Special::ctaid) fill(filled); // the others stay as they are
        known_[filled.cell] = all_lanes;
    }
}

static unsigned component(Dim dim, int dimension) {
    return dimension == 0 ? dim.x : dimension == 1 ? dim.y : dim.z;
}

void Warp::fill(const Kernel::Filled &filled) {
    const Launch &launch = block.grid.launch;
    const auto of_block = [&]() -> Dim {
        if (filled.special == Special::ntid) return launch.block;
        return filled.special == Special::ctaid ? block.index : launch.grid;
    };
    for (unsigned lane = 0; lane < lane_count; ++lane) {
        const Dim dim =
            filled.special == Special::tid ? unravel(first + lane, launch.block) : of_block();
        lanes<uint32_t>(filled.cell)[lane] = component(dim, filled.dimension);
    }
}

std::string Warp::describe(unsigned lane, const std::string &what) const {
    const Op &op = kernel_.code[at_];
    const Dim thread = unravel(first + lane, block.grid.launch.block);
    return kernel_.name + ", block " + text_of(block.index) + ", thread " + text_of(thread) + ": " +
           what + ": line " + std::to_string(op.line) + ": " + block.grid.module.line(op.line);
}

void Warp::fault(unsigned lane, const std::string &what) const {
    throw Fault(describe(lane, what));
}

void Warp::run() {
    while (choose())
        while (at_ < meets_ && active) step();
    check_barrier();
}

/// Makes the group that is furthest behind the one that runs, with all others there. Whether there is any.
bool Warp::choose() {
    if (active) park(State::ready);
    at_ = meets_ = ~uint32_t{0};
    for (const Group &group : groups_)
        if (group.state == State::ready) at_ = std::min(at_, group.at);
    join(State::ready);
    for (const Group &group : groups_)
        if (group.state == State::ready) meets_ = std::min(meets_, group.at);
    return active != 0;
}

void Warp::park(State state) {
    groups_.push_back({at_, active, state});
    active = 0;
}

/// Takes in the groups of a state that are here.
void Warp::join(State state) {
    const auto here = [&](const Group &group) { return group.state == state && group.at == at_; };
    for (const Group &group : groups_)
        if (here(group)) active |= group.lanes;
    groups_.erase(std::remove_if(groups_.begin(), groups_.end(), here), groups_.end());
}

void Warp::step() {
    const Op &op = kernel_.code[at_];
    if (++steps_ > block.grid.launch.steps) fault(lowest(active), "an endless loop");
    switch (op.kind) {
    case Op::compute:
        compute(op);
        break;
    case Op::branch:
        branch(op);
        break;
    case Op::leave:
        leave(op);
        break;
    case Op::barrier:
        park(State::at_barrier);
        break;
    case Op::shuffle:
        shuffle(op);
        break;
    }
}

void Warp::compute(const Op &op) {
    unknown = unknown_of(op);
    op.execute(*this, op);
    for (unsigned i = 0; i < op.writes; ++i) {
        uint32_t &known = known_[op.into[i]];
        known = (known | active) & ~(active & unknown);
    }
    ++at_;
}

/// The active lanes for which an operand isn't known. As long as it is only handed on, that is no fault:
/// where a branch would spare no time, threads compute what they then drop.
uint32_t Warp::unknown_of(const Op &op) const {
    uint32_t some = 0;
    for (unsigned i = 0; i < op.reads; ++i) {
        const uint32_t lanes = active & ~known_[op.from[i]];
        if (lanes && (op.demands >> i & 1)) fault(lowest(lanes), "uses what nobody wrote");
        some |= lanes;
    }
    return some;
}

/// The active lanes for which the guard holds.
uint32_t Warp::guarded(const Op &op) {
    if (op.guard == no_cell) return active;
    const uint32_t undecided = active & ~known_[op.guard];
    if (undecided) fault(lowest(undecided), "branches by what nobody wrote");
    const uint32_t bits = predicate(op.guard);
    return active & (op.unless ? ~bits : bits);
}

void Warp::branch(const Op &op) {
    const uint32_t taken = guarded(op);
    if (taken == active) {
        at_ = op.target;
        return;
    }
    ++at_;
    if (!taken) return;
    groups_.push_back({op.target, taken, State::ready});
    active &= ~taken;
    meets_ = std::min(meets_, op.target);
}

void Warp::leave(const Op &op) {
    const uint32_t gone = guarded(op);
    if ((gone & ~waited) && block.grid.early.empty())
        block.grid.early = describe(lowest(gone & ~waited), "ends without griddepcontrol.wait");
    live &= ~gone;
    active &= ~gone;
    ++at_;
}

/// The lanes of a mask execute a shuffle together, or not at all.
void Warp::shuffle(const Op &op) {
    join(State::at_shuffle);
    unknown_of(op);
    const uint32_t *const masks = lanes<uint32_t>(op.from[3]);
    const uint32_t mask = masks[lowest(active)];
    for (uint32_t rest = active; rest; rest &= rest - 1)
        if (masks[lowest(rest)] != mask) fault(lowest(rest), "lanes name different masks");
    if (active & ~mask) fault(lowest(active & ~mask), "a shuffle by a lane outside of its mask");
    if (mask & ~live) fault(lowest(active), "a shuffle with lanes that have ended");
    if (active != mask) return park(State::at_shuffle);
    compute(op);
}

/// Nobody can run any more: those that live have to be at one barrier.
void Warp::check_barrier() {
    for (const Group &group : groups_) {
        at_ = group.at;
        if (group.state == State::at_shuffle)
            fault(lowest(group.lanes), "a shuffle that lanes of its mask never come to");
        if (at_ != groups_.front().at)
            fault(lowest(group.lanes), "a barrier that only a part of the warp comes to");
    }
}

void Warp::release() {
    for (Group &group : groups_) {
        ++group.at;
        group.state = State::ready;
    }
}

} // namespace ptx
