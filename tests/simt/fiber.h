// Fibers: stacks of one's own that take turns on a thread of the host. Each thread of a CUDA block
// that has to wait for others stands on one.
#ifndef DELTAK_TESTS_SIMT_FIBER_H
#define DELTAK_TESTS_SIMT_FIBER_H

#include <csetjmp>
#include <cstddef>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SIMT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIMT_TSAN 1
#endif
#endif

namespace simt {

class Fiber {
  public:
    /// A place to switch away from: whichever thread of the host calls switch_to.
    Fiber() = default;
    /// A fiber that calls `body` when it is first switched to; `body` never returns.
    explicit Fiber(void (*body)());
    ~Fiber();
    Fiber(const Fiber &) = delete;
    Fiber &operator=(const Fiber &) = delete;

    /// Leaves `from`, on which the caller runs, until something switches to it.
    static void switch_to(Fiber &from, Fiber &to);

  private:
    static void enter();
    static void arrived();
    void announce(Fiber &to);

    void (*body_)() = nullptr;
    void *mapping_ = nullptr;      // the stack below its guard page
    const void *bottom_ = nullptr; // what AddressSanitizer knows of the stack
    std::size_t bytes_ = 0;
    [[maybe_unused]] void *sanitizer_ = nullptr; // what it keeps of a fiber that doesn't run
    [[maybe_unused]] bool started_ = false;
    ucontext_t context_{};
    [[maybe_unused]] std::jmp_buf jump_{};
};

} // namespace simt

#endif
