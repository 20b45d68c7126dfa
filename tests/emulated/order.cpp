// Clocks, and what work touches.
#include "order.h"

#include <algorithm>

namespace emulated {

void Clock::join(const Clock &other) {
    if (seen_.size() < other.seen_.size()) seen_.resize(other.seen_.size(), 0);
    for (size_t i = 0; i < other.seen_.size(); ++i) seen_[i] = std::max(seen_[i], other.seen_[i]);
}

uint64_t Clock::advance(size_t chain) {
    if (seen_.size() <= chain) seen_.resize(chain + 1, 0);
    return ++seen_[chain];
}

void Footprint::add(Touch touch, const void *data, size_t bytes) {
    const auto first = reinterpret_cast<uintptr_t>(data);
    Spans &spans = spans_[static_cast<size_t>(touch)];
    if (!spans.empty() && spans.back().end == first)
        spans.back().end += bytes;
    else if (bytes > 0)
        spans.push_back({first, first + bytes});
}

void Footprint::add(Touch touch, const void *data, size_t column, size_t stride, size_t columns) {
    if (column == stride) return add(touch, data, column * columns);
    for (size_t j = 0; j < columns; ++j)
        add(touch, static_cast<const char *>(data) + j * stride, column);
}

void Footprint::seal() {
    const auto before = [](const Span &one, const Span &other) { return one.first < other.first; };
    for (Spans &spans : spans_) {
        if (!std::is_sorted(spans.begin(), spans.end(), before))
            std::sort(spans.begin(), spans.end(), before);
        size_t kept = 0;
        for (const Span &span : spans) {
            if (kept > 0 && span.first <= spans[kept - 1].end)
                spans[kept - 1].end = std::max(spans[kept - 1].end, span.end);
            else
                spans[kept++] = span;
        }
        spans.resize(kept);
        spans.shrink_to_fit();
    }
}

Gathered::Bits &Gathered::bits_of(uintptr_t page_number) {
    return pages_[page_number];
}

/// The runs of set bits of one word, the first of which stands for `address`.
static void add_runs(Footprint &footprint, Touch touch, uint64_t bits, uintptr_t address) {
    for (unsigned at = 0; bits != 0;) {
        const auto gap = static_cast<unsigned>(__builtin_ctzll(bits));
        bits >>= gap;
        at += gap;
        const unsigned length =
            bits == ~uint64_t{0} ? 64 : static_cast<unsigned>(__builtin_ctzll(~bits));
        footprint.add(touch, reinterpret_cast<const void *>(address + at), length);
        bits = length == 64 ? 0 : bits >> length;
        at += length;
    }
}

void Gathered::into(Footprint &footprint) {
    for (const auto &[number, bits] : pages_)
        for (Touch touch : {Touch::read, Touch::write, Touch::atomic})
            for (size_t i = 0; i < page / word; ++i)
                if (const uint64_t some = bits.words[static_cast<size_t>(touch)][i])
                    add_runs(footprint, touch, some, number * page + i * word);
    pages_.clear();
    footprint.seal();
}

/// The first bytes that are in both.
static Span common(const Spans &one, const Spans &other) {
    for (size_t i = 0, j = 0; i < one.size() && j < other.size();) {
        const Span both = {std::max(one[i].first, other[j].first),
                           std::min(one[i].end, other[j].end)};
        if (both.first < both.end) return both;
        one[i].end < other[j].end ? ++i : ++j;
    }
    return {0, 0};
}

Span conflict(const Footprint &one, const Footprint &other) {
    const Touch pairs[][2] = {{Touch::write, Touch::write},  {Touch::write, Touch::read},
                              {Touch::read, Touch::write},   {Touch::write, Touch::atomic},
                              {Touch::atomic, Touch::write}, {Touch::read, Touch::atomic},
                              {Touch::atomic, Touch::read}};
    for (const auto &pair : pairs) {
        const Span span = common(one.spans(pair[0]), other.spans(pair[1]));
        if (span.first < span.end) return span;
    }
    return {0, 0};
}

} // namespace emulated
