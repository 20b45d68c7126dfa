/* How far an update in single precision may lie from the reference; docs/numerics.md. */
#include "reference/bounds.h"

#include <math.h>

/* A number and a bound of its error. */
typedef struct measured {
    double value, error;
} measured;

/* β x + (1 − β) y, x exact, as such or as x + (1 − β)(y − x): all terms within |x| + |y|, 1 − β
 * rounded once from double. */
static measured average(double beta, double x, measured y, double unit) {
    double largest = fabs(x) + 2 * (1 - beta) * (fabs(x) + fabs(y.value) + y.error);
    measured result = {beta * x + (1 - beta) * y.value,
                       (1 - beta) * y.error + dki_ref_gamma(6, unit) * largest};
    return result;
}

/* A moment, or 0 in its place where it is next to nothing. */
static measured rested(measured moment) {
    if (fabs(moment.value) <= DKI_REF_LEAST_MOMENT + moment.error)
        moment.error += DKI_REF_LEAST_MOMENT;
    return moment;
}

static measured square(measured g) {
    measured result = {g.value * g.value, 2 * fabs(g.value) * g.error + g.error * g.error};
    result.error += DKI_REF_UNDERFLOW;
    return result;
}

/* |√a − √b| ≤ min(√|a − b|, |a − b|/√b) */
static measured root(measured v) {
    double value = sqrt(v.value), error = sqrt(v.error);
    if (value > 0) error = fmin(error, v.error / value);
    measured result = {value, error};
    return result;
}

/* x/(d + ε), the divisor rounded a few times on its way. */
static measured divide(measured x, measured d, double epsilon, double unit) {
    double divisor = d.value + epsilon;
    double divisor_error = d.error + dki_ref_gamma(8, unit) * (divisor + d.error);
    double least = fmax(divisor - divisor_error, epsilon * (1 - dki_ref_gamma(8, unit)));
    measured result = {x.value / divisor, 0};
    if (x.value == 0 && x.error == 0) return (measured){0, 0};
    result.error = (x.error + fabs(result.value) * divisor_error) / least;
    return result;
}

/* What is multiplied by η and taken off θ. */
static measured direction(const dki_ref_rule *rule, measured g, double m, double v, double unit) {
    double b1 = rule->beta1, b2 = rule->beta2, gamma = dki_ref_gamma(4, unit);
    measured result, second;
    switch (rule->optimizer) {
    case DK_SGD:
        return g;
    case DK_MOMENTUM:
    case DK_NESTEROV:
        result.value = b1 * m + g.value;
        result.error = g.error + gamma * (fabs(b1 * m) + fabs(g.value) + g.error);
        result = rested(result);
        if (rule->optimizer == DK_MOMENTUM) return result;
        second.value = g.value + b1 * result.value;
        second.error = g.error + b1 * result.error +
                       gamma * (fabs(g.value) + g.error + b1 * (fabs(result.value) + result.error));
        return second;
    case DK_RMSPROP:
        return divide(g, root(rested(average(b2, v, square(g), unit))), rule->epsilon, unit);
    case DK_ADAGRAD:
        second = square(g);
        second.value += v;
        second.error += gamma * (second.value + second.error);
        return divide(g, root(rested(second)), rule->epsilon, unit);
    case DK_ADAM:
    case DK_ADAMW:
        result = rested(average(b1, m, g, unit));
        second = root(rested(average(b2, v, square(g), unit)));
        double correction1 = 1 - pow(b1, (double)rule->t);
        double correction2 = sqrt(1 - pow(b2, (double)rule->t));
        second.value /= correction2;
        second.error /= correction2;
        result.value /= correction1;
        result.error /= correction1;
        return divide(result, second, rule->epsilon, unit);
    case DK_LION:
        second = average(b1, m, g, unit);
        result.value = second.value > 0 ? 1 : second.value < 0 ? -1 : 0;
        result.error = fabs(second.value) <= second.error ? (second.error > 0 ? 2 : 0) : 0;
        return result;
    }
    return (measured){NAN, NAN};
}

void dki_ref_update_bounds(const dki_ref_rule *rule, int64_t count, const double *theta,
                           const double *g, const double *g_error, const double *m, const double *v,
                           double unit, double *bounds) {
    double gamma = dki_ref_gamma(8, unit);
    for (int64_t i = 0; i < count; i++) {
        double decay = rule->decoupled ? 0 : rule->weight_decay * theta[i];
        measured gradient = {g[i] + decay, g_error ? g_error[i] : 0};
        if (decay != 0)
            gradient.error += dki_ref_gamma(3, unit) * (fabs(g[i]) + gradient.error + fabs(decay));
        measured step = direction(rule, gradient, m ? m[i] : 0, v ? v[i] : 0, unit);
        bounds[i] = rule->lr * step.error + gamma * (rule->lr * (fabs(step.value) + step.error)) +
                    dki_ref_gamma(4, unit) * fabs(theta[i]) + DKI_REF_UNDERFLOW;
    }
}
