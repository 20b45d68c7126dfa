/* A typed array as a file holds it: what the array formats hand to their users. */
#ifndef DKI_ARRAY_H
#define DKI_ARRAY_H

#include "base/error.h"

enum { DKI_ARRAY_DIMS = 8 };

/** A view; the bytes belong to a dki_file, and are aligned for their type. */
typedef struct dki_array {
    dk_dtype type;
    int dims; /* 1 … DKI_ARRAY_DIMS */
    int64_t shape[DKI_ARRAY_DIMS];
    bool fortran_order; /* the first index varies fastest; else the last */
    const void *data;   /* in the host's byte order */
    size_t bytes;       /* product of the shape × bytes of an element */
} dki_array;

/** Sets array->bytes from its shape and the size of one element. DK_E_DATA for a dimension of 0,
 *  which has no rows, and for a product beyond the address space; the text starts with `name`. */
dk_status dki_array_measure(const char *name, size_t element, dki_array *array);

#endif
