/* The update of one parameter by each optimizer: formulas and conventions at dk_optimizer.
 *
 * An average β x + (1−β) y is computed as x + (1−β)(y − x), as PyTorch's lerp: for β near 1 that
 * needs only 1−β, which is taken in double; β and 1−β as two floats would add up to 1 only within
 * 2⁻²⁵, an error of 2⁻²⁵/(1−β) in the average. */
#ifndef DKI_OPTIMIZER_H
#define DKI_OPTIMIZER_H

#include "deltak/deltak.h"
#include "kernels/function.h"

/** What is fixed for a run. */
typedef struct dki_rule {
    dk_optimizer kind;
    double beta1, beta2; /* as at dk_optimizer: momentum's μ is beta1, RMSprop's α is beta2 */
    float epsilon;
    float weight_decay; /* λ */
    int decoupled;      /* θ is multiplied by 1 − ηλ, instead of adding λθ to the gradient */
    float clip_value;   /* > 0: elements of the gradient are clamped to ±this */
} dki_rule;

/** What belongs to one step. */
typedef struct dki_rate {
    float lr;         /* η */
    float bias1;      /* 1 − β₁ᵗ (adam, adamw) */
    float bias2_sqrt; /* √(1 − β₂ᵗ) (adam, adamw) */
    float grad_scale; /* multiplier of the gradient: norm clipping, inverse loss scale */
    int rests;        /* whether moments may become 0: dki_rested */
} dki_rate;

/** apply(DK_…) for each optimizer, so that a loop over elements can have a constant kind. */
#define DKI_EACH_OPTIMIZER(apply)                                                                  \
    apply(DK_SGD) apply(DK_MOMENTUM) apply(DK_NESTEROV) apply(DK_RMSPROP) apply(DK_ADAGRAD)        \
        apply(DK_ADAM) apply(DK_ADAMW) apply(DK_LION)

/** How many slots (floats of state for each parameter) an optimizer has. Slot 1 is u, v or m; slot
 *  2 is Adam's v. */
DKI_FN int dki_optimizer_slots(dk_optimizer kind) {
    switch (kind) {
    case DK_SGD:
        return 0;
    case DK_ADAM:
    case DK_ADAMW:
        return 2;
    default:
        return 1;
    }
}

/** Whether the new weight is α g + β θ with an α and a β of the step alone. */
DKI_FN bool dki_rule_is_linear(const dki_rule *rule) {
    return rule->kind == DK_SGD && !(rule->clip_value > 0.0f);
}

/** Those α and β: −η·grad_scale and 1 − ηλ. θ − η(g + λθ) is the same as (1 − ηλ)θ − ηg, so the kind
 *  of decay makes no difference. */
DKI_FN void dki_linear_scalars(const dki_rule *rule, const dki_rate *rate, float scalars[2]) {
    scalars[0] = -rate->lr * rate->grad_scale;
    scalars[1] = fmaf(-rate->lr, rule->weight_decay, 1.0f);
}

/** Moments may become 0 once in so many updates: looking for it each time would cost up to a fifth of an
 *  update. And those that do: what is less than 2⁻¹²⁰, since β³² times as much is normal for β ≥ 0.88. */
#define DKI_REST_EVERY   32
#define DKI_LEAST_MOMENT 0x1p-120f

/** For update number `applied`, from 1: β₁ᵗ and β₂ᵗ by repeated multiplication, the bias corrections
 *  1 − β₁ᵗ and √(1 − β₂ᵗ) of its t, and whether moments may become 0. */
DKI_FN void dki_next_rate(const dki_rule *rule, uint64_t applied, double *beta1_power,
                          double *beta2_power, dki_rate *rate) {
    *beta1_power *= rule->beta1;
    *beta2_power *= rule->beta2;
    rate->bias1 = (float)(1.0 - *beta1_power);
    rate->bias2_sqrt = (float)sqrt(1.0 - *beta2_power);
    rate->rests = applied % DKI_REST_EVERY == 0;
}

/** β mean + (1−β) a·b, without a rounding of a·b. For β < 1/2 it goes from the other end, so that a
 *  small a·b isn't lost in (a·b − mean) + mean. */
DKI_FN float dki_average(double beta, float mean, float a, float b) {
    const float rest = (float)(1.0 - beta), keep = (float)beta;
    const float difference = fmaf(a, b, -mean);
    return rest <= 0.5f ? fmaf(rest, difference, mean) : fmaf(-keep, difference, a * b);
}

/** A moment behind an update by a gradient of 0. Where that is so for long (of a unit that is dead, of a
 *  feature that is constant) it is multiplied by β again and again until it is denormal, and there rounding
 *  holds it for good: with β = 0.9, 4·2⁻¹⁴⁹ rounds to itself. Processors take 10 to 30 times as long for an
 *  update of denormal numbers. So it becomes 0 before. The parameter doesn't see it: a step by 2⁻¹²⁰/ε is
 *  less than half a unit in the last place of any |θ| > 2⁻⁹⁶ η/ε, and √v < 2⁻⁶⁰ less than that of any
 *  ε > 2⁻³⁶. */
DKI_FN float dki_rested(float moment, int rests) {
    return rests && dki_abs(moment) < DKI_LEAST_MOMENT ? 0.0f : moment;
}

/** Lion's, of which the sign alone counts, that of exact arithmetic: it stays, and with it the steps. */
DKI_FN float dki_rested_sign(float moment, int rests) {
    const float least = moment == 0.0f ? moment : dki_copy_sign(DKI_LEAST_MOMENT, moment);
    return rests && dki_abs(moment) < DKI_LEAST_MOMENT ? least : moment;
}

/** The new weight. g is the raw gradient; `decay` is λ, or 0 for an element that isn't decayed. The
 *  slots are updated in place; those that the optimizer doesn't have are not touched and may be
 *  NULL. Order: g·grad_scale, clamp, coupled decay, rule. */
DKI_FN float dki_update(dki_rule rule, dki_rate rate, float decay, float w, float g, float *slot1,
                        float *slot2) {
    const float limit = rule.clip_value > 0.0f ? rule.clip_value : INFINITY;
    const float coupled = rule.decoupled ? 0.0f : decay;
    const float shrink = rule.decoupled ? rate.lr * decay : 0.0f; /* ηλ */
    const float kept = fmaf(-shrink, w, w);                       /* (1 − ηλ) θ */
    float direction, step = rate.lr;

    g = fmaf(coupled, w, dki_clamp(g * rate.grad_scale, -limit, limit));
    const int rests = rate.rests && g == 0.0f;
    switch (rule.kind) {
    case DK_MOMENTUM:
        direction = *slot1 = dki_rested(fmaf((float)rule.beta1, *slot1, g), rests);
        break;
    case DK_NESTEROV:
        *slot1 = dki_rested(fmaf((float)rule.beta1, *slot1, g), rests);
        direction = fmaf((float)rule.beta1, *slot1, g);
        break;
    case DK_RMSPROP:
        *slot1 = dki_rested(dki_average(rule.beta2, *slot1, g, g), rests);
        direction = g / (sqrtf(*slot1) + rule.epsilon);
        break;
    case DK_ADAGRAD:
        *slot1 = dki_rested(fmaf(g, g, *slot1), rests);
        direction = g / (sqrtf(*slot1) + rule.epsilon);
        break;
    case DK_ADAM:
    case DK_ADAMW: {
        const float inverse = 1.0f / rate.bias2_sqrt;
        *slot1 = dki_rested(dki_average(rule.beta1, *slot1, g, 1.0f), rests);
        *slot2 = dki_rested(dki_average(rule.beta2, *slot2, g, g), rests);
        direction = *slot1 / fmaf(sqrtf(*slot2), inverse, rule.epsilon);
        step = rate.lr / rate.bias1;
        break;
    }
    case DK_LION:
        direction = dki_sign(dki_average(rule.beta1, *slot1, g, 1.0f));
        *slot1 = dki_rested_sign(dki_average(rule.beta2, *slot1, g, 1.0f), rests);
        break;
    case DK_SGD:
    default:
        direction = g;
        break;
    }
    return fmaf(-step, direction, kept);
}

/** Whether what an update gives is finite: x·0 is 0 for a finite x, and NaN otherwise. A slot that
 *  overflows counts, too: Adam's v = ∞ would hold its parameter still for good. */
DKI_FN int dki_update_is_finite(dk_optimizer kind, float w, float slot1, float slot2) {
    float zero = w * 0.0f;
    if (dki_optimizer_slots(kind) >= 1) zero += slot1 * 0.0f;
    if (dki_optimizer_slots(kind) == 2) zero += slot2 * 0.0f;
    return zero == 0.0f;
}

#endif
