// Which piece of work comes before which, and what each touches: two that touch the same bytes, at
// least one of them writing, must have an order between them.
//
// The order is kept by vector clocks (Mattern, "Virtual time and global states of distributed
// systems", 1989). A chain is a sequence of work in which each piece follows the one before it: a
// stream is one, and a graph is cut into some. A clock says how far one has seen each chain, so that
// a piece of work precedes another exactly if the other's clock has seen it.
#ifndef DELTAK_TESTS_EMULATED_ORDER_H
#define DELTAK_TESTS_EMULATED_ORDER_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace emulated {

class Clock {
  public:
    void join(const Clock &other);
    /// One step further on `chain`; how far that is.
    uint64_t advance(size_t chain);
    bool has_seen(size_t chain, uint64_t step) const {
        return chain < seen_.size() && seen_[chain] >= step;
    }

  private:
    std::vector<uint64_t> seen_;
};

enum class Touch { read, write, atomic };

/// Bytes from `first` up to `end`.
struct Span {
    uintptr_t first, end;
};
using Spans = std::vector<Span>;

/// Sets of bytes, in order and apart.
class Footprint {
  public:
    void add(Touch touch, const void *data, size_t bytes);
    /// The columns of a column-order matrix.
    void add(Touch touch, const void *data, size_t column, size_t stride, size_t columns);
    void seal();
    const Spans &spans(Touch touch) const { return spans_[static_cast<size_t>(touch)]; }
    bool empty() const { return spans_[0].empty() && spans_[1].empty() && spans_[2].empty(); }

  private:
    Spans spans_[3];
};

/// The same, gathered access by access from a kernel's threads, in any order: a bit for each byte of the
/// pages that are touched.
class Gathered {
  public:
    static constexpr size_t page = 4096, word = 64;
    struct Bits {
        uint64_t words[3][page / word] = {};
        /// Bytes that lie in this page.
        void set(Touch touch, size_t at, size_t bytes) {
            const size_t room = word - at % word;
            if (bytes > room) {
                set(touch, at + room, bytes - room);
                bytes = room;
            }
            const uint64_t ones = bytes == word ? ~uint64_t{0} : (uint64_t{1} << bytes) - 1;
            words[static_cast<size_t>(touch)][at / word] |= ones << at % word;
        }
    };
    Bits &bits_of(uintptr_t page_number);
    /// Moves all of it.
    void into(Footprint &footprint);

  private:
    std::map<uintptr_t, Bits> pages_;
};

/// A piece of work that has run.
struct Done {
    std::string name;
    size_t chain = 0;
    uint64_t step = 0;
    Footprint touched;
};

/// Where both touch the same bytes, at least one of them writing and not both by atomic operations; an
/// empty span if nowhere.
Span conflict(const Footprint &one, const Footprint &other);

} // namespace emulated

#endif
