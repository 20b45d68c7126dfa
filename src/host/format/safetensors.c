#include "format/safetensors.h"

#include "base/memory.h"
#include "base/names.h"
#include "format/bytes.h"
#include "format/json.h"
#include "format/safetensors_header.h"

#include <stdio.h>
#include <stdlib.h>

enum { LENGTH_BYTES = 8 };

/* By where the bytes begin; a tensor without bytes before one that begins at the same place. */
static int by_offset(const void *a, const void *b) {
    const dki_safetensor *one = a, *other = b;
    uintptr_t first = (uintptr_t)one->data, second = (uintptr_t)other->data;
    if (first != second) return first < second ? -1 : 1;
    if (one->bytes != other->bytes) return one->bytes < other->bytes ? -1 : 1;
    return strcmp(one->name, other->name);
}

static dk_status parse_json(const char *path, const unsigned char *data, size_t bytes,
                            json_t **header, size_t *length_of_text) {
    DKI_REQUIRE(bytes >= LENGTH_BYTES, DK_E_MODEL,
                "%s: %zu bytes are too few for a safetensors file: it is cut short", path, bytes);
    uint64_t length = dki_load_le64(data);
    DKI_REQUIRE(length <= DKI_SAFETENSORS_HEADER, DK_E_MODEL,
                "%s: not a safetensors file, or damaged: its first eight bytes promise a header of "
                "%llu bytes, at most %d are allowed",
                path, (unsigned long long)length, (int)DKI_SAFETENSORS_HEADER);
    DKI_REQUIRE(length <= bytes - LENGTH_BYTES, DK_E_MODEL,
                "%s: it promises a header of %llu bytes, the file has %zu left: it is cut short",
                path, (unsigned long long)length, bytes - LENGTH_BYTES);
    DKI_REQUIRE(length > 0 && data[LENGTH_BYTES] == '{', DK_E_MODEL,
                "%s: not a safetensors file: its header doesn't begin with {", path);
    *length_of_text = (size_t)length;
    dk_status status =
        dki_json_parse((const char *)data + LENGTH_BYTES, (size_t)length, "its header", header);
    return status ? dki_fail_in(status, "%s", path) : DK_OK;
}

static dk_status check_metadata(const char *path, const json_t *header) {
    json_t *metadata = json_object_get(header, DKI_METADATA_KEY);
    const char *key;
    json_t *value;
    if (!metadata) return DK_OK;
    DKI_REQUIRE(json_is_object(metadata), DK_E_MODEL, "%s: %s is not an object", path,
                DKI_METADATA_KEY);
    json_object_foreach(metadata, key, value)
        DKI_REQUIRE(json_is_string(value), DK_E_MODEL, "%s: \"%.80s\" in %s is not a text", path,
                    key, DKI_METADATA_KEY);
    return DK_OK;
}

/* Every byte of the buffer belongs to exactly one tensor. */
static dk_status check_cover(const dki_safetensors *it, const unsigned char *buffer,
                             size_t length) {
    const unsigned char *at = buffer;
    for (size_t i = 0; i < it->count; ++i) {
        const dki_safetensor *tensor = &it->tensors[i];
        const unsigned char *begin = tensor->data;
        DKI_REQUIRE(begin >= at, DK_E_MODEL,
                    "%s: tensors \"%.80s\" and \"%.80s\" overlap: the file is damaged", it->path,
                    i ? it->tensors[i - 1].name : "", tensor->name);
        DKI_REQUIRE(begin == at, DK_E_MODEL,
                    "%s: %zu bytes before tensor \"%.80s\" belong to no tensor: the file is "
                    "damaged",
                    it->path, (size_t)(begin - at), tensor->name);
        at = begin + tensor->bytes;
    }
    DKI_REQUIRE(at == buffer + length, DK_E_MODEL,
                "%s: its header accounts for %zu bytes of tensors, the file holds %zu: it is "
                "damaged, or has something appended",
                it->path, (size_t)(at - buffer), length);
    return DK_OK;
}

static dk_status parse(const dk_allocator *allocator, const unsigned char *data, size_t bytes,
                       dki_safetensors *it) {
    const char *name;
    json_t *entry;
    DKI_TRY(parse_json(it->path, data, bytes, &it->header, &it->text_length));
    it->text = (const char *)data + LENGTH_BYTES;
    const size_t start = LENGTH_BYTES + it->text_length;
    DKI_REQUIRE(json_is_object(it->header), DK_E_MODEL, "%s: its header is not a JSON object",
                it->path);
    DKI_TRY(check_metadata(it->path, it->header));
    DKI_TRY(dki_new(allocator, &it->tensors, json_object_size(it->header), "the list of tensors"));
    json_object_foreach(it->header, name, entry) {
        if (strcmp(name, DKI_METADATA_KEY) == 0) continue;
        DKI_TRY(dki_safetensors_entry(it->path, name, entry, data + start, bytes - start,
                                      &it->tensors[it->count]));
        ++it->count;
    }
    qsort(it->tensors, it->count, sizeof *it->tensors, by_offset);
    return check_cover(it, data + start, bytes - start);
}

dk_status dki_safetensors_parse(const dk_allocator *allocator, const char *name, const void *data,
                                size_t bytes, dki_safetensors *tensors) {
    *tensors = (dki_safetensors){0};
    dk_status status = dki_copy_text(allocator, name, &tensors->path);
    if (status == DK_OK) status = parse(allocator, data, bytes, tensors);
    if (status != DK_OK) dki_safetensors_release(allocator, tensors);
    return status;
}

dk_status dki_safetensors_open(const dk_allocator *allocator, const char *path,
                               dki_safetensors *tensors) {
    dki_file file;
    *tensors = (dki_safetensors){0};
    DKI_TRY(dki_file_map(path, &file));
    dk_status status = dki_safetensors_parse(allocator, path, file.data, file.bytes, tensors);
    if (status == DK_OK)
        tensors->file = file;
    else
        dki_file_release(allocator, &file);
    return status;
}

void dki_safetensors_release(const dk_allocator *allocator, dki_safetensors *tensors) {
    json_decref(tensors->header);
    dki_release(allocator, tensors->tensors);
    dki_release(allocator, tensors->path);
    dki_file_release(allocator, &tensors->file);
    *tensors = (dki_safetensors){0};
}

const char *dki_safetensors_metadata(const dki_safetensors *tensors, const char *key) {
    return json_string_value(
        json_object_get(json_object_get(tensors->header, DKI_METADATA_KEY), key));
}

const dki_safetensor *dki_safetensors_find(const dki_safetensors *tensors, const char *name) {
    for (size_t i = 0; i < tensors->count; ++i)
        if (strcmp(tensors->tensors[i].name, name) == 0) return &tensors->tensors[i];
    return NULL;
}

/* "[3, 4]" */
static const char *shape_text(const int64_t *shape, int dims, char *text, size_t room) {
    size_t used = (size_t)snprintf(text, room, "[");
    for (int i = 0; i < dims && used < room; ++i)
        used += (size_t)snprintf(text + used, room - used, "%s%lld", i ? ", " : "",
                                 (long long)shape[i]);
    if (used < room) snprintf(text + used, room - used, "]");
    return text;
}

static dk_status fail_missing(const dki_safetensors *tensors, const char *name) {
    for (size_t i = 0; i < tensors->count; ++i) {
        const char *other = tensors->tensors[i].name;
        if (dki_nearest(name, strlen(name), &other, 1))
            return dki_fail(DK_E_MODEL, "it has no tensor \"%.80s\", but \"%.80s\"", name, other);
    }
    return dki_fail(DK_E_MODEL, "it has no tensor \"%.80s\"", name);
}

dk_status dki_safetensors_expect_f32(const dki_safetensors *tensors, const char *name,
                                     const int64_t *shape, int dims) {
    char found[256], expected[256];
    const dki_safetensor *tensor = dki_safetensors_find(tensors, name);
    if (!tensor) return fail_missing(tensors, name);
    DKI_REQUIRE(strcmp(tensor->dtype, "F32") == 0, DK_E_MODEL,
                "tensor \"%.80s\" is %s, expected F32: convert it with .float()", name,
                tensor->dtype);
    bool same = tensor->dims == dims;
    for (int i = 0; same && i < dims; ++i) same = tensor->shape[i] == shape[i];
    DKI_REQUIRE(same, DK_E_MODEL, "tensor \"%.80s\" has the shape %s, expected %s", name,
                shape_text(tensor->shape, tensor->dims, found, sizeof found),
                shape_text(shape, dims, expected, sizeof expected));
    return DK_OK;
}

size_t dki_safetensors_copy_f32(const dki_safetensors *tensors, const char *name, float *values) {
    const dki_safetensor *tensor = dki_safetensors_find(tensors, name);
    const unsigned char *from = tensor->data;
    const size_t count = tensor->bytes / sizeof *values;
    for (size_t i = 0; i < count; ++i) {
        uint32_t bits = dki_load_le32(from + 4 * i);
        memcpy(&values[i], &bits, sizeof bits);
    }
    return count;
}
