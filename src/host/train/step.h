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

/** A session's staging of what isn't NULL of a batch. */
static inline dki_targets dki_staged_targets(const dk_session *session, const void *labels,
                                             const void *targets, const void *weights) {
    const dki_tensors *t = &session->tensors;
    return (dki_targets){labels ? t->labels : NULL, targets ? t->targets : NULL,
                         weights ? t->weights : NULL};
}

/** An optimizer's part of a step; its slots are the session's. */
typedef struct dki_optimization {
    dki_rule rule;
    bool decay_biases;
    float clip_norm;
    dki_mailbox *mailbox;
    dki_range *ranges; /* [2 L], scratch */
} dki_optimization;

/** A backward pass over a micro-batch. */
typedef struct dki_pass {
    int64_t rows;
    uint32_t first_row; /* of the effective batch */
    int kind;           /* the network's loss, or DKI_LOSS_GIVEN */
    const dki_targets *targets;
    bool accumulate;                /* add to the gradients */
    bool check;                     /* latch gradients that aren't finite in the step state */
    const dki_optimization *update; /* the last micro-batch of a step: dki_step_update follows, and
                                       what may come before its time does. Else NULL */
} dki_pass;

/** W⁽ᵏ⁾ as the products take it. */
dki_matrix dki_step_weight(const dk_session *session, size_t k);

/** a⁽ᵏ⁾ for k = 1 … L from a⁽⁰⁾, the session's first `rows` rows. `first_row` of the effective
 * batch. */
dk_status dki_step_forward(dk_session *session, int64_t rows, uint32_t first_row);

/** The loss alone. */
dk_status dki_step_loss(dk_session *session, int64_t rows, const dki_targets *targets);

/** δ⁽ᴸ⁾ … δ⁽¹⁾, dW and db. */
dk_status dki_step_backward(dk_session *session, const dki_pass *pass);

/** ∂l/∂x = δ⁽¹⁾ W⁽¹⁾ into the session's delta[0]. */
dk_status dki_step_input_gradient(dk_session *session, int64_t rows);

/** Whether a decision stands between the backward pass and the update. */
static inline bool dki_step_decides(const dk_net *net, const dki_optimization *optimization) {
    return optimization->clip_norm > 0.0f || net->context->backend->loss_scaling;
}

/** Whether weights are updated behind each layer's gradient, unless in one with it. */
static inline bool dki_step_updates_early(const dk_net *net, const dki_optimization *optimization) {
    return net->context->backend->early_updates && !dki_step_decides(net, optimization);
}

/** The first operation of a step. */
dk_status dki_step_begin(dk_session *session, const dki_optimization *optimization);

/** θ ← θ − … by the accumulated gradients, frozen layers aside; what the backward pass didn't update
 *  already. */
dk_status dki_step_update(dk_session *session, const dki_optimization *optimization);

#endif
