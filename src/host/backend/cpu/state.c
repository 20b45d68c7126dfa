/* The step state on the CPU: begin, decide, and the update that follows them. */
#include "backend/cpu/cpu.h"

#include <math.h>

/* Elements of one piece of a flat loop; a fixed cut, so that sums don't depend on the threads. */
enum { PIECE = 16384 };

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Counts an update and sets the bias corrections of its t: 1 − β₁ᵗ and √(1 − β₂ᵗ). */
static void count_update(dki_step_state *state, const dki_rule *rule) {
    ++state->applied;
    state->beta1_power *= rule->beta1;
    state->beta2_power *= rule->beta2;
    state->rate.bias1 = (float)(1.0 - state->beta1_power);
    state->rate.bias2_sqrt = (float)sqrt(1.0 - state->beta2_power);
}

dk_status dki_cpu_begin(dki_backend *backend, dki_lane lane, const dki_begin *op) {
    (void)backend;
    (void)lane;
    dki_step_state *state = op->state;
    uint64_t slot = ++state->tick % DKI_RING;
    state->loss[slot] = 0.0;
    state->inverse_normaliser = state->ring[slot].inverse_normaliser;
    state->rate.lr = state->ring[slot].lr;
    state->rate.grad_scale = 1.0f;
    if (!op->decide_follows) count_update(state, &op->rule);
    return DK_OK;
}

/* Σ g² over the ranges: pieces in parallel, added in order. */
static double square_sum(dki_cpu *cpu, const dki_decide *op) {
    double total = 0.0;
    for (size_t i = 0; i < op->range_count; ++i) {
        const float *g = op->gradients + op->ranges[i].first;
        int64_t count = op->ranges[i].count, pieces = (count + PIECE - 1) / PIECE;
        double *partial = op->workspace;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
        for (int64_t p = 0; p < pieces; ++p)
            partial[p] = cpu->loops->square_sum(g + p * PIECE, min(PIECE, count - p * PIECE));
        for (int64_t p = 0; p < pieces; ++p) total += partial[p];
    }
    return total;
}

/* Clipping by global norm: g ← g · min(1, c/(‖g‖ + 1e-6)), as PyTorch's clip_grad_norm_. */
dk_status dki_cpu_decide(dki_backend *backend, dki_lane lane, const dki_decide *op) {
    (void)lane;
    dki_step_state *state = op->state;
    state->gradient_norm = sqrt(square_sum(dki_cpu_of(backend), op));
    if (!isfinite(state->gradient_norm)) dki_cpu_latch(state);
    if (state->bad_tick) return DK_OK;
    double factor = op->clip_norm > 0.0f ? op->clip_norm / (state->gradient_norm + 1e-6) : 1.0;
    state->rate.grad_scale = factor < 1.0 ? (float)factor : 1.0f;
    count_update(state, &op->rule);
    return DK_OK;
}

static float *offset(float *slot, int64_t first) {
    return slot ? slot + first : NULL;
}

dk_status dki_cpu_update(dki_backend *backend, dki_lane lane, const dki_update_range *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    if (op->state->bad_tick) return DK_OK;
    int64_t end = op->range.first + op->range.count;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
    for (int64_t first = op->range.first; first < end; first += PIECE)
        cpu->loops->update(&op->rule, op->state->rate, op->decay, min(PIECE, end - first),
                           op->parameters + first, op->gradients + first, offset(op->slot1, first),
                           offset(op->slot2, first));
    return DK_OK;
}
