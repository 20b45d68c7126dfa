/* The Python dict literal in front of an NPY file's elements. */
#ifndef DKI_NPY_HEADER_H
#define DKI_NPY_HEADER_H

#include "format/array.h"

/** Parses {'descr': …, 'fortran_order': …, 'shape': (…), } and the blanks after it into type,
 *  order, dims and shape; *element is the bytes of an element. Each key exactly once, no other.
 *  DK_E_DATA. */
dk_status dki_npy_header(const char *name, const char *text, size_t length, dki_array *array,
                         size_t *element);

#endif
