/* One product of a layer cut into tiles, and the operation that goes with it. */
#ifndef DKI_PRODUCT_JOB_H
#define DKI_PRODUCT_JOB_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/tiles.h"

#include <stdatomic.h>

typedef struct dki_product_job {
    dki_cpu *cpu;
    dki_bare_product product;
    dki_grid grid;
    int threads; /* that compute one tile */
    float beta;  /* 1: the output grows by the product */
    const void *op;
    float *sums;        /* column sums of each tile of rows, or NULL */
    atomic_bool finite; /* every tile so far */
    atomic_bool failed; /* some tile */
    /* bf16: the primitive of a tile [of fewer rows than the others] [of fewer columns] */
    const dki_matmul *matmuls[2][2];
} dki_product_job;

static inline dki_product_job dki_product_job_of(dki_cpu *cpu, dki_bare_product product,
                                                 const void *op) {
    return (dki_product_job){.cpu = cpu,
                             .product = product,
                             .grid =
                                 dki_grid_make(product.kind, product.out.rows, product.out.cols),
                             .threads = 1,
                             .op = op,
                             .finite = true};
}

/** Masks are needed with dropout only; without a state there is none. */
static inline dki_mask_origin dki_mask_origin_of(const dki_step_state *state,
                                                 const dki_nonlinearity *g, const dki_tile *tile) {
    if (!state) return (dki_mask_origin){0, 0, 0, 0};
    return (dki_mask_origin){state->seed, state->tick, g->first_row + (uint32_t)tile->row,
                             tile->col};
}

#endif
