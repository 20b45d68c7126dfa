/* The primitives that a backend has made so far, found by shape. Finding takes no lock, so that a
 * step, which asks for the same ones each time, doesn't wait for another session's first. */
#ifndef DKI_MATMULS_H
#define DKI_MATMULS_H

#include "backend/cpu/matmul.h"

typedef struct dki_matmuls dki_matmuls;

dk_status dki_matmuls_create(dki_matmuls **table, const dk_allocator *allocator);

/** NULL does nothing. */
void dki_matmuls_destroy(dki_matmuls *table);

/** *matmul = the primitive for a shape, made at the first call for it; the table keeps it.
 *  DK_E_MEMORY, DK_E_UNSUPPORTED. */
dk_status dki_matmuls_find(dki_matmuls *table, const dki_matmul_shape *shape,
                           const dki_matmul **matmul);

#endif
