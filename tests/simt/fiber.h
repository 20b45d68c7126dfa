// Fibers: stacks of one's own that take turns on a thread of the host. Each thread of a CUDA block
// that has to wait for others stands on one.
//
// On x86-64 a switch is a few instructions where it is called: the emulator's time goes into fetching what
// lies on the stack that goes on, hundreds of stacks in turn, so that each cache line there counts. Elsewhere,
// and under ThreadSanitizer, which wants to see them, getcontext and setcontext do it.
#ifndef DELTAK_TESTS_SIMT_FIBER_H
#define DELTAK_TESTS_SIMT_FIBER_H

#include <cstddef>

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
#if defined(__x86_64__) && !defined(SIMT_TSAN)
#define SIMT_OWN_SWITCH 1
#else
#include <ucontext.h>
#endif
#if defined(SIMT_ASAN)
#include <sanitizer/common_interface_defs.h>
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
    static void arrived(Fiber &fiber);
    void swap_with(Fiber &to);

    /// The two ends of the switch under way. Only one grid runs at a time (grid.cpp).
    static Fiber *leaving, *entering;

#if defined(SIMT_OWN_SWITCH)
    void *top_ = nullptr; // of the stack that waits: where it goes on, rbx, rbp
#else
    ucontext_t context_{};
#endif
    void (*body_)() = nullptr;
    void *mapping_ = nullptr;      // the stack below its guard page
    const void *bottom_ = nullptr; // what AddressSanitizer knows of the stack
    std::size_t bytes_ = 0;
    [[maybe_unused]] void *sanitizer_ = nullptr; // what it keeps of a fiber that doesn't run
};

inline void Fiber::switch_to(Fiber &from, Fiber &to) {
    leaving = &from;
    entering = &to;
#if defined(SIMT_ASAN)
    __sanitizer_start_switch_fiber(&from.sanitizer_, to.bottom_, to.bytes_);
#endif
    from.swap_with(to);
    arrived(from);
}

/// On the stack of `fiber`, straight after the switch.
inline void Fiber::arrived([[maybe_unused]] Fiber &fiber) {
#if defined(SIMT_ASAN)
    const void *bottom = nullptr;
    std::size_t bytes = 0;
    __sanitizer_finish_switch_fiber(fiber.sanitizer_, &bottom, &bytes);
    if (leaving->mapping_ == nullptr) { // the host's stack: known from now on
        leaving->bottom_ = bottom;
        leaving->bytes_ = bytes;
    }
#endif
}

#if defined(SIMT_OWN_SWITCH)
/// What the compiler keeps in registers it has to store itself: all of them are named as changed, but for
/// the two that it won't give away. The 128 bytes below the stack's top may be in use (System V ABI for
/// AMD64, "red zone").
inline void Fiber::swap_with(Fiber &to) {
    void **top = &top_;
    void *other = to.top_;
    asm volatile("leaq -128(%%rsp), %%rsp\n\t"
                 "pushq %%rbp\n\t"
                 "pushq %%rbx\n\t"
                 "leaq 1f(%%rip), %%rax\n\t"
                 "pushq %%rax\n\t"
                 "movq %%rsp, (%0)\n\t"
                 "movq %1, %%rsp\n\t"
                 "popq %%rax\n\t"
                 "jmpq *%%rax\n"
                 "1:\tpopq %%rbx\n\t"
                 "popq %%rbp\n\t"
                 "leaq 128(%%rsp), %%rsp"
                 : "+D"(top), "+S"(other)
                 :
                 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                   "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory");
}
#endif

} // namespace simt

#endif
