#include "format/idx.h"

#include "base/memory.h"
#include "format/bytes.h"

/* The third byte of the magic number. */
enum {
    IDX_U8 = 0x08,
    IDX_I8 = 0x09,
    IDX_I16 = 0x0b,
    IDX_I32 = 0x0c,
    IDX_F32 = 0x0d,
    IDX_F64 = 0x0e
};

/* Bytes of an element in the file; 0 for a type that IDX doesn't know. */
static size_t stored_bytes(unsigned char type) {
    switch (type) {
    case IDX_U8:
    case IDX_I8:
        return 1;
    case IDX_I16:
        return 2;
    case IDX_I32:
    case IDX_F32:
        return 4;
    case IDX_F64:
        return 8;
    default:
        return 0;
    }
}

bool dki_idx_is(const unsigned char *head, size_t bytes) {
    return bytes >= 4 && head[0] == 0 && head[1] == 0 && stored_bytes(head[2]) > 0 && head[3] > 0;
}

/* Big-endian elements of 2, 4 or 8 bytes to the host's order; i16 widens to i32. */
static void convert(const unsigned char *from, unsigned char type, size_t count, void *to) {
    if (type == IDX_I16) {
        int32_t *wide = to;
        for (size_t i = 0; i < count; ++i) wide[i] = (int16_t)dki_load_be16(from + 2 * i);
    } else if (type == IDX_F64) {
        uint64_t *bits = to;
        for (size_t i = 0; i < count; ++i) bits[i] = dki_load_be64(from + 8 * i);
    } else {
        uint32_t *bits = to;
        for (size_t i = 0; i < count; ++i) bits[i] = dki_load_be32(from + 4 * i);
    }
}

/* Reads type, shape and lengths; the bytes are those that the elements have in the file. */
static dk_status parse_header(const char *name, const dki_file *file, dki_array *array) {
    const unsigned char *data = file->data;
    DKI_REQUIRE(dki_idx_is(data, file->bytes), DK_E_DATA,
                "%s: not an IDX file: its first four bytes are no IDX type and dimension count",
                name);
    DKI_REQUIRE(data[2] != IDX_I8, DK_E_DATA,
                "%s: its elements are signed bytes: save them as unsigned bytes or int32", name);
    DKI_REQUIRE(data[3] <= DKI_ARRAY_DIMS, DK_E_DATA,
                "%s: it has %d dimensions, at most %d can be "
                "read",
                name, data[3], (int)DKI_ARRAY_DIMS);
    array->dims = data[3];
    size_t header = 4 + 4 * (size_t)array->dims;
    DKI_REQUIRE(file->bytes >= header, DK_E_DATA,
                "%s: its header needs %zu bytes, the file has %zu: it is cut short", name, header,
                file->bytes);
    for (int i = 0; i < array->dims; ++i) array->shape[i] = dki_load_be32(data + 4 + 4 * (size_t)i);
    DKI_TRY(dki_array_measure(name, stored_bytes(data[2]), array));
    DKI_REQUIRE(file->bytes - header == array->bytes, DK_E_DATA,
                "%s: its header promises %zu bytes of elements, the file holds %zu: it is %s", name,
                array->bytes, file->bytes - header,
                file->bytes - header < array->bytes ? "cut short"
                                                    : "damaged, or has something appended");
    return DK_OK;
}

dk_status dki_idx_parse(const dk_allocator *allocator, const char *name, dki_file *file,
                        dki_array *array) {
    *array = (dki_array){0};
    DKI_TRY(parse_header(name, file, array));
    unsigned char type = file->data[2];
    const unsigned char *elements = file->data + 4 + 4 * (size_t)array->dims;
    array->data = elements;
    array->type = DK_U8;
    if (type == IDX_U8) return DK_OK;
    array->type = type == IDX_F64 ? DK_F64 : type == IDX_F32 ? DK_F32 : DK_I32;
    void *converted = NULL;
    const size_t size = type == IDX_F64 ? 8 : 4;
    DKI_TRY(dki_array_measure(name, size, array));
    DKI_TRY(dki_alloc(allocator, array->bytes, 1, name, &converted));
    convert(elements, type, array->bytes / size, converted);
    dki_file_release(allocator, file);
    *file = (dki_file){.data = converted, .bytes = array->bytes, .memory = converted};
    array->data = converted;
    return DK_OK;
}

dk_status dki_idx_read(const dk_allocator *allocator, const char *path, dki_file *file,
                       dki_array *array) {
    DKI_TRY(dki_file_read(allocator, path, DKI_FILE_LIMIT, file));
    dk_status status = dki_idx_parse(allocator, path, file, array);
    if (status != DK_OK) dki_file_release(allocator, file);
    return status;
}
