// Reads fat binaries. Only the wrapper is documented, in fatbinary_section.h of the toolkit; what it points
// to is as nvcc 13 writes it, numbers in the machine's order:
//
//   at 6   2 bytes   length of this header
//   at 8   8 bytes   bytes of all entries, which follow
//
// and each entry
//
//   at 0   2 bytes   kind: 1 is PTX
//   at 4   4 bytes   length of the entry's header
//   at 8   8 bytes   bytes of what follows it, padding included
//   at 28  4 bytes   architecture
#include "fatbin.h"

#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace emulated {

namespace {

struct Wrapper {
    int32_t magic, version;
    const unsigned char *data;
    void *more;
};
constexpr int32_t wrapper_magic = 0x466243b1;
constexpr uint16_t kind_of_ptx = 1;

template <class T> T read(const unsigned char *at) {
    T value;
    memcpy(&value, at, sizeof value);
    return value;
}

/// A text that is compressed has no ".version", with which PTX begins but for comments.
std::string text_of(const unsigned char *data, size_t bytes) {
    const auto *text = reinterpret_cast<const char *>(data);
    if (!memmem(text, bytes, ".version", strlen(".version")))
        throw std::runtime_error("its PTX is compressed: nvcc has to be told -no-compress");
    return {text, strnlen(text, bytes)};
}

} // namespace

std::vector<Image> images_of(const void *wrapper) {
    const auto *it = static_cast<const Wrapper *>(wrapper);
    if (it->magic != wrapper_magic) throw std::runtime_error("it isn't a fat binary");
    std::vector<Image> images;
    const unsigned char *entry = it->data + read<uint16_t>(it->data + 6);
    const unsigned char *const end = entry + read<uint64_t>(it->data + 8);
    while (entry < end) {
        const unsigned char *const content = entry + read<uint32_t>(entry + 4);
        const auto bytes = read<uint64_t>(entry + 8);
        if (read<uint16_t>(entry) == kind_of_ptx)
            images.push_back({read<int32_t>(entry + 28), text_of(content, bytes)});
        entry = content + bytes;
    }
    return images;
}

const Image *image_for(const std::vector<Image> &images, int capability) {
    const Image *best = nullptr;
    for (const Image &image : images)
        if (image.architecture <= capability && (!best || image.architecture > best->architecture))
            best = &image;
    return best;
}

} // namespace emulated
