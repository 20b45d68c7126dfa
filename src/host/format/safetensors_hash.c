/* The hashes in a safetensors header: made by the writer, compared by the reader. */
#include "base/memory.h"
#include "format/safetensors_header.h"

#include <stdio.h>
#include <string.h>

/* The header's length is a multiple of this. */
enum { ALIGNMENT = 8 };

dk_status dki_safetensors_dump(const dk_allocator *allocator, const char *path,
                               const json_t *header, char **text, size_t *length) {
    const size_t flags = JSON_COMPACT | JSON_PRESERVE_ORDER;
    size_t bytes = json_dumpb(header, NULL, 0, flags);
    DKI_REQUIRE(bytes > 0, DK_E_MEMORY, "%s: out of memory: its header", path);
    DKI_REQUIRE(dki_round_up(bytes, ALIGNMENT, length) && *length <= DKI_SAFETENSORS_HEADER,
                DK_E_ARGUMENT, "%s: its header would have %zu bytes, at most %d are allowed", path,
                bytes, (int)DKI_SAFETENSORS_HEADER);
    DKI_TRY(dki_new(allocator, text, *length, "the header of a model file"));
    memset(*text, ' ', *length);
    if (json_dumpb(header, *text, *length, flags) == bytes) return DK_OK;
    dki_release(allocator, *text);
    *text = NULL;
    return dki_fail(DK_E_MEMORY, "%s: out of memory: its header", path);
}

dk_status dki_safetensors_hash_key(const dk_allocator *allocator, const char *name, char **key) {
    const size_t room = sizeof DKI_HASH_KEY "." + strlen(name);
    DKI_TRY(dki_new(allocator, key, room, "the name of a hash"));
    snprintf(*key, room, DKI_HASH_KEY ".%s", name);
    return DK_OK;
}

dk_status dki_safetensors_hash_header(const dk_allocator *allocator, const char *path,
                                      const json_t *header, json_t *metadata,
                                      char hash[DKI_HASH_TEXT]) {
    char *text = NULL;
    size_t length = 0;
    json_t *zeros = json_string("00000000000000000000000000000000");
    if (json_object_set_new(metadata, DKI_HASH_KEY, zeros) != 0)
        return dki_fail(DK_E_MEMORY, "%s: out of memory: its header", path);
    DKI_TRY(dki_safetensors_dump(allocator, path, header, &text, &length));
    dki_hash_text(text, length, hash);
    dki_release(allocator, text);
    return DK_OK;
}

static bool has_hashes(const json_t *metadata) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metadata, key,
                        value) if (strncmp(key, DKI_HASH_KEY, sizeof DKI_HASH_KEY - 1) ==
                                   0) return true;
    return false;
}

static dk_status compare(const char *what, const char *name, const char *promised,
                         const char *found) {
    DKI_REQUIRE(promised, DK_E_MODEL, "the hash of %s%s is missing: the file is damaged", what,
                name);
    DKI_REQUIRE(strcmp(promised, found) == 0, DK_E_MODEL,
                "%s%s isn't what was saved: the file is damaged, or another program changed it",
                what, name);
    return DK_OK;
}

/* One tree has one text only if nothing in the text is left to choice. */
static dk_status check_form(const dk_allocator *allocator, const dki_safetensors *it) {
    char *text = NULL;
    size_t length = 0;
    DKI_TRY(dki_safetensors_dump(allocator, it->path, it->header, &text, &length));
    const bool same = length == it->text_length && memcmp(text, it->text, length) == 0;
    dki_release(allocator, text);
    DKI_REQUIRE(same, DK_E_MODEL,
                "its header isn't in the form that deltak writes: the file is damaged, or another "
                "program changed it");
    return DK_OK;
}

static dk_status check_header(const dk_allocator *allocator, const dki_safetensors *it) {
    char found[DKI_HASH_TEXT];
    json_t *header = json_copy(it->header);
    json_t *metadata = json_copy(json_object_get(it->header, DKI_METADATA_KEY));
    dk_status status = DK_OK;
    if (!header || !metadata || json_object_set(header, DKI_METADATA_KEY, metadata) != 0)
        status = dki_fail(DK_E_MEMORY, "%s: out of memory: its header", it->path);
    if (!status) status = dki_safetensors_hash_header(allocator, it->path, header, metadata, found);
    json_decref(metadata);
    json_decref(header);
    DKI_TRY(status);
    return compare("its header", "", dki_safetensors_metadata(it, DKI_HASH_KEY), found);
}

static dk_status check_tensor(const dk_allocator *allocator, const dki_safetensors *it,
                              const dki_safetensor *tensor) {
    char found[DKI_HASH_TEXT], *key = NULL;
    DKI_TRY(dki_safetensors_hash_key(allocator, tensor->name, &key));
    dki_hash_text(tensor->data, tensor->bytes, found);
    dk_status status = compare("tensor ", tensor->name, dki_safetensors_metadata(it, key), found);
    dki_release(allocator, key);
    return status;
}

dk_status dki_safetensors_verify(const dk_allocator *allocator, const dki_safetensors *tensors,
                                 bool required) {
    const json_t *metadata = json_object_get(tensors->header, DKI_METADATA_KEY);
    if (!required && !has_hashes(metadata)) return DK_OK;
    DKI_TRY(check_form(allocator, tensors));
    DKI_TRY(check_header(allocator, tensors));
    for (size_t i = 0; i < tensors->count; ++i)
        DKI_TRY(check_tensor(allocator, tensors, &tensors->tensors[i]));
    return DK_OK;
}
