// IDX files: what is read is what stands in the file, big-endian.
#include "fuzz.h"

extern "C" {
#include "format/idx.h"
}

// The element's value, by the format's own words.
static double expected(const uint8_t *at, uint8_t type) {
    auto bits = [&](int bytes) {
        uint64_t value = 0;
        for (int i = 0; i < bytes; ++i) value = value << 8 | at[i];
        return value;
    };
    uint32_t word = static_cast<uint32_t>(type == 0x0c || type == 0x0d ? bits(4) : 0);
    float narrow;
    double wide;
    switch (type) {
    case 0x08:
        return *at;
    case 0x0b:
        return static_cast<int16_t>(bits(2));
    case 0x0c:
        return static_cast<int32_t>(word);
    case 0x0d:
        std::memcpy(&narrow, &word, sizeof narrow);
        return static_cast<double>(narrow);
    default:
        const uint64_t all = bits(8);
        std::memcpy(&wide, &all, sizeof wide);
        return wide;
    }
}

static double found(const dki_array &array, size_t i) {
    switch (array.type) {
    case DK_U8:
        return static_cast<const uint8_t *>(array.data)[i];
    case DK_I32:
        return static_cast<const int32_t *>(array.data)[i];
    case DK_F32:
        return static_cast<double>(static_cast<const float *>(array.data)[i]);
    default:
        return static_cast<const double *>(array.data)[i];
    }
}

static size_t width(uint8_t type) {
    return type == 0x08 ? 1 : type == 0x0b ? 2 : type == 0x0e ? 8 : 4;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    // The file's own copy, and elements that are at most twice as wide in memory.
    fuzz::Run run(bytes, 3, 4096);
    dki_file file = fuzz::file(data, bytes);
    dki_array array;
    dk_status status = dki_idx_parse(fuzz::allocator(), "idx", &file, &array);
    if (fuzz::succeeded(status, {DK_E_DATA})) {
        const uint8_t type = data[2];
        const uint8_t *elements = data + 4 + 4 * data[3];
        const size_t count = (bytes - 4 - 4 * size_t{data[3]}) / width(type);
        size_t promised = 1;
        for (int i = 0; i < array.dims; ++i) promised *= static_cast<size_t>(array.shape[i]);
        fuzz::expect(promised == count, "the shape makes the elements");
        for (size_t i = 0; i < count; ++i) {
            const double a = found(array, i), b = expected(elements + i * width(type), type);
            fuzz::expect((a != a && b != b) || fuzz::same_bits(a, b), "elements are the file's");
        }
    }
    dki_file_release(fuzz::allocator(), &file);
    return 0;
}
