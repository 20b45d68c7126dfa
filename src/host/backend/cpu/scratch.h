/* Scratch memory of pieces of work: blocks that are taken for a piece and given back, and only grow.
 * Blocks belong to the backend, not to its threads, because any number of callers may run pieces at a
 * time. */
#ifndef DKI_SCRATCH_H
#define DKI_SCRATCH_H

#include "base/memory.h"

typedef struct dki_scratch dki_scratch;

/** A block in use. */
typedef struct dki_scratch_block {
    void *memory; /* 64-byte aligned; NULL = the system has none */
    int slot;     /* −1: made for this piece alone */
} dki_scratch_block;

/** Room for `blocks` blocks at a time; more are made as they are needed. DK_E_MEMORY. */
dk_status dki_scratch_create(dki_scratch **scratch, const dk_allocator *allocator, int blocks);

/** NULL does nothing. */
void dki_scratch_destroy(dki_scratch *scratch);

/** A block of at least so many bytes, from 1. Block `place` where it is free: who asks for the same
 *  one again finds it in its cache. Takes no lock: a fork in the middle of another thread's piece
 *  leaves the child the other blocks. */
dki_scratch_block dki_scratch_take(dki_scratch *scratch, int place, size_t bytes);

void dki_scratch_give(dki_scratch *scratch, dki_scratch_block block);

#endif
