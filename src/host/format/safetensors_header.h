/* The JSON header of a safetensors file: what a tensor's entry says, the text it is, and its hashes. */
#ifndef DKI_SAFETENSORS_HEADER_H
#define DKI_SAFETENSORS_HEADER_H

#include "format/hash.h"
#include "format/safetensors.h"

#include <jansson.h>

#define DKI_METADATA_KEY "__metadata__"
#define DKI_HASH_KEY     "xxh3"

/** Bytes of an element by its dtype, 0 for an unknown name. */
size_t dki_safetensors_element(const char *dtype);

/** *bytes = the product of a shape × the bytes of an element; false on overflow. */
bool dki_safetensors_bytes(const int64_t *shape, int dims, size_t element, size_t *bytes);

/** Fills *tensor from the entry {"dtype", "shape", "data_offsets"} under `name`; its data lies in
 *  buffer[0 … length−1]. `path` stands in error texts. DK_E_MODEL. */
dk_status dki_safetensors_entry(const char *path, const char *name, const json_t *entry,
                                const unsigned char *buffer, size_t length, dki_safetensor *tensor);

/** The header as the writer puts it: compact, in the order of its keys, with blanks until the `bytes` of
 *  tensors that follow are aligned, to 8 bytes and from DKI_DIRECT bytes on to a page, as
 *  dki_writer_put likes them. The caller releases *text. DK_E_ARGUMENT (too long), DK_E_MEMORY. */
dk_status dki_safetensors_dump(const dk_allocator *allocator, const char *path,
                               const json_t *header, size_t bytes, char **text, size_t *length);

/** "xxh3.NAME", the key of a tensor's hash; the caller releases it. DK_E_MEMORY. */
dk_status dki_safetensors_hash_key(const dk_allocator *allocator, const char *name, char **key);

/** Hash of a header's text, which begins with it: {"__metadata__":{"xxh3":"… Made with zeros in the hash's
 *  own place, and then put there. */
void dki_safetensors_hash_header(char *text, size_t length, char hash[DKI_HASH_TEXT]);

/** What stands in that place before. */
#define DKI_HASH_ZEROS "00000000000000000000000000000000"

#endif
