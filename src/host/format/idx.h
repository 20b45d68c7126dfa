/* IDX, the format of MNIST: 0, 0, type, dims; the shape as big-endian u32; the elements,
 * big-endian, row-major.
 * https://web.archive.org/web/20240101000000/http://yann.lecun.com/exdb/mnist/ */
#ifndef DKI_IDX_H
#define DKI_IDX_H

#include "format/array.h"
#include "format/file.h"

/** Whether a file that starts with `head` is IDX: four bytes with a known type and a dimension. */
bool dki_idx_is(const unsigned char *head, size_t bytes);

/** Reads an IDX file (gzip too) into host order; the array's bytes belong to *file, which the
 *  caller releases. u8 → DK_U8, i16 and i32 → DK_I32, f32 → DK_F32, f64 → DK_F64; i8 is refused.
 *  DK_E_IO, DK_E_DATA, DK_E_MEMORY; *file is empty then. */
dk_status dki_idx_read(const dk_allocator *allocator, const char *path, dki_file *file,
                       dki_array *array);

/** The same from a file that is in memory already: elements wider than a byte replace its bytes by
 *  converted ones. On failure *file is as it was. DK_E_DATA, DK_E_MEMORY. */
dk_status dki_idx_parse(const dk_allocator *allocator, const char *name, dki_file *file,
                        dki_array *array);

#endif
