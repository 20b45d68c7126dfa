/* What a tensor's entry in a safetensors header says, checked against the buffer. */
#ifndef DKI_SAFETENSORS_HEADER_H
#define DKI_SAFETENSORS_HEADER_H

#include "format/safetensors.h"

#include <jansson.h>

#define DKI_METADATA_KEY "__metadata__"

/** Bytes of an element by its dtype, 0 for an unknown name. */
size_t dki_safetensors_element(const char *dtype);

/** *bytes = the product of a shape × the bytes of an element; false on overflow. */
bool dki_safetensors_bytes(const int64_t *shape, int dims, size_t element, size_t *bytes);

/** Fills *tensor from the entry {"dtype", "shape", "data_offsets"} under `name`; its data lies in
 *  buffer[0 … length−1]. `path` stands in error texts. DK_E_MODEL. */
dk_status dki_safetensors_entry(const char *path, const char *name, const json_t *entry,
                                const unsigned char *buffer, size_t length, dki_safetensor *tensor);

#endif
