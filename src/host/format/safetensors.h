/* safetensors: u64 little-endian header length, a JSON header, the tensors' bytes.
 * https://huggingface.co/docs/safetensors/index#format
 *
 * The reader accepts what that specification allows (elements of less than a byte aside): every
 * tensor's range lies in the buffer, is as long as shape and dtype say, overlaps no other, and
 * leaves no hole.
 *
 * The writer adds hashes to __metadata__: `xxh3.NAME` of each tensor's bytes, and `xxh3` of the header
 * with zeros in its own place. Whoever has checked both knows that no byte of the file has changed. */
#ifndef DKI_SAFETENSORS_H
#define DKI_SAFETENSORS_H

#include "format/file.h"

enum { DKI_TENSOR_DIMS = 8, DKI_SAFETENSORS_HEADER = 100000000 };

/** One tensor; texts and data are borrowed, from the file when it was read. */
typedef struct dki_safetensor {
    const char *name;
    const char *dtype; /* "F32", "I64", … as the file spells it */
    int dims;          /* 0 is a scalar */
    int64_t shape[DKI_TENSOR_DIMS];
    const void *data; /* little-endian, at any address */
    size_t bytes;
} dki_safetensor;

struct json_t;

/** A file that was read. All zero is a valid empty one. */
typedef struct dki_safetensors {
    char *path;
    dki_file file;
    const char *text; /* of the header */
    size_t text_length;
    struct json_t *header;
    size_t count;
    dki_safetensor *tensors; /* [count], in the order of their bytes */
} dki_safetensors;

/** Opens a file, memory-mapped. The caller releases it.
 *  DK_E_IO, DK_E_MODEL (malformed; the text names file, tensor and numbers), DK_E_MEMORY; it is
 *  empty then. */
dk_status dki_safetensors_open(const dk_allocator *allocator, const char *path,
                               dki_safetensors *tensors);

/** The same over bytes in memory, which stay the caller's and must outlive it. */
dk_status dki_safetensors_parse(const dk_allocator *allocator, const char *name, const void *data,
                                size_t bytes, dki_safetensors *tensors);

/** Releases and zeroes. */
void dki_safetensors_release(const dk_allocator *allocator, dki_safetensors *tensors);

/* The texts of the failures below don't name the file: their callers do. */

/** Compares the file with its hashes. A file that has any must have them all, and its header in the
 *  writer's own form; one without is let through unless they are `required`. Reads every byte.
 *  DK_E_MODEL names what differs; DK_E_MEMORY. */
dk_status dki_safetensors_verify(const dk_allocator *allocator, const dki_safetensors *tensors,
                                 bool required);

/** The text under a key of __metadata__, or NULL. */
const char *dki_safetensors_metadata(const dki_safetensors *tensors, const char *key);

/** The tensor of that name, or NULL. */
const dki_safetensor *dki_safetensors_find(const dki_safetensors *tensors, const char *name);

/** Whether there is a tensor of that name, of dtype F32 and exactly this shape. DK_E_MODEL: there is
 *  none (the nearest name is suggested), or its dtype or shape is another; the text names both. */
dk_status dki_safetensors_expect_f32(const dki_safetensors *tensors, const char *name,
                                     const int64_t *shape, int dims);

/** Copies such a tensor to values; returns the number of its elements. */
size_t dki_safetensors_copy_f32(const dki_safetensors *tensors, const char *name, float *values);

/** An entry of __metadata__. */
typedef struct dki_metadata {
    const char *key;
    const char *value;
} dki_metadata;

/** Writes metadata (none: NULL, 0) and tensors in the order given, with their hashes, through
 *  dki_writer: the same arguments give the same bytes. Tensor data is little-endian, `bytes` long as
 *  shape and dtype say. DK_E_ARGUMENT (a name twice or reserved, a text that isn't UTF-8, an unknown
 *  dtype or wrong length), DK_E_IO, DK_E_MEMORY. */
dk_status dki_safetensors_write(const dk_allocator *allocator, const char *path,
                                const dki_metadata *metadata, size_t metadata_count,
                                const dki_safetensor *tensors, size_t count);

#endif
