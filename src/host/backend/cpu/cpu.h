/* The CPU backend's own state, and its operations, one file each. */
#ifndef DKI_CPU_H
#define DKI_CPU_H

#include "backend/backend.h"
#include "backend/cpu/loops.h"
#include "backend/cpu/matmuls.h"
#include "backend/cpu/pool.h"
#include "backend/cpu/scratch.h"

enum { DKI_CPU_ALIGNMENT = 256 };

/* Elements of one piece of a flat loop; a fixed cut, so that sums don't depend on the threads. Some
 * microseconds' work: the update of a layer of 128 × 128 is worth sharing. */
enum { DKI_CPU_PIECE = 4096 };

typedef struct dki_cpu {
    dki_backend base;
    dki_services services;
    const dki_loops *loops;
    dki_pool *pool;
    int threads;
    uint64_t allocated, allocated_most; /* atomic; bytes */
    double marks[DKI_MARKS];            /* milliseconds */
    /* where matrices are bf16, else NULL */
    dki_matmuls *matmuls;
    dki_scratch *scratch;
} dki_cpu;

static inline dki_cpu *dki_cpu_of(dki_backend *backend) {
    return (dki_cpu *)backend;
}

dk_status dki_cpu_prepare(dki_backend *, const dki_plan_request *, dki_plan *);
dk_status dki_cpu_forward(dki_backend *, dki_lane, const dki_linear_forward *);
dk_status dki_cpu_backward_data(dki_backend *, dki_lane, const dki_linear_backward_data *);
dk_status dki_cpu_backward_params(dki_backend *, dki_lane, const dki_linear_backward_params *);
dk_status dki_cpu_gather(dki_backend *, dki_lane, const dki_gather *);
dk_status dki_cpu_loss(dki_backend *, dki_lane, const dki_loss *);
dk_status dki_cpu_initialise(dki_backend *, dki_lane, const dki_initialise *);
dk_status dki_cpu_update(dki_backend *, dki_lane, const dki_update_range *);
dk_status dki_cpu_cast(dki_backend *, dki_lane, const dki_cast *);
dk_status dki_cpu_begin(dki_backend *, dki_lane, const dki_begin *);
dk_status dki_cpu_decide(dki_backend *, dki_lane, const dki_decide *);
dk_status dki_cpu_bare_product(dki_backend *, dki_lane, int method, const dki_bare_product *);
dk_status dki_cpu_cost(dki_backend *, const dki_operation *, dki_cost *);

/** db = the sum over tiles of rows, in order, of sums [row_tiles, cols]; or db += it. Returns whether
 *  all of it is finite: where values cancel or are tiny in a, db overflows and dW doesn't. */
bool dki_cpu_add_sums(const dki_loops *loops, float *db, const float *sums, int64_t row_tiles,
                      int64_t cols, bool accumulate);

/** Latches the first bad tick, and where it was seen (DKI_AT_…). */
static inline void dki_cpu_latch(dki_step_state *state, int64_t at) {
    if (state->bad_tick) return;
    state->bad_tick = state->tick;
    state->bad_at = at;
}

#endif
