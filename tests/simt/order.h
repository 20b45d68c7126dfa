// The order in which blocks, and the threads of a round, run.
#ifndef DELTAK_TESTS_SIMT_ORDER_H
#define DELTAK_TESTS_SIMT_ORDER_H

#include <algorithm>
#include <cstdint>
#include <vector>

namespace simt {

/// 0: ascending, 1: descending, others: shuffled, differently each time.
class Order {
  public:
    explicit Order(std::uint64_t seed) : seed_(seed), state_(seed) {}

    /// Puts an ascending list into this order.
    void arrange(std::vector<unsigned> &list) {
        if (seed_ == 1) std::reverse(list.begin(), list.end());
        if (seed_ <= 1) return;
        for (std::size_t i = list.size(); i > 1; --i) {
            const std::size_t j = static_cast<std::size_t>(((random() >> 32) * i) >> 32);
            std::swap(list[i - 1], list[j]);
        }
    }

  private:
    /// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
    std::uint64_t random() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    std::uint64_t seed_, state_;
};

} // namespace simt

#endif
