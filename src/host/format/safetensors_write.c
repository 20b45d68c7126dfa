#include "base/memory.h"
#include "format/bytes.h"
#include "format/safetensors_header.h"
#include "format/utf8.h"

/* The header's length is a multiple of this, so that the tensors are aligned. */
enum { ALIGNMENT = 8 };

/* Adds key: value, which it takes over; a NULL value stands for memory that ran out. */
static dk_status add(const char *path, json_t *object, const char *key, json_t *value) {
    if (json_object_get(object, key)) {
        json_decref(value);
        return dki_fail(DK_E_ARGUMENT, "%s: two entries are named \"%.80s\"", path, key);
    }
    if (json_object_set_new(object, key, value) != 0)
        return dki_fail(DK_E_MEMORY, "%s: out of memory: its header", path);
    return DK_OK;
}

static dk_status check_text(const char *path, const char *key, const char *text) {
    DKI_REQUIRE(text && dki_is_utf8(text), DK_E_ARGUMENT,
                "%s: \"%.80s\" can't be written: its name or value isn't UTF-8 text", path, key);
    return DK_OK;
}

static dk_status add_metadata(const char *path, json_t *header, const dki_metadata *metadata,
                              size_t count) {
    if (count == 0) return DK_OK;
    json_t *object = json_object();
    dk_status status = DK_OK;
    for (size_t i = 0; i < count; ++i) {
        const char *key = metadata[i].key, *value = metadata[i].value;
        DKI_TRY_OUT(check_text(path, key, key));
        DKI_TRY_OUT(check_text(path, key, value));
        DKI_TRY_OUT(add(path, object, key, json_string(value)));
    }
    return add(path, header, DKI_METADATA_KEY, object);
out:
    json_decref(object);
    return status;
}

static dk_status add_tensor(const char *path, json_t *header, const dki_safetensor *tensor,
                            size_t *offset) {
    size_t bytes = 0, end = 0;
    DKI_TRY(check_text(path, tensor->name, tensor->name));
    DKI_REQUIRE(strcmp(tensor->name, DKI_METADATA_KEY) != 0, DK_E_ARGUMENT,
                "%s: no tensor may be named %s", path, DKI_METADATA_KEY);
    size_t element = dki_safetensors_element(tensor->dtype);
    DKI_REQUIRE(element, DK_E_ARGUMENT, "%s: tensor \"%.80s\" has the unknown dtype \"%.20s\"",
                path, tensor->name, tensor->dtype);
    DKI_REQUIRE(tensor->dims >= 0 && tensor->dims <= DKI_TENSOR_DIMS &&
                    dki_safetensors_bytes(tensor->shape, tensor->dims, element, &bytes) &&
                    bytes == tensor->bytes && dki_add(*offset, bytes, &end) && end <= INT64_MAX,
                DK_E_ARGUMENT, "%s: tensor \"%.80s\": its shape doesn't make %zu bytes", path,
                tensor->name, tensor->bytes);
    json_t *shape = json_array();
    for (int i = 0; i < tensor->dims; ++i)
        json_array_append_new(shape, json_integer(tensor->shape[i]));
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", tensor->dtype, "shape", shape,
                              "data_offsets", (json_int_t)*offset, (json_int_t)end);
    *offset = end;
    return add(path, header, tensor->name, entry);
}

/* The header's JSON, padded with blanks to *length bytes; the caller releases it. */
static dk_status dump(const dk_allocator *allocator, const char *path, const json_t *header,
                      char **text, size_t *length) {
    const size_t flags = JSON_COMPACT | JSON_PRESERVE_ORDER;
    size_t bytes = json_dumpb(header, NULL, 0, flags);
    DKI_REQUIRE(bytes > 0, DK_E_MEMORY, "%s: out of memory: its header", path);
    DKI_REQUIRE(dki_round_up(bytes, ALIGNMENT, length) && *length <= DKI_SAFETENSORS_HEADER,
                DK_E_ARGUMENT, "%s: its header would have %zu bytes, at most %d are allowed", path,
                bytes, (int)DKI_SAFETENSORS_HEADER);
    DKI_TRY(dki_new(allocator, text, *length, "the header of a model file"));
    memset(*text, ' ', *length);
    json_dumpb(header, *text, *length, flags);
    return DK_OK;
}

static dk_status fill_header(const char *path, json_t *header, const dki_metadata *metadata,
                             size_t metadata_count, const dki_safetensor *tensors, size_t count) {
    size_t offset = 0;
    DKI_TRY(add_metadata(path, header, metadata, metadata_count));
    for (size_t i = 0; i < count; ++i) DKI_TRY(add_tensor(path, header, &tensors[i], &offset));
    return DK_OK;
}

static dk_status put_all(dki_writer *writer, const char *header, size_t length,
                         const dki_safetensor *tensors, size_t count) {
    unsigned char length_bytes[8];
    dki_store_le64(length_bytes, length);
    DKI_TRY(dki_writer_put(writer, length_bytes, sizeof length_bytes));
    DKI_TRY(dki_writer_put(writer, header, length));
    for (size_t i = 0; i < count; ++i)
        DKI_TRY(dki_writer_put(writer, tensors[i].data, tensors[i].bytes));
    return DK_OK;
}

dk_status dki_safetensors_write(const dk_allocator *allocator, const char *path,
                                const dki_metadata *metadata, size_t metadata_count,
                                const dki_safetensor *tensors, size_t count) {
    json_t *header = json_object();
    char *text = NULL;
    size_t length = 0;
    dki_writer writer = {0};
    dk_status status = DK_OK;
    DKI_TRY_OUT(fill_header(path, header, metadata, metadata_count, tensors, count));
    DKI_TRY_OUT(dump(allocator, path, header, &text, &length));
    DKI_TRY_OUT(dki_writer_open(allocator, path, &writer));
    DKI_TRY_OUT(put_all(&writer, text, length, tensors, count));
    status = dki_writer_commit(&writer);
out:
    dki_writer_abandon(&writer);
    dki_release(allocator, text);
    json_decref(header);
    return status;
}
