// Files without a file system: a pipe takes what a writer writes, a memfd is what a reader reads.
// Both have paths, under /proc.
#ifndef DELTAK_TESTS_FUZZ_FILES_H
#define DELTAK_TESTS_FUZZ_FILES_H

#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

namespace fuzz {

inline std::string path_of(int descriptor) {
    return "/proc/self/fd/" + std::to_string(descriptor);
}

// Takes at most `room` bytes and the little that a format puts in front of them: a full pipe would
// wait for its reader, which is this process.
class Pipe {
  public:
    static constexpr size_t room = 1 << 15, pipe_bytes = 1 << 16;

    Pipe() : taken_(pipe_bytes) {
        expect(pipe2(ends_, O_CLOEXEC | O_NONBLOCK) == 0, "there is a pipe");
        path_ = path_of(ends_[1]);
    }
    ~Pipe() {
        close(ends_[0]);
        close(ends_[1]);
    }
    Pipe(const Pipe &) = delete;
    Pipe &operator=(const Pipe &) = delete;

    const char *path() const { return path_.c_str(); }
    // What was written since the last take, at an address that a map could have; bytes() of it.
    const uint8_t *take() {
        const ssize_t got = read(ends_[0], taken_.data(), taken_.size());
        expect(got >= 0, "something was written");
        bytes_ = static_cast<size_t>(got);
        return taken_.data();
    }
    size_t bytes() const { return bytes_; }

  private:
    int ends_[2];
    std::string path_;
    std::vector<uint8_t> taken_;
    size_t bytes_ = 0;
};

// A regular file in memory, for readers that open paths.
class File {
  public:
    File() : descriptor_(memfd_create("deltak-fuzz", MFD_CLOEXEC)), path_(path_of(descriptor_)) {
        expect(descriptor_ >= 0, "there is a file in memory");
    }
    ~File() { close(descriptor_); }
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    void fill(const void *data, size_t bytes) const {
        expect(ftruncate(descriptor_, 0) == 0, "the file can be emptied");
        expect(pwrite(descriptor_, data, bytes, 0) == static_cast<ssize_t>(bytes),
               "the file can be written");
    }
    const char *path() const { return path_.c_str(); }
    int descriptor() const { return descriptor_; }

  private:
    int descriptor_;
    std::string path_;
};

} // namespace fuzz

#endif
