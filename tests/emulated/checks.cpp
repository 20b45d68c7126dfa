// Runs work, and compares what it touched with what ran before it without an order between them.
#include "insides.h"

#include <algorithm>

namespace emulated {

void Device::host_saw(const Clock &seen) {
    auto now = std::make_shared<Clock>(*host);
    now->join(seen);
    host = std::move(now);
}

/// "12 bytes from byte 64 of 256 allocated".
static std::string place_of(const Device &d, Span span) {
    const auto *p = reinterpret_cast<const char *>(span.first);
    const Allocation *block = d.arena.find(p, 1);
    std::string text = std::to_string(span.end - span.first) + " bytes";
    if (!block) return text;
    return text + " from byte " + std::to_string(p - block->data) + " of " +
           std::to_string(block->bytes) + " allocated";
}

void Device::perform(const Work &work, size_t chain, Clock &seen) {
    Done now;
    now.name = work.name;
    now.chain = chain;
    work.run(now.touched);
    now.touched.seal();
    for (const Done &before : finished) {
        if (!order_is_known || seen.has_seen(before.chain, before.step)) continue;
        const Span span = conflict(before.touched, now.touched);
        if (span.first < span.end)
            report("no order between " + before.name + " and " + now.name + ", which touch " +
                   place_of(*this, span));
    }
    now.step = seen.advance(chain);
    if (!now.touched.empty()) finished.push_back(std::move(now));
    constexpr size_t often = 512;
    if (finished.size() % often == 0) forget_what_is_over();
}

/// What every stream has seen, or will have before the next piece of its work.
void Device::forget_what_is_over() {
    std::vector<Clock> futures(1, *host);
    for (const auto &stream : streams) {
        if (stream->empty()) continue;
        futures.push_back(stream->seen);
        futures.back().join(*stream->front().host);
    }
    finished.erase(std::remove_if(finished.begin(), finished.end(),
                                  [&](const Done &one) {
                                      return std::all_of(
                                          futures.begin(), futures.end(), [&](const Clock &future) {
                                              return future.has_seen(one.chain, one.step);
                                          });
                                  }),
                   finished.end());
}

void Device::restart_clocks() {
    const auto idle = [](const auto &stream) { return stream->empty() && !stream->capture; };
    if (!graphs.empty() || !std::all_of(streams.begin(), streams.end(), idle)) return;
    finished.clear();
    chains = 0;
    host = std::make_shared<Clock>();
    for (auto &stream : streams) {
        stream->seen = Clock();
        stream->chain = chains++;
    }
}

} // namespace emulated
