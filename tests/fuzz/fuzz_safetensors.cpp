// safetensors files: the tensors of an accepted one cover its bytes, each reads as its shape says, and
// what is written of them reads back the same.
#include "files.h"
#include "fuzz.h"

extern "C" {
#include "format/safetensors.h"
}

#include <jansson.h>

#include <vector>

namespace {

bool same_tensor(const dki_safetensor &a, const dki_safetensor &b) {
    return std::strcmp(a.name, b.name) == 0 && std::strcmp(a.dtype, b.dtype) == 0 &&
           a.dims == b.dims && a.bytes == b.bytes &&
           std::memcmp(a.shape, b.shape, sizeof a.shape) == 0 &&
           (a.bytes == 0 || std::memcmp(a.data, b.data, a.bytes) == 0);
}

// Every byte behind the header is some tensor's.
void check_cover(const dki_safetensors &file, const uint8_t *data, size_t bytes) {
    uint64_t header;
    std::memcpy(&header, data, sizeof header);
    const uint8_t *at = data + sizeof header + header;
    for (size_t i = 0; i < file.count; ++i) {
        fuzz::expect(file.tensors[i].data == at, "a tensor begins where another ends");
        at += file.tensors[i].bytes;
    }
    fuzz::expect(at == data + bytes, "the last tensor ends with the file");
}

void read_each(const dki_safetensors &file) {
    for (size_t i = 0; i < file.count; ++i) {
        const dki_safetensor &tensor = file.tensors[i];
        fuzz::expect(dki_safetensors_find(&file, tensor.name) == &tensor,
                     "a name finds its tensor");
        const bool f32 = fuzz::succeeded(
            dki_safetensors_expect_f32(&file, tensor.name, tensor.shape, tensor.dims),
            {DK_E_MODEL});
        fuzz::expect(f32 == (std::strcmp(tensor.dtype, "F32") == 0), "F32 is what is read");
        if (!f32) continue;
        std::vector<float> values(tensor.bytes / sizeof(float) + 1);
        const size_t count = dki_safetensors_copy_f32(&file, tensor.name, values.data());
        fuzz::expect(count * sizeof(float) == tensor.bytes &&
                         (!count || !std::memcmp(values.data(), tensor.data, tensor.bytes)),
                     "the values are the file's");
    }
    const int64_t shape[2] = {1, 2};
    const char *const wanted = "layers.1.weight";
    const dk_status status = dki_safetensors_expect_f32(&file, wanted, shape, 2);
    fuzz::expect(!fuzz::succeeded(status, {DK_E_MODEL}) || dki_safetensors_find(&file, wanted),
                 "a tensor that isn't there isn't read");
}

std::vector<dki_metadata> metadata_of(const dki_safetensors &file) {
    std::vector<dki_metadata> entries;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(file.header, "__metadata__"), key,
                        value) if (std::strncmp(key, "xxh3", 4) != 0) // the writer's own
        entries.push_back({key, json_string_value(value)});
    return entries;
}

void expect_refused(const std::vector<uint8_t> &bytes) {
    const dk_allocator *allocator = fuzz::allocator();
    dki_safetensors changed;
    dk_status status =
        dki_safetensors_parse(allocator, "changed", bytes.data(), bytes.size(), &changed);
    if (!fuzz::succeeded(status, {DK_E_MODEL})) return;
    status = dki_safetensors_verify(allocator, &changed, true);
    fuzz::expect(!fuzz::succeeded(status, {DK_E_MODEL}), "a changed bit is seen");
    dki_safetensors_release(allocator, &changed);
}

void write_and_read(const dki_safetensors &file) {
    static fuzz::Pipe pipe;
    const std::vector<dki_metadata> metadata = metadata_of(file);
    const dk_allocator *allocator = fuzz::allocator();
    dk_status status = dki_safetensors_write(allocator, pipe.path(), metadata.data(),
                                             metadata.size(), file.tensors, file.count);
    fuzz::expect(status == DK_OK, "what was read can be written");
    const uint8_t *written = pipe.take();
    dki_safetensors again;
    status = dki_safetensors_parse(allocator, "written", written, pipe.bytes(), &again);
    fuzz::expect(status == DK_OK, "what was written can be read");
    fuzz::expect(again.count == file.count, "as many tensors");
    for (size_t i = 0; i < file.count; ++i)
        fuzz::expect(same_tensor(file.tensors[i], again.tensors[i]), "the same tensors");
    for (const dki_metadata &entry : metadata) {
        const char *value = dki_safetensors_metadata(&again, entry.key);
        fuzz::expect(value && std::strcmp(value, entry.value) == 0, "the same metadata");
    }
    fuzz::expect(dki_safetensors_verify(allocator, &again, true) == DK_OK, "with its hashes");
    dki_safetensors_release(allocator, &again);
    std::vector<uint8_t> changed{written, written + pipe.bytes()};
    uint8_t *byte = fuzz::any_byte(&changed);
    for (int bit = 0; bit < 8; ++bit) {
        *byte ^= static_cast<uint8_t>(1u << bit);
        expect_refused(changed);
        *byte ^= static_cast<uint8_t>(1u << bit);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    // A tensor is `"":{…}` of 50.
    fuzz::Run run(bytes, fuzz::json_factor, fuzz::json_extra);
    dki_safetensors file;
    const dk_status status =
        dki_safetensors_parse(fuzz::allocator(), "safetensors", data, bytes, &file);
    if (!fuzz::succeeded(status, {DK_E_MODEL})) return 0;
    check_cover(file, data, bytes);
    read_each(file);
    run.more(bytes, fuzz::json_factor,
             fuzz::json_extra); // its text is made again, and its tree copied
    fuzz::succeeded(dki_safetensors_verify(fuzz::allocator(), &file, false), {DK_E_MODEL});
    if (bytes < fuzz::Pipe::room / 8) { // what JSON escapes grows by six
        run.more(16 * bytes, fuzz::json_factor, fuzz::json_extra);
        write_and_read(file);
    }
    dki_safetensors_release(fuzz::allocator(), &file);
    return 0;
}
