// Switching between stacks by _setjmp and _longjmp, which cost no system call; getcontext and
// setcontext only start a fiber.
//
// AddressSanitizer has a longjmp of its own, which takes a jump to another stack for one up the same
// stack: there, the C library's is called behind its back (a swapcontext takes four times as long,
// and under AddressSanitizer it forgets the red zones of the whole stack). ThreadSanitizer watches
// setjmp, too, and leaves getcontext and setcontext alone.

// The fortified longjmp takes a jump to another stack for an error.
#undef _FORTIFY_SOURCE

#include "simt/fiber.h"

#include <new>
#include <sys/mman.h>
#include <unistd.h>

#if defined(SIMT_ASAN)
#include <dlfcn.h>
#include <sanitizer/common_interface_defs.h>
#endif
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

// The two ends of the switch under way. Only one grid runs at a time (grid.cpp).
Fiber *leaving = nullptr, *entering = nullptr;

#if !defined(SIMT_TSAN)
void jump(std::jmp_buf &to) {
#if defined(SIMT_ASAN)
    using Jump = void (*)(std::jmp_buf, int);
    static const Jump own =
        reinterpret_cast<Jump>(dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), "_longjmp"));
    own(to, 1);
#else
    _longjmp(to, 1);
#endif
}
#endif

} // namespace

Fiber::Fiber(void (*body)()) : body_(body), bytes_(stack_bytes) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    mapping_ = mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(mapping_, page, PROT_NONE); // a stack that overflows faults here
    bottom_ = static_cast<char *>(mapping_) + page;
    getcontext(&context_);
    context_.uc_stack.ss_sp = const_cast<void *>(bottom_);
    context_.uc_stack.ss_size = stack_bytes - next_end();
    context_.uc_link = nullptr;
    makecontext(&context_, &Fiber::enter, 0);
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
    arrived();
    entering->body_();
}

/// On the stack of `entering`, straight after the switch.
void Fiber::arrived() {
#if defined(SIMT_ASAN)
    const void *bottom = nullptr;
    std::size_t bytes = 0;
    __sanitizer_finish_switch_fiber(entering->sanitizer_, &bottom, &bytes);
    if (leaving->mapping_ == nullptr) { // the host's stack: known from now on
        leaving->bottom_ = bottom;
        leaving->bytes_ = bytes;
    }
#endif
}

void Fiber::switch_to(Fiber &from, Fiber &to) {
    leaving = &from;
    entering = &to;
#if defined(SIMT_TSAN)
    volatile bool back = false; // getcontext returns a second time
    getcontext(&from.context_);
    if (back) return;
    back = true;
    from.announce(to);
    setcontext(&to.context_);
#else
    if (_setjmp(from.jump_) != 0) return arrived();
    from.announce(to);
    if (to.started_ || to.mapping_ == nullptr) jump(to.jump_);
    to.started_ = true;
    setcontext(&to.context_);
#endif
}

/// On the stack that is about to be left.
void Fiber::announce([[maybe_unused]] Fiber &to) {
#if defined(SIMT_ASAN)
    __sanitizer_start_switch_fiber(&sanitizer_, to.bottom_, to.bytes_);
#elif defined(SIMT_TSAN)
    if (mapping_ == nullptr) sanitizer_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.sanitizer_, 0);
#endif
}

} // namespace simt
