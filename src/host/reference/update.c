/* The optimizers as deltak.h states them, clipping, element by element. */
#include "reference/reference.h"

#include <math.h>

static double sign(double x) {
    return x > 0 ? 1 : x < 0 ? -1 : x; /* keeps ±0 and NaN */
}

/* The step that an optimizer takes off one θ: θ ← θ − step; m and v are updated, if it has them. */
static double step_of(const dki_ref_rule *rule, double g, double *m, double *v) {
    double eta = rule->lr, b1 = rule->beta1, b2 = rule->beta2;
    switch (rule->optimizer) {
    case DK_SGD:
        return eta * g;
    case DK_MOMENTUM:
        *m = b1 * *m + g;
        return eta * *m;
    case DK_NESTEROV:
        *m = b1 * *m + g;
        return eta * (g + b1 * *m);
    case DK_RMSPROP:
        *v = b2 * *v + (1 - b2) * g * g;
        return eta * g / (sqrt(*v) + rule->epsilon);
    case DK_ADAGRAD:
        *v += g * g;
        return eta * g / (sqrt(*v) + rule->epsilon);
    case DK_ADAM:
    case DK_ADAMW: {
        *m = b1 * *m + (1 - b1) * g;
        *v = b2 * *v + (1 - b2) * g * g;
        double m_hat = *m / (1 - pow(b1, (double)rule->t)); /* Kingma 2015, algorithm 1 */
        double v_hat = *v / (1 - pow(b2, (double)rule->t));
        return eta * m_hat / (sqrt(v_hat) + rule->epsilon);
    }
    case DK_LION: {
        double step = eta * sign(b1 * *m + (1 - b1) * g); /* Chen 2023, algorithm 2 */
        *m = b2 * *m + (1 - b2) * g;
        return step;
    }
    }
    return NAN;
}

void dki_ref_update(const dki_ref_rule *rule, int64_t count, double *theta, const double *g,
                    double *m, double *v) {
    for (int64_t i = 0; i < count; i++) {
        double gradient = g[i];
        if (rule->decoupled)
            theta[i] -= rule->lr * rule->weight_decay * theta[i];
        else
            gradient += rule->weight_decay * theta[i];
        double none = 0;
        theta[i] -= step_of(rule, gradient, m ? m + i : &none, v ? v + i : &none);
    }
}

double dki_ref_clip_norm(double *const *tensors, const int64_t *counts, size_t tensor_count,
                         double max_norm) {
    double sum = 0;
    for (size_t k = 0; k < tensor_count; k++)
        for (int64_t i = 0; i < counts[k]; i++) sum += tensors[k][i] * tensors[k][i];
    double norm = sqrt(sum), factor = max_norm / (norm + 1e-6);
    if (factor < 1)
        for (size_t k = 0; k < tensor_count; k++)
            for (int64_t i = 0; i < counts[k]; i++) tensors[k][i] *= factor;
    return norm;
}

void dki_ref_clip_value(double *g, int64_t count, double limit) {
    for (int64_t i = 0; i < count; i++)
        if (g[i] > limit)
            g[i] = limit;
        else if (g[i] < -limit)
            g[i] = -limit;
}
