#include "fuzz.h"

extern "C" {
#include "base/memory.h"
}

#include <jansson.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace fuzz {

namespace {

// Atomic for the loader's thread; which of two threads is one too many makes no difference.
std::atomic<size_t> live{0};
size_t limit = SIZE_MAX, start;

void *take(size_t bytes, size_t alignment) {
    if (bytes > limit || live > limit - bytes) broken("memory is bounded by the size of the input");
    void *memory = nullptr;
    if (posix_memalign(&memory, alignment, bytes ? bytes : 1) != 0) return nullptr;
    live += bytes;
    return memory;
}

void give(void *memory, size_t bytes) {
    live -= bytes;
    free(memory);
}

// jansson's free isn't told how much it frees: the size stands in front of the block.
constexpr size_t front = alignof(max_align_t);

void *take_for_json(size_t bytes) {
    char *memory = static_cast<char *>(take(bytes + front, front));
    if (!memory) return nullptr;
    std::memcpy(memory, &bytes, sizeof bytes);
    return memory + front;
}

void give_of_json(void *block) {
    if (!block) return;
    char *memory = static_cast<char *>(block) - front;
    size_t bytes;
    std::memcpy(&bytes, memory, sizeof bytes);
    give(memory, bytes + front);
}

const dk_allocator hooks = {
    [](void *, size_t bytes, size_t alignment) { return take(bytes, alignment); },
    [](void *, void *memory, size_t bytes) { give(memory, bytes); }, nullptr};

const bool json_is_counted = (json_set_alloc_funcs(take_for_json, give_of_json), true);

} // namespace

void broken(const char *property) {
    std::fprintf(stderr, "BROKEN: %s\nlast error text: \"%s\"\n", property, dk_error_text());
    std::abort();
}

bool succeeded(dk_status status, std::initializer_list<dk_status> documented) {
    if (status == DK_OK) return true;
    expect(std::find(documented.begin(), documented.end(), status) != documented.end(),
           "a failure has a documented status");
    expect(*dk_error_text() != '\0', "a failure has a text");
    return false;
}

const dk_allocator *allocator() {
    return &hooks;
}

dki_file file(const uint8_t *data, size_t bytes) {
    dki_file made{};
    expect(dki_alloc(&hooks, bytes, 1, "a file", &made.memory) == DK_OK, "there is memory");
    if (bytes) std::memcpy(made.memory, data, bytes);
    made.data = static_cast<const unsigned char *>(made.memory);
    made.bytes = bytes;
    return made;
}

Run::Run(size_t bytes, size_t factor, size_t extra) {
    expect(json_is_counted, "jansson is counted");
    dki_error_restore("");
    start = live;
    limit = start + factor * bytes + extra;
}

void Run::more(size_t bytes, size_t factor, size_t extra) {
    limit += factor * bytes + extra;
}

Run::~Run() {
    limit = SIZE_MAX;
    expect(live == start, "all memory is given back");
}

} // namespace fuzz
