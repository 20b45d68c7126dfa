// The GPU's primary context, held. It goes with the last one who holds it, and to make it anew takes a
// good part of a second: a test program opens and closes dozens of contexts of deltak's, which would each
// do that.
#ifndef DELTAK_TESTS_PRIMARY_CONTEXT_H
#define DELTAK_TESTS_PRIMARY_CONTEXT_H

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

class PrimaryContext {
  public:
    /// Of GPU N of "cuda" or "cuda:N"; nothing where there is no driver.
    explicit PrimaryContext(const char *device)
        : ordinal_(std::strchr(device, ':') ? std::atoi(std::strchr(device, ':') + 1) : 0),
          driver_(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {
        const auto initialise = function<int (*)(unsigned)>("cuInit");
        const auto retain = function<int (*)(void **, int)>("cuDevicePrimaryCtxRetain");
        void *context = nullptr;
        held_ = initialise && retain && initialise(0) == 0 && retain(&context, ordinal_) == 0;
    }
    ~PrimaryContext() {
        const auto release = function<int (*)(int)>("cuDevicePrimaryCtxRelease_v2");
        if (held_ && release) release(ordinal_);
        if (driver_) dlclose(driver_);
    }
    PrimaryContext(const PrimaryContext &) = delete;
    PrimaryContext &operator=(const PrimaryContext &) = delete;

  private:
    template <class F> F function(const char *name) const {
        return driver_ ? reinterpret_cast<F>(dlsym(driver_, name)) : nullptr;
    }

    int ordinal_;
    void *driver_;
    bool held_ = false;
};

#endif
