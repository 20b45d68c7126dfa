#include "simt/fiber.h"

#include <cstdint>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#if defined(SIMT_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace simt {

namespace {

// Touched pages alone take memory. AddressSanitizer's frames are several times as large.
constexpr std::size_t stack_bytes = 512 * 1024;

// Mappings begin at pages, and the first-level cache knows an address by its place in the page: stacks
// that all end at the same place would drive each other out of the few lines that this leaves them.
// So their ends are spread over the page.
std::size_t next_end() {
    constexpr std::size_t page = 4096, line = 64, apart = 7 * line; // 7: all 64 lines in turn
    static std::size_t made = 0;
    return apart * made++ % page;
}

} // namespace

Fiber *Fiber::leaving = nullptr, *Fiber::entering = nullptr;

Fiber::Fiber(void (*body)()) : body_(body), bytes_(stack_bytes) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    mapping_ = mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(mapping_, page, PROT_NONE); // a stack that overflows faults here
    bottom_ = static_cast<char *>(mapping_) + page;
    const std::size_t bytes = stack_bytes - next_end();
#if defined(SIMT_OWN_SWITCH)
    // A function begins 8 bytes below a multiple of 16, at the address to return to: nowhere.
    void **top =
        reinterpret_cast<void **>(static_cast<char *>(const_cast<void *>(bottom_)) + bytes);
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(&Fiber::enter);
    top_ = top;
#else
    getcontext(&context_);
    context_.uc_stack.ss_sp = const_cast<void *>(bottom_);
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    makecontext(&context_, &Fiber::enter, 0);
#endif
#if defined(SIMT_TSAN)
    sanitizer_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
    if (mapping_ == nullptr) return;
#if defined(SIMT_TSAN)
    __tsan_destroy_fiber(sanitizer_);
#endif
    munmap(mapping_, bytes_ + static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
}

/// The first frame of every fiber.
void Fiber::enter() {
    arrived(*entering);
    entering->body_();
}

#if !defined(SIMT_OWN_SWITCH)
void Fiber::swap_with(Fiber &to) {
    volatile bool back = false; // getcontext returns a second time
    getcontext(&context_);
    if (back) return;
    back = true;
#if defined(SIMT_TSAN)
    if (mapping_ == nullptr) sanitizer_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.sanitizer_, 0);
#endif
    setcontext(&to.context_);
}
#endif

} // namespace simt
