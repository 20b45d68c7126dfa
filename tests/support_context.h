// A context without a device, for tests of what needs only the host's services: its allocator
// counts what is alive and can make the n-th allocation fail.
#ifndef DELTAK_TESTS_SUPPORT_CONTEXT_H
#define DELTAK_TESTS_SUPPORT_CONTEXT_H

extern "C" {
#include "model/context.h"
}

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

namespace support {

class BareContext {
  public:
    BareContext() {
        context_.references = 1;
        context_.allocator = {&BareContext::alloc, &BareContext::release, this};
        pthread_mutex_init(&context_.log.lock, nullptr);
        context_.services.allocator = &context_.allocator;
        context_.services.log = &context_.log;
    }
    // Everything made from the context is gone by now: no block is alive, and only the test itself
    // still holds the context. (It was never opened, so it isn't destroyed by dk_context_destroy.)
    ~BareContext() {
        EXPECT_EQ(context_.references, 1) << "an object still holds the context";
        EXPECT_EQ(live_.load(), 0) << "blocks were not released";
        pthread_mutex_destroy(&context_.log.lock);
    }
    BareContext(const BareContext &) = delete;
    BareContext &operator=(const BareContext &) = delete;

    dk_context *get() { return &context_; }

    // The n-th allocation from now on fails, n ≥ 1, and those after it succeed; 0 = none.
    void fail_at(long n) { countdown_ = n; }
    // Whether the allocation that was to fail has been asked for.
    bool failed() const { return countdown_ < 0; }
    long live() const { return live_; }

  private:
    static void *alloc(void *user, size_t bytes, size_t alignment) {
        auto *self = static_cast<BareContext *>(user);
        if (self->countdown_ > 0 && --self->countdown_ == 0) {
            self->countdown_ = -1;
            return nullptr;
        }
        if (bytes >> 40) return nullptr; // a sanitizer would rather end the program
        void *memory = nullptr;
        if (posix_memalign(&memory, alignment, bytes) != 0) return nullptr;
        ++self->live_;
        return memory;
    }
    static void release(void *user, void *memory, size_t) {
        --static_cast<BareContext *>(user)->live_;
        std::free(memory);
    }

    dk_context context_{};
    std::atomic<long> live_{0}, countdown_{0};
};

} // namespace support

#endif
