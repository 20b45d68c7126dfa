#include "block.h"

#include <algorithm>

namespace ptx {

std::string text_of(Dim index) {
    return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
           std::to_string(index.z) + ")";
}

Block::Block(Grid &all) : grid(all) {
    const Dim size = grid.launch.block;
    const unsigned threads = size.x * size.y * size.z;
    const size_t bytes = grid.kernel.signature.shared_bytes, unit = grid.kernel.shared_unit;
    shared_.resize(bytes);
    traces_.resize((bytes + unit - 1) / unit);
    for (unsigned first = 0; first < threads; first += lane_count)
        warps_.emplace_back(grid.kernel, *this, first);
}

void Block::run(Dim at, std::mt19937_64 &random) {
    index = at;
    begun_ = ++passed_;
    std::vector<Warp *> going;
    for (Warp &warp : warps_) {
        warp.restart();
        going.push_back(&warp);
    }
    while (!going.empty()) {
        std::shuffle(going.begin(), going.end(), random);
        for (Warp *warp : going) warp->run();
        const auto ended = [](const Warp *warp) { return warp->live == 0; };
        going.erase(std::remove_if(going.begin(), going.end(), ended), going.end());
        for (Warp *warp : going) warp->release();
        ++passed_;
    }
}

void Block::check(const Warp &warp, unsigned lane, uint64_t address, size_t bytes) const {
    if (address % bytes != 0)
        warp.fault(lane,
                   "misaligned access of " + std::to_string(bytes) + " bytes in shared memory");
    if (address > shared_.size() || bytes > shared_.size() - address)
        warp.fault(lane, "access outside of shared memory");
}

void Block::race(const Warp &warp, unsigned lane, const char *what, unsigned other) const {
    const std::string who =
        other == several ? "others" : "thread " + text_of(unravel(other, grid.launch.block));
    warp.fault(lane, std::string("race in shared memory: ") + what + who + " without a barrier");
}

bool Block::read(const Warp &warp, unsigned lane, uint64_t address, size_t bytes) {
    check(warp, lane, address, bytes);
    const unsigned thread = warp.first + lane;
    const size_t unit = grid.kernel.shared_unit;
    bool known = true;
    for (size_t at = address / unit; at < (address + bytes) / unit; ++at) {
        Trace &trace = traces_[at];
        known &= trace.known && trace.written >= begun_;
        if (trace.written == passed_ && trace.writer != thread)
            race(warp, lane, "reads what was written by ", trace.writer);
        trace.reader = trace.read == passed_ && trace.reader != thread ? several : thread;
        trace.read = passed_;
    }
    return known;
}

void Block::write(const Warp &warp, unsigned lane, uint64_t address, size_t bytes, bool known) {
    check(warp, lane, address, bytes);
    const unsigned thread = warp.first + lane;
    const size_t unit = grid.kernel.shared_unit;
    for (size_t at = address / unit; at < (address + bytes) / unit; ++at) {
        Trace &trace = traces_[at];
        if (trace.written == passed_ && trace.writer != thread)
            race(warp, lane, "writes what was written by ", trace.writer);
        if (trace.read == passed_ && trace.reader != thread)
            race(warp, lane, "writes what was read by ", trace.reader);
        trace.written = passed_;
        trace.writer = thread;
        trace.known = known;
    }
}

} // namespace ptx
