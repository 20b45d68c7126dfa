/* The losses, element by element: formulas at dk_loss. What makes a mean of them (1/n, sample
 * weights) is the caller's. */
#ifndef DKI_LOSS_H
#define DKI_LOSS_H

#include "deltak/deltak.h"
#include "kernels/scalar.h"

/** apply(DK_LOSS_…) for each elementwise loss, so that a loop over elements can have a constant
 *  kind. */
#define DKI_EACH_ELEMENTWISE_LOSS(apply)                                                           \
    apply(DK_LOSS_MSE) apply(DK_LOSS_MAE) apply(DK_LOSS_HUBER) apply(DK_LOSS_SIGMOID_CROSS_ENTROPY)

/** l of prediction a (a logit, for the sigmoid cross-entropy) and target y. `delta` is Huber's δ.
 *
 *  Sigmoid cross-entropy: −y log σ(z) − (1−y) log(1−σ(z)) = max(z, 0) − z y + log(1 + e^−|z|), in
 *  which nothing overflows or cancels. */
DKI_FN float dki_loss_value(dk_loss kind, float delta, float a, float y) {
    const float r = a - y, size = dki_abs(r);
    switch (kind) {
    case DK_LOSS_MSE:
        return r * r;
    case DK_LOSS_MAE:
        return size;
    case DK_LOSS_HUBER:
        return size <= delta ? 0.5f * r * r : delta * fmaf(-0.5f, delta, size);
    case DK_LOSS_SIGMOID_CROSS_ENTROPY:
        return fmaf(-a, y, a > 0.0f ? a : 0.0f) + dki_log1p_exp(a);
    default:
        return NAN; /* the softmax is a matter of whole rows */
    }
}

/** ∂l/∂a, without the 1/n of a mean. */
DKI_FN float dki_loss_grad(dk_loss kind, float delta, float a, float y) {
    const float r = a - y;
    switch (kind) {
    case DK_LOSS_MSE:
        return 2.0f * r;
    case DK_LOSS_MAE:
        return dki_sign(r);
    case DK_LOSS_HUBER:
        return dki_clamp(r, -delta, delta);
    case DK_LOSS_SIGMOID_CROSS_ENTROPY:
        return dki_sigmoid(a) - y;
    default:
        return NAN;
    }
}

/* Softmax cross-entropy of a row, with s_c = w_c ((1 − ε) y_c + ε/C) (w_c = 1 without class
 * weights), S = Σ s_c and log Σ e^z = m + log Σ e^(z_c − m), m = max z:
 *     l = Σ_c s_c (log Σ e^z − z_c),     ∂l/∂z_c = S p_c − s_c,     p_c = e^(z_c − m)/Σ e^(z − m).
 */

/** s_c; `share` = ε/C. */
DKI_FN float dki_softmax_target(float class_weight, float y, float smoothing, float share) {
    return class_weight * fmaf(1.0f - smoothing, y, share);
}

/** One term of l: `distance` = z_c − m ≤ 0, `log_sum` = log Σ e^(z − m) ≥ 0. */
DKI_FN float dki_softmax_value(float target, float log_sum, float distance) {
    return target * (log_sum - distance);
}

/** ∂l/∂z_c. */
DKI_FN float dki_softmax_grad(float target, float target_sum, float probability) {
    return fmaf(target_sum, probability, -target);
}

#endif
