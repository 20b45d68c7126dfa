/* The step state on the CPU: begin, decide, and the update that follows them; and the parameters'
 * working copy. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <stdatomic.h>

enum { PIECE = DKI_CPU_PIECE };

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void count_update(dki_step_state *state, const dki_rule *rule) {
    ++state->applied;
    dki_next_rate(rule, state->applied, &state->beta1_power, &state->beta2_power, &state->rate);
}

dk_status dki_cpu_begin(dki_backend *backend, dki_lane lane, const dki_begin *op) {
    (void)backend;
    (void)lane;
    dki_step_state *state = op->state;
    dki_report *report = &op->mailbox->reports[state->tick % DKI_RING];
    if (state->tick)
        *report = (dki_report){state->loss, state->loss_scale, state->bad_tick, state->tick};
    const dki_tick *next = &op->mailbox->announced[++state->tick % DKI_RING];
    state->loss = 0.0;
    state->inverse_normaliser = next->inverse_normaliser;
    state->rate.lr = next->lr;
    state->rate.grad_scale = 1.0f;
    if (!op->decide_follows) count_update(state, &op->rule);
    return DK_OK;
}

static int64_t pieces_of(int64_t count) {
    return (count + PIECE - 1) / PIECE;
}

typedef struct {
    const dki_loops *loops;
    const float *x;
    int64_t count;
    double *partial; /* one for each piece */
} norm_job;

static void norm_piece(void *argument, int64_t index) {
    const norm_job *job = argument;
    int64_t first = index * PIECE;
    job->partial[index] = job->loops->square_sum(job->x + first, min(PIECE, job->count - first));
}

/* Σ g² over the ranges: pieces in parallel, added in order. */
static double square_sum(dki_cpu *cpu, const dki_decide *op) {
    double total = 0.0;
    for (size_t i = 0; i < op->range_count; ++i) {
        norm_job job = {cpu->loops, op->gradients + op->ranges[i].first, op->ranges[i].count,
                        op->workspace};
        int64_t pieces = pieces_of(job.count);
        dki_pool_run(cpu->pool, norm_piece, &job, pieces);
        for (int64_t p = 0; p < pieces; ++p) total += job.partial[p];
    }
    return total;
}

/* Clipping by global norm: g ← g · min(1, c/(‖g‖ + 1e-6)), as PyTorch's clip_grad_norm_. */
dk_status dki_cpu_decide(dki_backend *backend, dki_lane lane, const dki_decide *op) {
    (void)lane;
    dki_step_state *state = op->state;
    state->gradient_norm = sqrt(square_sum(dki_cpu_of(backend), op));
    if (!isfinite(state->gradient_norm)) dki_cpu_latch(state, 0);
    if (state->bad_tick) return DK_OK;
    double factor = op->clip_norm > 0.0f ? op->clip_norm / (state->gradient_norm + 1e-6) : 1.0;
    state->rate.grad_scale = factor < 1.0 ? (float)factor : 1.0f;
    count_update(state, &op->rule);
    return DK_OK;
}

static float *offset(float *slot, int64_t first) {
    return slot ? slot + first : NULL;
}

static dki_range piece_of(dki_range range, int64_t index) {
    const int64_t before = index * PIECE;
    return (dki_range){range.first + before, min(PIECE, range.count - before)};
}

/* working = parameters in bf16, over a range. */
static void narrow(const dki_loops *loops, const float *parameters, void *working,
                   dki_range range) {
    loops->narrow(parameters + range.first, range.count, (uint16_t *)working + range.first);
}

typedef struct {
    const dki_loops *loops;
    const dki_update_range *op;
    _Atomic int64_t bad; /* the first element whose update isn't finite; INT64_MAX = none */
} update_job;

/* The first element of a piece that an update left as it was, because of what would have come of it. */
static int64_t find_bad(const dki_update_range *op, dki_range piece) {
    const int slots = dki_optimizer_slots(op->rule.kind);
    for (int64_t i = piece.first; i < piece.first + piece.count; ++i) {
        float slot1 = slots >= 1 ? op->slot1[i] : 0.0f, slot2 = slots == 2 ? op->slot2[i] : 0.0f;
        const float next = dki_update(op->rule, op->state->rate, op->decay, op->parameters[i],
                                      op->gradients[i], &slot1, &slot2);
        if (!dki_update_is_finite(op->rule.kind, next, slot1, slot2)) return i;
    }
    return piece.first;
}

static void update_piece(void *argument, int64_t index) {
    update_job *job = argument;
    const dki_update_range *op = job->op;
    const dki_range piece = piece_of(op->range, index);
    const int64_t first = piece.first;
    const bool finite = job->loops->update(&op->rule, op->state->rate, op->decay, piece.count,
                                           op->parameters + first, op->gradients + first,
                                           offset(op->slot1, first), offset(op->slot2, first));
    if (op->working) narrow(job->loops, op->parameters, op->working, piece);
    if (finite) return;
    const int64_t bad = find_bad(op, piece);
    int64_t before = atomic_load(&job->bad);
    while (bad < before && !atomic_compare_exchange_weak(&job->bad, &before, bad)) continue;
}

dk_status dki_cpu_update(dki_backend *backend, dki_lane lane, const dki_update_range *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    update_job job = {cpu->loops, op, INT64_MAX};
    if (op->state->bad_tick) return DK_OK;
    dki_pool_run(cpu->pool, update_piece, &job, pieces_of(op->range.count));
    const int64_t bad = atomic_load(&job.bad);
    if (bad != INT64_MAX) dki_cpu_latch(op->state, DKI_AT_PARAMETER + bad);
    return DK_OK;
}

typedef struct {
    const dki_loops *loops;
    const dki_cast *op;
} cast_job;

static void cast_piece(void *argument, int64_t index) {
    const cast_job *job = argument;
    const dki_cast *op = job->op;
    narrow(job->loops, op->parameters, op->working, piece_of(op->range, index));
}

dk_status dki_cpu_cast(dki_backend *backend, dki_lane lane, const dki_cast *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    cast_job job = {cpu->loops, op};
    dki_pool_run(cpu->pool, cast_piece, &job, pieces_of(op->range.count));
    return DK_OK;
}
