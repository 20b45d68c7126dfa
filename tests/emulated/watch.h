// What the threads of the kernel that runs touch. In builds without sanitizers the kernels are compiled
// with -fsanitize=thread, so that each of their accesses calls a function of watch.cpp; those take the
// place of ThreadSanitizer's.
#ifndef DELTAK_TESTS_EMULATED_WATCH_H
#define DELTAK_TESTS_EMULATED_WATCH_H

#include "order.h"

namespace emulated {

/// Watches one kernel while it lives. Only one runs at a time.
class Watch {
  public:
    /// `dependent`: launched so that it may begin before the work before it has ended.
    Watch(const std::string &kernel, bool dependent);
    ~Watch();
    Watch(const Watch &) = delete;
    Watch &operator=(const Watch &) = delete;

    /// One access, by whichever way the kernel is run. `waited`: the thread has waited for the work
    /// before. Whether the bytes lie in an allocation; where not, who asks reports it (outside).
    bool touch(Touch touch, uintptr_t address, size_t bytes, bool waited) {
        loads_ += touch == Touch::read;
        if (!waited) report_early();
        const Known &known = known_[address / page % known_count];
        if (address < known.first || address + bytes > known.end)
            return find(touch, address, bytes);
        known.bits->set(touch, address % page, bytes);
        return true;
    }
    void outside(size_t bytes);
    void misaligned(size_t bytes);
    void into(Footprint &footprint) { gathered_.into(footprint); }
    bool is_dependent() const { return dependent_; }
    long loads() const { return loads_; }

    static Watch *current() { return current_; }
    /// Whether it is memory of the device, or pinned, while a kernel runs.
    static bool watches(uintptr_t address) { return address - first_ < bytes_; }

  private:
    /// What of a page belongs to the one allocation that was touched there last.
    struct Known {
        uintptr_t first = 1, end = 0;
        Gathered::Bits *bits = nullptr;
    };
    static constexpr size_t page = Gathered::page, known_count = 64;

    bool find(Touch touch, uintptr_t address, size_t bytes);
    void report_early();

    static Watch *current_;
    static uintptr_t first_, bytes_;
    const std::string &kernel_;
    const bool dependent_;
    long loads_ = 0;
    Gathered gathered_;
    Known known_[known_count];
    bool outside_ = false, early_ = false, misaligned_ = false; // once each
};

} // namespace emulated

#endif
