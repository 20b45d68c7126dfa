/* NPY, NumPy's array file, versions 1.0 to 3.0: magic, version, header length, a Python dict
 * literal, the elements. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef DKI_NPY_H
#define DKI_NPY_H

#include "format/array.h"
#include "format/file.h"

/** Whether a file that starts with `head` is NPY: its six bytes of magic. */
bool dki_npy_is(const unsigned char *head, size_t bytes);

/** Maps an NPY file: f4, f8, u1, i4 or i8, little-endian, C or Fortran order. The array's bytes
 *  lie in *file, which the caller releases. DK_E_IO, DK_E_DATA (malformed, another dtype, no
 *  rows, fewer or more bytes than promised); *file is empty then. */
dk_status dki_npy_open(const char *path, dki_file *file, dki_array *array);

/** The same over `bytes` in memory, at an address that is a multiple of 8; the view points into
 *  them. DK_E_DATA. */
dk_status dki_npy_parse(const char *name, const void *data, size_t bytes, dki_array *array);

/** Writes a [rows, columns] C-order f32 matrix, version 1.0, through dki_writer.
 *  DK_E_IO, DK_E_MEMORY. */
dk_status dki_npy_write(const dk_allocator *allocator, const char *path, const float *values,
                        int64_t rows, int64_t columns);

#endif
