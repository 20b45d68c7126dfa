// Streams that are written go through the wrapped write, byte for byte as the
// C library hands them on; its own write would pass the wrappers by.
#include "faults.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <mutex>

using faults::fails;
using faults::Function;

extern "C" {
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__real_fdopen(int descriptor, const char *mode);
FILE *__wrap_fdopen(int descriptor, const char *mode);
int __real_fileno(FILE *stream);
int __wrap_fileno(FILE *stream);
int __real_fclose(FILE *stream);
int __wrap_fclose(FILE *stream);
int __real_open(const char *path, int flags, ...);
}

namespace {

std::mutex lock;

std::map<FILE *, int> &descriptors() {
    static auto *all = new std::map<FILE *, int>;
    return *all;
}

int descriptor_in(void *cookie) {
    return static_cast<int>(reinterpret_cast<intptr_t>(cookie));
}

// As the C library's own streams do: what was written of it, 0 for an error.
ssize_t write_all(void *cookie, const char *from, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        const ssize_t now = write(descriptor_in(cookie), from + done, bytes - done);
        if (now <= 0) return 0;
        done += static_cast<size_t>(now);
    }
    return static_cast<ssize_t>(done);
}

int close_it(void *cookie) {
    return close(descriptor_in(cookie));
}

} // namespace

FILE *faults::stream_of(int descriptor) {
    FILE *stream = fopencookie(reinterpret_cast<void *>(static_cast<intptr_t>(descriptor)), "w",
                               {nullptr, write_all, nullptr, close_it});
    const std::lock_guard<std::mutex> guard(lock);
    if (stream) descriptors()[stream] = descriptor;
    return stream;
}

FILE *__wrap_fopen(const char *path, const char *mode) {
    if (fails(Function::fopen)) return nullptr;
    if (!strchr(mode, 'w')) return __real_fopen(path, mode);
    const int descriptor = __real_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return descriptor < 0 ? nullptr : faults::stream_of(descriptor);
}

FILE *__wrap_fdopen(int descriptor, const char *mode) {
    if (fails(Function::fdopen)) return nullptr;
    return strchr(mode, 'w') ? faults::stream_of(descriptor) : __real_fdopen(descriptor, mode);
}

int __wrap_fileno(FILE *stream) {
    const std::lock_guard<std::mutex> guard(lock);
    const auto found = descriptors().find(stream);
    return found == descriptors().end() ? __real_fileno(stream) : found->second;
}

int __wrap_fclose(FILE *stream) {
    {
        const std::lock_guard<std::mutex> guard(lock);
        descriptors().erase(stream);
    }
    return __real_fclose(stream);
}
