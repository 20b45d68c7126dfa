/* The step state: begin, the first kernel of a step, and decide, between the gradients and the
 * update.
 *
 * decide: ‖g‖ = √Σ partial / s with the loss scale s; the gradient is multiplied by
 * min(1, c/(‖g‖ + 1e-6))/s, as PyTorch's clip_grad_norm_ does after GradScaler.unscale_.
 * Bytes: begin under 200; decide 8 for every DKI_NORM_PIECE elements of the gradient. */
#include "kernels/kernels.h"
#include "kernels/latch.cuh"
#include "kernels/reduce.cuh"

namespace {

/* Of a scale beyond this nothing is to be gained: 2²⁴ δ is above the least fp16 number, 2⁻²⁴, for
 * any δ from 2⁻⁴⁸ on, and all the powers of two on the way are exact in fp32, as are their
 * inverses. */
constexpr float LOSS_SCALE_MOST = 16777216.0f;

constexpr int DECIDE_THREADS = 1024;

DKI_DEVICE void count_update(dki_step_state *state, const dki_rule &rule) {
    ++state->applied;
    dki_next_rate(&rule, state->applied, &state->beta1_power, &state->beta2_power, &state->rate);
}

/* The host polls the tick: once it sees it, it must see the rest. */
DKI_DEVICE void report_last(dki_mailbox *mailbox, const dki_step_state *state) {
    volatile dki_report *report = &mailbox->reports[state->tick % DKI_RING];
    report->loss = state->loss;
    report->loss_scale = state->loss_scale;
    report->bad_tick = state->bad_tick;
    __threadfence_system();
    report->tick = state->tick;
}

/* The mailbox is the host's memory, written while earlier steps ran: volatile, so that no cached
 * copy of it is read. */
__global__ void begin_kernel(dki_rule rule, bool decide_follows, dki_mailbox *mailbox,
                             dki_step_state *state) {
    dki_wait_for_earlier();
    if (state->tick >= 1) report_last(mailbox, state);
    const uint64_t tick = ++state->tick;
    const volatile dki_tick *announced = &mailbox->announced[tick % DKI_RING];
    state->loss = 0.0;
    state->rate.lr = announced->lr;
    state->inverse_normaliser = announced->inverse_normaliser;
    state->delta_scale = dki_loss_scale(state);
    state->rate.grad_scale = 1.0f / state->delta_scale;
    state->skip = 0;
    if (decide_follows) return;
    count_update(state, rule);
    dki_linear_scalars(&rule, &state->rate, state->product_scalars);
    if (state->bad_tick) dki_hold_products(state);
}

struct Decision {
    dki_rule rule;
    float clip_norm;
    bool loss_scaling;
};

/* The scaled gradients overflowed: too large a scale, unless there is none. */
DKI_DEVICE void overflow(dki_step_state *state, bool loss_scaling, float scale) {
    if (!loss_scaling || scale <= 1.0f) {
        dki_latch(state, 0);
        return;
    }
    state->loss_scale = 0.5f * scale;
    state->good_ticks = 0;
    state->skip = 1;
}

DKI_DEVICE void decide(dki_step_state *state, const Decision &decision, double squares) {
    const float scale = dki_loss_scale(state);
    const double norm = sqrt(squares) / (double)scale;
    state->gradient_norm = norm;
    if (state->bad_tick) return;
    if (!dki_is_finite(norm)) {
        overflow(state, decision.loss_scaling, scale);
        return;
    }
    const float clip = decision.clip_norm;
    const double factor = clip > 0.0f ? (double)clip / (norm + 1e-6) : 1.0;
    state->rate.grad_scale = (factor < 1.0 ? (float)factor : 1.0f) / scale;
    count_update(state, decision.rule);
    if (!decision.loss_scaling || ++state->good_ticks < DKI_LOSS_SCALE_PATIENCE) return;
    state->loss_scale = scale < LOSS_SCALE_MOST ? 2.0f * scale : scale;
    state->good_ticks = 0;
}

__global__ void __launch_bounds__(DECIDE_THREADS)
    decide_kernel(Decision decision, dki_step_state *state, const double *partial, int64_t count) {
    dki_wait_for_earlier();
    DK_SHARED(double, sums, DECIDE_THREADS / DKI_WARP);
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += DECIDE_THREADS) sum += partial[i];
    sum = dki_block_sum<DECIDE_THREADS>(sum, sums);
    if (threadIdx.x == 0) decide(state, decision, sum);
}

} // namespace

extern "C" int dki_cuda_begin(dki_stream stream, const dki_begin *op) {
    return DK_LAUNCH(begin_kernel, 1, 1, stream, op->rule, op->decide_follows, op->mailbox,
                     op->state);
}

extern "C" int dki_cuda_decide(dki_stream stream, const dki_decide *op, const double *partial,
                               int64_t count) {
    const Decision decision = {op->rule, op->clip_norm, op->loss_scaling};
    return DK_LAUNCH(decide_kernel, 1, DECIDE_THREADS, stream, decision, op->state, partial, count);
}
