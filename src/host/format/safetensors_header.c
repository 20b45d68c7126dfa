#include "format/safetensors_header.h"

#include "base/memory.h"

#include <string.h>

size_t dki_safetensors_element(const char *dtype) {
    static const struct {
        const char *name;
        size_t bytes;
    } known[] = {
        {"F32", 4},  {"F64", 8}, {"F16", 2},     {"BF16", 2},    {"I64", 8},     {"I32", 4},
        {"I16", 2},  {"I8", 1},  {"U64", 8},     {"U32", 4},     {"U16", 2},     {"U8", 1},
        {"BOOL", 1}, {"C64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        if (strcmp(known[i].name, dtype) == 0) return known[i].bytes;
    return 0;
}

bool dki_safetensors_bytes(const int64_t *shape, int dims, size_t element, size_t *bytes) {
    *bytes = element;
    for (int i = 0; i < dims; ++i)
        if (shape[i] < 0 || !dki_mul(*bytes, (size_t)shape[i], bytes)) return false;
    return true;
}

static dk_status parse_shape(const char *path, const json_t *list, dki_safetensor *tensor) {
    DKI_REQUIRE(json_is_array(list), DK_E_MODEL, "%s: tensor \"%.80s\" has no list \"shape\"", path,
                tensor->name);
    DKI_REQUIRE(json_array_size(list) <= DKI_TENSOR_DIMS, DK_E_MODEL,
                "%s: tensor \"%.80s\" has %zu dimensions, at most %d can be read", path,
                tensor->name, json_array_size(list), (int)DKI_TENSOR_DIMS);
    tensor->dims = (int)json_array_size(list);
    for (int i = 0; i < tensor->dims; ++i) {
        const json_t *size = json_array_get(list, (size_t)i);
        DKI_REQUIRE(json_is_integer(size) && json_integer_value(size) >= 0, DK_E_MODEL,
                    "%s: tensor \"%.80s\": dimension %d of its shape is not a whole number from 0",
                    path, tensor->name, i);
        tensor->shape[i] = json_integer_value(size);
    }
    return DK_OK;
}

static dk_status parse_range(const char *path, const json_t *list, size_t length,
                             const dki_safetensor *tensor, size_t *begin, size_t *end) {
    const json_t *first = json_array_get(list, 0), *last = json_array_get(list, 1);
    DKI_REQUIRE(json_array_size(list) == 2 && json_is_integer(first) && json_is_integer(last),
                DK_E_MODEL, "%s: tensor \"%.80s\" has no pair \"data_offsets\" of whole numbers",
                path, tensor->name);
    json_int_t from = json_integer_value(first), to = json_integer_value(last);
    DKI_REQUIRE(from >= 0 && from <= to && (uint64_t)to <= length, DK_E_MODEL,
                "%s: tensor \"%.80s\" claims bytes %lld to %lld of a buffer of %zu: the file is "
                "cut short or damaged",
                path, tensor->name, (long long)from, (long long)to, length);
    *begin = (size_t)from;
    *end = (size_t)to;
    return DK_OK;
}

dk_status dki_safetensors_entry(const char *path, const char *name, const json_t *entry,
                                const unsigned char *buffer, size_t length,
                                dki_safetensor *tensor) {
    size_t begin = 0, end = 0, promised = 0;
    *tensor = (dki_safetensor){.name = name};
    tensor->dtype = json_string_value(json_object_get(entry, "dtype"));
    DKI_REQUIRE(tensor->dtype, DK_E_MODEL, "%s: tensor \"%.80s\" has no text \"dtype\"", path,
                name);
    size_t element = dki_safetensors_element(tensor->dtype);
    DKI_REQUIRE(element, DK_E_MODEL, "%s: tensor \"%.80s\" has the unknown dtype \"%.20s\"", path,
                name, tensor->dtype);
    DKI_TRY(parse_shape(path, json_object_get(entry, "shape"), tensor));
    DKI_TRY(
        parse_range(path, json_object_get(entry, "data_offsets"), length, tensor, &begin, &end));
    DKI_REQUIRE(dki_safetensors_bytes(tensor->shape, tensor->dims, element, &promised), DK_E_MODEL,
                "%s: the shape of tensor \"%.80s\" overflows the address space", path, name);
    DKI_REQUIRE(promised == end - begin, DK_E_MODEL,
                "%s: tensor \"%.80s\" needs %zu bytes by its shape and dtype, its range has %zu",
                path, name, promised, end - begin);
    tensor->data = buffer + begin;
    tensor->bytes = promised;
    return DK_OK;
}
