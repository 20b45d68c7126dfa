/* One bf16 matrix product of a known shape, by oneDNN's matmul primitive: the only place that knows
 * its interface, of which versions 2 and 3 differ. Sums are in fp32. */
#ifndef DKI_MATMUL_H
#define DKI_MATMUL_H

#include "backend/backend.h"

/** What a primitive is made for; leading dimensions are in elements. */
typedef struct dki_matmul_shape {
    int64_t kind; /* dki_product_kind */
    int64_t rows, cols, depth;
    int64_t lda, ldb, ldc;
    int64_t accumulate; /* 1: out += */
    int64_t narrow;     /* 1: out is bf16, else fp32 */
    int64_t threads;    /* that it runs on */
} dki_matmul_shape;

typedef struct dki_matmul dki_matmul;

/** Whether oneDNN has native bf16 products here: AVX512_BF16 or better (AMX). It emulates them
 *  elsewhere, slower than fp32. */
bool dki_matmul_available(void);

/** DK_E_MEMORY, DK_E_UNSUPPORTED. */
dk_status dki_matmul_create(dki_matmul **matmul, const dk_allocator *allocator,
                            const dki_matmul_shape *shape);

/** NULL does nothing. */
void dki_matmul_destroy(dki_matmul *matmul);

const dki_matmul_shape *dki_matmul_shape_of(const dki_matmul *matmul);

/** Bytes of scratch that a run needs, 64-byte aligned; mostly 0. */
size_t dki_matmul_scratch(const dki_matmul *matmul);

/** out = op(A) op(B), or out += it; any number of threads may run one primitive at a time, each with
 *  scratch of its own. The calling thread's OpenMP team must have the shape's threads. False where
 *  oneDNN fails: it found no memory. */
bool dki_matmul_run(const dki_matmul *matmul, const uint16_t *a, const uint16_t *b, void *out,
                    void *scratch);

#endif
