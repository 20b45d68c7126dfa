// gzip, and each format behind it: damaged ones as they come, and whole ones, packed here, which must
// inflate to what was packed. Their checksums would hide the formats from damage.
#include "fuzz.h"

extern "C" {
#include "format/csv.h"
#include "format/idx.h"
#include "format/inflate.h"
#include "format/npy.h"
#include "format/safetensors.h"
}

#include <zlib.h>

#include <algorithm>
#include <vector>

namespace {

enum Behind { NOTHING, IDX, NPY, CSV, SAFETENSORS, FORMATS };

constexpr size_t most_expansion = 1032; // of DEFLATE

std::vector<uint8_t> pack(const uint8_t *data, size_t bytes) {
    static z_stream *const stream = [] {
        auto *made = new z_stream{};
        fuzz::expect(deflateInit2(made, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
                     "zlib packs");
        return made;
    }();
    deflateReset(stream);
    std::vector<uint8_t> packed(deflateBound(stream, static_cast<uLong>(bytes)));
    stream->next_in = const_cast<Bytef *>(data);
    stream->avail_in = static_cast<uInt>(bytes);
    stream->next_out = packed.data();
    stream->avail_out = static_cast<uInt>(packed.size());
    fuzz::expect(deflate(stream, Z_FINISH) == Z_STREAM_END, "zlib packs all of it");
    packed.resize(packed.size() - stream->avail_out);
    return packed;
}

void read(dki_file *file, Behind format) {
    const dk_allocator *allocator = fuzz::allocator();
    const char *text = reinterpret_cast<const char *>(file->data);
    dki_array array;
    dki_csv csv;
    dki_safetensors tensors;
    switch (format) {
    case IDX:
        fuzz::succeeded(dki_idx_parse(allocator, "gz", file, &array), {DK_E_DATA});
        break;
    case NPY:
        fuzz::succeeded(dki_npy_parse("gz", file->data, file->bytes, &array), {DK_E_DATA});
        break;
    case CSV:
        fuzz::succeeded(dki_csv_parse(allocator, "gz", text, file->bytes, nullptr, &csv),
                        {DK_E_DATA, DK_E_NONFINITE, DK_E_STATE});
        dki_csv_release(allocator, &csv);
        break;
    case SAFETENSORS:
        fuzz::succeeded(dki_safetensors_parse(allocator, "gz", file->data, file->bytes, &tensors),
                        {DK_E_MODEL});
        dki_safetensors_release(allocator, &tensors);
        break;
    default:
        break;
    }
}

void check_head(const uint8_t *data, size_t bytes, const dki_file &whole) {
    uint8_t head[16];
    size_t got = 0;
    fuzz::expect(dki_inflate_head("gz", data, bytes, head, sizeof head, &got) == DK_OK,
                 "there is memory for the head");
    fuzz::expect(got <= whole.bytes && std::memcmp(head, whole.data, got) == 0,
                 "the head is that of the whole");
}

// Inflates and reads what was in it. `packed` is what that must be, where it is known.
void inflate(const uint8_t *data, size_t bytes, size_t limit, Behind format,
             const fuzz::Input *packed) {
    // The output doubles while the old one is there: three times it at most. zlib's window is 32 KiB.
    fuzz::Run run(std::min(limit + 2, most_expansion * (bytes + 1)), 3, 1 << 16);
    dki_file file;
    const dk_status status = dki_file_inflate(fuzz::allocator(), "gz", data, bytes, limit, &file);
    const bool fits = packed && packed->size() <= limit;
    if (!fuzz::succeeded(status, {DK_E_DATA})) {
        fuzz::expect(!fits, "what was packed is inflated");
        return;
    }
    fuzz::expect(file.bytes <= limit, "no more than the limit");
    fuzz::expect(file.data[file.bytes] == 0, "a zero byte follows");
    fuzz::expect(!packed || (fits && file.bytes == packed->size() &&
                             std::equal(file.data, file.data + file.bytes, packed->data())),
                 "it is what was packed");
    if (dki_is_gzip(data, bytes)) check_head(data, bytes, file);
    run.more(file.bytes, fuzz::json_factor, fuzz::json_extra); // CSV needs less
    read(&file, format);
    dki_file_release(fuzz::allocator(), &file);
}

} // namespace

// Two choices: the format behind and whether to pack; the limit, and where a second member begins.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz::Input input(data, bytes);
    const uint8_t choice = input.byte(), cut = input.byte();
    const auto format = static_cast<Behind>((choice & 7) % FORMATS);
    const size_t limit = choice & 16 ? cut : 1 << 16;
    if (!(choice & 8)) {
        inflate(input.data(), input.size(), limit, format, nullptr);
        return 0;
    }
    fuzz::Input second = input, first = second.piece(choice & 32 ? input.size() : cut);
    std::vector<uint8_t> packed = pack(first.data(), first.size());
    if (second.size()) {
        const std::vector<uint8_t> more = pack(second.data(), second.size());
        packed.insert(packed.end(), more.begin(), more.end());
    }
    packed.resize(packed.size() + (choice >> 6)); // zero bytes may pad it
    inflate(packed.data(), packed.size(), limit, format, &input);
    return 0;
}
