// What fuzz targets share: properties that end the process where they don't hold, host memory that is
// counted against the size of the input, and inputs taken apart.
//
// A target is one file fuzz_<name>.cpp with LLVMFuzzerTestOneInput. Its first line of work is a
// fuzz::Run, which states how much memory `bytes` of input may make the library ask for; at its end
// all of it must have been given back.
#ifndef DELTAK_TESTS_FUZZ_H
#define DELTAK_TESTS_FUZZ_H

extern "C" {
#include "format/file.h"
}

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

namespace fuzz {

// Says what doesn't hold, and ends the process: libFuzzer keeps the input then.
[[noreturn]] void broken(const char *property);

inline void expect(bool holds, const char *property) {
    if (!holds) broken(property);
}

// Whether a call succeeded. It failed otherwise, as its header says it may, with a text.
bool succeeded(dk_status status, std::initializer_list<dk_status> documented);

// Allocator hooks whose blocks are counted; jansson's, which hooks of its own bring here, are too.
const dk_allocator *allocator();

// The bytes as a file that was read, from the allocator; dki_file_release gives them back.
dki_file file(const uint8_t *data, size_t bytes);

// One execution. What is asked of the allocator in its life is at most factor · bytes + extra at any
// time, and is all given back at the end.
class Run {
  public:
    Run(size_t bytes, size_t factor, size_t extra);
    // As much again, for what the target itself does with what was read.
    void more(size_t bytes, size_t factor, size_t extra);
    ~Run();
    Run(const Run &) = delete;
    Run &operator=(const Run &) = delete;
};

// What jansson needs for a text: most for `{},`, three bytes that are an object of some 200, and for
// `[`, one that is an array of 136, but only 2048 deep.
constexpr size_t json_factor = 100, json_extra = 1 << 19;

// The input, from its first byte on.
class Input {
  public:
    Input(const uint8_t *data, size_t bytes) : at_(data), left_(bytes) {}

    // The next byte, 0 behind the end: choices are made by these.
    uint8_t byte() {
        if (!left_) return 0;
        --left_;
        return *at_++;
    }
    // As much of the rest as `bytes` says.
    Input piece(size_t bytes) {
        if (bytes > left_) bytes = left_;
        Input taken(at_, bytes);
        at_ += bytes;
        left_ -= bytes;
        return taken;
    }
    const uint8_t *data() const { return at_; }
    size_t size() const { return left_; }
    std::string text() const { return std::string(reinterpret_cast<const char *>(at_), left_); }

  private:
    const uint8_t *at_;
    size_t left_;
};

// Some byte of a file that isn't empty; which one follows from all of them, so that it varies.
inline uint8_t *any_byte(std::vector<uint8_t> *file) {
    size_t hash = 0;
    for (uint8_t byte : *file) hash = hash * 31 + byte;
    return &(*file)[(hash ^ hash >> 32) % file->size()];
}

// The same values to the bit: a NaN equals itself, −0 isn't 0.
inline bool same_bits(double a, double b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

} // namespace fuzz

#endif
