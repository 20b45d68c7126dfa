#include "base/memory.h"
#include "format/bytes.h"
#include "format/safetensors_header.h"
#include "format/utf8.h"

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

/* Refuses the names of hashes, which are the writer's own. */
static dk_status add_metadata(const char *path, json_t *object, const dki_metadata *metadata,
                              size_t count) {
    for (size_t i = 0; i < count; ++i) {
        const char *key = metadata[i].key, *value = metadata[i].value;
        DKI_TRY(check_text(path, key, key));
        DKI_TRY(check_text(path, key, value));
        DKI_REQUIRE(strncmp(key, DKI_HASH_KEY, sizeof DKI_HASH_KEY - 1) != 0, DK_E_ARGUMENT,
                    "%s: no metadata may be named \"%.80s\": that is for hashes", path, key);
        DKI_TRY(add(path, object, key, json_string(value)));
    }
    return DK_OK;
}

/* The header's own comes first, and is put into the text. */
static dk_status add_hashes(const dk_allocator *allocator, const char *path, json_t *object,
                            const dki_safetensor *tensors, size_t count) {
    DKI_TRY(add(path, object, DKI_HASH_KEY, json_string(DKI_HASH_ZEROS)));
    for (size_t i = 0; i < count; ++i) {
        char hash[DKI_HASH_TEXT], *key = NULL;
        DKI_TRY(check_text(path, tensors[i].name, tensors[i].name));
        DKI_TRY(dki_safetensors_hash_key(allocator, tensors[i].name, &key));
        dki_hash_text(tensors[i].data, tensors[i].bytes, hash);
        dk_status status = add(path, object, key, json_string(hash));
        dki_release(allocator, key);
        DKI_TRY(status);
    }
    return DK_OK;
}

/* NULL where memory ran out. */
static json_t *shape_array(const dki_safetensor *tensor) {
    json_t *array = json_array();
    for (int i = 0; array && i < tensor->dims; ++i)
        if (json_array_append_new(array, json_integer(tensor->shape[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
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
    json_t *entry =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", tensor->dtype, "shape", shape_array(tensor),
                  "data_offsets", (json_int_t)*offset, (json_int_t)end);
    *offset = end;
    return add(path, header, tensor->name, entry);
}

/* What dki_safetensors_write is asked for. */
typedef struct {
    const dk_allocator *allocator;
    const char *path;
    const dki_metadata *metadata;
    size_t metadata_count;
    const dki_safetensor *tensors;
    size_t count;
} request;

static dk_status fill_header(const request *it, json_t *header, size_t *bytes) {
    json_t *metadata = json_object();
    DKI_TRY(add(it->path, header, DKI_METADATA_KEY, metadata));
    for (size_t i = 0; i < it->count; ++i)
        DKI_TRY(add_tensor(it->path, header, &it->tensors[i], bytes));
    DKI_TRY(add_hashes(it->allocator, it->path, metadata, it->tensors, it->count));
    return add_metadata(it->path, metadata, it->metadata, it->metadata_count);
}

/* The header's text with its hash in it; the caller releases it. */
static dk_status make_header(const request *it, json_t *header, char **text, size_t *length) {
    char hash[DKI_HASH_TEXT];
    size_t bytes = 0;
    DKI_TRY(fill_header(it, header, &bytes));
    DKI_TRY(dki_safetensors_dump(it->allocator, it->path, header, bytes, text, length));
    dki_safetensors_hash_header(*text, *length, hash);
    return DK_OK;
}

/* Tensors that lie one behind the other in memory go as one. */
static dk_status put_tensors(dki_writer *writer, const dki_safetensor *tensors, size_t count) {
    for (size_t i = 0; i < count;) {
        const char *first = tensors[i].data;
        size_t bytes = tensors[i++].bytes;
        while (i < count && tensors[i].data == first + bytes) bytes += tensors[i++].bytes;
        DKI_TRY(dki_writer_put(writer, first, bytes));
    }
    return DK_OK;
}

static dk_status put_all(dki_writer *writer, const char *header, size_t length,
                         const dki_safetensor *tensors, size_t count) {
    unsigned char length_bytes[8];
    dki_store_le64(length_bytes, length);
    DKI_TRY(dki_writer_put(writer, length_bytes, sizeof length_bytes));
    DKI_TRY(dki_writer_put(writer, header, length));
    return put_tensors(writer, tensors, count);
}

dk_status dki_safetensors_write(const dk_allocator *allocator, const char *path,
                                const dki_metadata *metadata, size_t metadata_count,
                                const dki_safetensor *tensors, size_t count) {
    const request it = {allocator, path, metadata, metadata_count, tensors, count};
    json_t *header = json_object();
    char *text = NULL;
    size_t length = 0;
    dki_writer writer = {0};
    dk_status status = DK_OK;
    DKI_TRY_OUT(make_header(&it, header, &text, &length));
    DKI_TRY_OUT(dki_writer_open(allocator, path, &writer));
    DKI_TRY_OUT(put_all(&writer, text, length, tensors, count));
    status = dki_writer_commit(&writer);
out:
    dki_writer_abandon(&writer);
    dki_release(allocator, text);
    json_decref(header);
    return status;
}
