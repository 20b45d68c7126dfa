/* The hashes in a safetensors header: made by the writer, compared by the reader. */
#include "base/memory.h"
#include "format/json.h"
#include "format/safetensors_header.h"

#include <stdio.h>
#include <string.h>

/* Where tensors begin in the file; and the length of the header, which comes before it. */
enum { ALIGNMENT = 8, LENGTH_BYTES = 8 };

/* Its hash comes first in it. */
#define HASH_PREFIX "{\"" DKI_METADATA_KEY "\":{\"" DKI_HASH_KEY "\":\""

dk_status dki_safetensors_dump(const dk_allocator *allocator, const char *path,
                               const json_t *header, size_t bytes, char **text, size_t *length) {
    dk_status status =
        dki_json_print(allocator, header, JSON_COMPACT | JSON_PRESERVE_ORDER, LENGTH_BYTES,
                       bytes < DKI_DIRECT ? ALIGNMENT : DKI_PAGE, "its header", text, length);
    if (status) return dki_fail_in(status, "%s", path);
    if (*length <= DKI_SAFETENSORS_HEADER) return DK_OK;
    dki_release(allocator, *text);
    *text = NULL;
    return dki_fail(DK_E_ARGUMENT, "%s: its header would have %zu bytes, at most %d are allowed",
                    path, *length, (int)DKI_SAFETENSORS_HEADER);
}

dk_status dki_safetensors_hash_key(const dk_allocator *allocator, const char *name, char **key) {
    const size_t room = sizeof DKI_HASH_KEY "." + strlen(name);
    DKI_TRY(dki_new(allocator, key, room, "the name of a hash"));
    snprintf(*key, room, DKI_HASH_KEY ".%s", name);
    return DK_OK;
}

void dki_safetensors_hash_header(char *text, size_t length, char hash[DKI_HASH_TEXT]) {
    memset(text + sizeof HASH_PREFIX - 1, '0', DKI_HASH_TEXT - 1);
    dki_hash_text(text, length, hash);
    memcpy(text + sizeof HASH_PREFIX - 1, hash, DKI_HASH_TEXT - 1);
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

/* One tree has one text only if nothing in the text is left to choice. The hash in `text` is
 * made anew. */
static dk_status check_text(const dki_safetensors *it, char *text, size_t length) {
    char found[DKI_HASH_TEXT] = "";
    const size_t prefix = sizeof HASH_PREFIX - 1;
    const bool first = length >= prefix + DKI_HASH_TEXT && memcmp(text, HASH_PREFIX, prefix) == 0;
    const char *promised = dki_safetensors_metadata(it, DKI_HASH_KEY);
    DKI_REQUIRE(first || !promised, DK_E_MODEL,
                "another program wrote its header anew, with the hashes of the old one: save it by "
                "deltak, or leave the entries \"" DKI_HASH_KEY "\" out of its metadata");
    DKI_REQUIRE(length == it->text_length && memcmp(text, it->text, length) == 0, DK_E_MODEL,
                "its header isn't in the form that deltak writes: the file is damaged, or another "
                "program changed it");
    if (first) dki_safetensors_hash_header(text, length, found);
    return compare("its header", "", promised, found);
}

static size_t bytes_of(const dki_safetensors *it) {
    size_t bytes = 0;
    for (size_t i = 0; i < it->count; ++i) bytes += it->tensors[i].bytes;
    return bytes;
}

/* Of files that were written before large tensors began on pages, the header is aligned as that of small
 * ones is. */
static dk_status check_header(const dk_allocator *allocator, const dki_safetensors *it) {
    char *text = NULL;
    size_t length = 0;
    const size_t bytes = bytes_of(it);
    DKI_TRY(dki_safetensors_dump(allocator, it->path, it->header, bytes, &text, &length));
    if (length != it->text_length && bytes >= DKI_DIRECT) {
        dki_release(allocator, text);
        DKI_TRY(dki_safetensors_dump(allocator, it->path, it->header, 0, &text, &length));
    }
    dk_status status = check_text(it, text, length);
    dki_release(allocator, text);
    return status;
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
    DKI_TRY(check_header(allocator, tensors));
    for (size_t i = 0; i < tensors->count; ++i)
        DKI_TRY(check_tensor(allocator, tensors, &tensors->tensors[i]));
    return DK_OK;
}
