/* The algorithm: forward, loss, backward, update. Written once, for every backend. */
#ifndef DKI_STEP_H
#define DKI_STEP_H

#include "train/session.h"

/** What the loss operation is to work with; fields as in dki_loss. */
typedef struct dki_targets {
    const int32_t *labels;
    const float *targets;
    const float *weights;
} dki_targets;

/** a⁽ᵏ⁾ for k = 1 … L from a⁽⁰⁾, the session's first `rows` rows. `first_row` of the effective
 * batch. */
dk_status dki_step_forward(dk_session *session, int64_t rows, uint32_t first_row);

/** The loss alone. */
dk_status dki_step_loss(dk_session *session, int64_t rows, const dki_targets *targets);

/** δ⁽ᴸ⁾ … δ⁽¹⁾, dW and db. `kind` is the network's loss, or DKI_LOSS_GIVEN. `accumulate` adds to
 * the gradients. `check` latches non-finite gradients in the step state. */
dk_status dki_step_backward(dk_session *session, int64_t rows, uint32_t first_row, int kind,
                            const dki_targets *targets, bool accumulate, bool check);

/** ∂l/∂x = δ⁽¹⁾ W⁽¹⁾ into the session's delta[0]. */
dk_status dki_step_input_gradient(dk_session *session, int64_t rows);

/** An optimizer's part of a step. */
typedef struct dki_optimization {
    dki_rule rule;
    bool decay_biases;
    float clip_norm;
    float *slots[2];   /* parameter-shaped regions, or NULL */
    dki_range *ranges; /* [2 L], scratch */
} dki_optimization;

/** Whether a decision stands between the backward pass and the update. */
static inline bool dki_step_decides(const dki_optimization *optimization) {
    return optimization->clip_norm > 0.0f;
}

/** The first operation of a step. */
dk_status dki_step_begin(dk_session *session, const dki_optimization *optimization);

/** θ ← θ − … by the accumulated gradients, frozen layers aside. */
dk_status dki_step_update(dk_session *session, const dki_optimization *optimization);

#endif
