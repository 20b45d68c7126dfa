#include "format/npy.h"

#include "base/memory.h"
#include "format/bytes.h"
#include "format/inflate.h"
#include "format/npy_header.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "elements are used where the file is mapped, in the file's byte order");

/* The writer's header, its padding included, ends on a multiple of ALIGNMENT (NumPy's own rule). */
enum { MAGIC = 6, ALIGNMENT = 64, LONGEST_HEADER = 1 << 20 };

static const unsigned char magic[MAGIC] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

bool dki_npy_is(const unsigned char *head, size_t bytes) {
    return bytes >= MAGIC && memcmp(head, magic, MAGIC) == 0;
}

/* Where the header's text begins and how long it is. Version 1.0 counts it in two bytes, 2.0 and
 * 3.0 in four. */
static dk_status find_header(const char *name, const unsigned char *data, size_t bytes,
                             size_t *start, size_t *length) {
    DKI_REQUIRE(dki_npy_is(data, bytes), DK_E_DATA,
                "%s: not an NPY file: it doesn't start with \\x93NUMPY; write it with numpy.save "
                "(not numpy.savez), uncompressed",
                name);
    DKI_REQUIRE(bytes >= MAGIC + 2, DK_E_DATA, "%s: cut short after %zu bytes", name, bytes);
    unsigned char major = data[MAGIC], minor = data[MAGIC + 1];
    DKI_REQUIRE(major >= 1 && major <= 3 && minor == 0, DK_E_DATA,
                "%s: NPY version %d.%d: readable are 1.0, 2.0 and 3.0", name, major, minor);
    *start = MAGIC + 2 + (major == 1 ? 2 : 4);
    DKI_REQUIRE(bytes >= *start, DK_E_DATA, "%s: cut short after %zu bytes", name, bytes);
    *length = major == 1 ? dki_load_le16(data + MAGIC + 2) : dki_load_le32(data + MAGIC + 2);
    DKI_REQUIRE(*length <= LONGEST_HEADER, DK_E_DATA,
                "%s: a header of %zu bytes: that of a plain array has some hundred", name, *length);
    DKI_REQUIRE(bytes - *start >= *length, DK_E_DATA,
                "%s: its header promises %zu bytes, the file has %zu left: it is cut short", name,
                *length, bytes - *start);
    return DK_OK;
}

dk_status dki_npy_parse(const char *name, const void *data, size_t bytes, dki_array *array) {
    size_t start = 0, length = 0, element = 0;
    const char *text = data;
    *array = (dki_array){0};
    DKI_TRY(find_header(name, data, bytes, &start, &length));
    DKI_TRY(dki_npy_header(name, text + start, length, array, &element));
    DKI_TRY(dki_array_measure(name, element, array));
    size_t held = bytes - start - length;
    DKI_REQUIRE(held == array->bytes, DK_E_DATA,
                "%s: its header promises %zu bytes of elements, the file holds %zu: it is %s", name,
                array->bytes, held,
                held < array->bytes ? "cut short" : "damaged, or has something appended");
    DKI_REQUIRE((start + length) % element == 0, DK_E_DATA,
                "%s: its elements start at byte %zu, no multiple of their %zu bytes: write the "
                "file with numpy.save",
                name, start + length, element);
    array->data = text + start + length;
    return DK_OK;
}

dk_status dki_npy_open(const char *path, dki_file *file, dki_array *array) {
    DKI_TRY(dki_file_map(path, file));
    dk_status status =
        dki_is_gzip(file->data, file->bytes)
            ? dki_fail(DK_E_DATA,
                       "%s is a compressed NPY file, which can't be mapped: gunzip it first", path)
            : dki_npy_parse(path, file->data, file->bytes, array);
    if (status != DK_OK) dki_file_release(NULL, file); /* a map needs no allocator */
    return status;
}

dk_status dki_npy_write(const dk_allocator *allocator, const char *path, const float *values,
                        int64_t rows, int64_t columns) {
    unsigned char header[2 * ALIGNMENT];
    size_t bytes = 0;
    DKI_REQUIRE(rows >= 0 && columns >= 0 && dki_mul((size_t)rows, (size_t)columns, &bytes) &&
                    dki_mul(bytes, sizeof *values, &bytes),
                DK_E_SHAPE, "%s: a matrix of %" PRId64 " × %" PRId64 " can't be written", path,
                rows, columns);
    memset(header, ' ', sizeof header);
    memcpy(header, magic, MAGIC);
    header[MAGIC] = 1;
    header[MAGIC + 1] = 0;
    dki_store_le16(header + MAGIC + 2, sizeof header - MAGIC - 4);
    char *text = (char *)header + MAGIC + 4;
    int length =
        snprintf(text, sizeof header - MAGIC - 4,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64 "), }",
                 rows, columns);
    text[length] = ' ';
    header[sizeof header - 1] = '\n';
    dki_writer writer;
    dk_status status = DK_OK;
    DKI_TRY(dki_writer_open(allocator, path, &writer));
    DKI_TRY_OUT(dki_writer_put(&writer, header, sizeof header));
    DKI_TRY_OUT(dki_writer_put(&writer, values, bytes));
    return dki_writer_commit(&writer);
out:
    dki_writer_abandon(&writer);
    return status;
}
