// NPY files: an accepted one fits its bytes, and a matrix of fp32 is written and read again the same.
#include "files.h"
#include "fuzz.h"

extern "C" {
#include "format/npy.h"
}

static size_t element_bytes(dk_dtype type) {
    return type == DK_U8 ? 1 : type == DK_F32 || type == DK_I32 ? 4 : 8;
}

static void check_view(const dki_array &array, const uint8_t *data, size_t bytes) {
    size_t product = element_bytes(array.type);
    fuzz::expect(array.dims >= 1 && array.dims <= DKI_ARRAY_DIMS, "1 … 8 dimensions");
    for (int i = 0; i < array.dims; ++i) {
        fuzz::expect(array.shape[i] >= 1, "every dimension has elements");
        product *= static_cast<size_t>(array.shape[i]);
    }
    const auto *first = static_cast<const uint8_t *>(array.data);
    fuzz::expect(product == array.bytes, "the shape makes the bytes");
    fuzz::expect(first + array.bytes == data + bytes, "the elements are the file's last bytes");
    fuzz::expect(reinterpret_cast<uintptr_t>(first) % element_bytes(array.type) == 0,
                 "the elements are aligned");
}

static void write_and_read(const dki_array &array) {
    static fuzz::Pipe pipe;
    dk_status status =
        dki_npy_write(fuzz::allocator(), pipe.path(), static_cast<const float *>(array.data),
                      array.shape[0], array.shape[1]);
    fuzz::expect(status == DK_OK, "a matrix that was read can be written");
    const uint8_t *written = pipe.take();
    dki_array again;
    status = dki_npy_parse("npy", written, pipe.bytes(), &again);
    fuzz::expect(status == DK_OK, "what was written can be read");
    fuzz::expect(again.type == DK_F32 && again.dims == 2 && !again.fortran_order &&
                     again.shape[0] == array.shape[0] && again.shape[1] == array.shape[1] &&
                     std::memcmp(again.data, array.data, array.bytes) == 0,
                 "what was written reads the same");
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    // A copy aligned as a map is; reading allocates nothing, writing two paths.
    fuzz::Run run(bytes, 1, 4096);
    dki_file file = fuzz::file(data, bytes);
    dki_array array;
    if (fuzz::succeeded(dki_npy_parse("npy", file.data, bytes, &array), {DK_E_DATA})) {
        check_view(array, file.data, bytes);
        if (array.type == DK_F32 && array.dims == 2 && !array.fortran_order &&
            array.bytes < fuzz::Pipe::room)
            write_and_read(array);
    }
    dki_file_release(fuzz::allocator(), &file);
    return 0;
}
