/* Errors of the loss and of ∂l/∂a, from those of a⁽ᴸ⁾. Every l here has a Lipschitz constant or a
 * bounded second derivative, from which the bounds follow; docs/numerics.md. */
#include "reference/bounds.h"

#include <math.h>

/* mse, mae, huber: r = a − y is rounded once, so it errs by e = E_a + u(|r| + E_a). */
static double residual_error(const dki_ref_loss *loss, double r, double a_error, double unit,
                             double *gradient_error) {
    double e = a_error + unit * (fabs(r) + a_error), gamma = dki_ref_gamma(4, unit), gradient;
    switch (loss->kind) {
    case DK_LOSS_MSE:
        *gradient_error = 2 * e + gamma * 2 * (fabs(r) + e);
        return 2 * fabs(r) * e + e * e + gamma * r * r;
    case DK_LOSS_MAE:
        *gradient_error = (fabs(r) <= e ? 2 : 0) + gamma; /* the sign may be another */
        return e;
    default:
        gradient = fmin(fabs(r) + e, loss->huber_delta);
        *gradient_error = e + gamma * gradient; /* clamping has Lipschitz constant 1 */
        return gradient * (e + gamma * (fabs(r) + e));
    }
}

/* −y log σ(z) − (1 − y) log(1 − σ(z)): its derivative is σ(z) − y, σ has Lipschitz constant 1/4. */
static double sigmoid_error(double z, double y, double z_error, double unit,
                            double *gradient_error) {
    double sigma = dki_ref_g(DK_SIGMOID, 0, z), carried = z_error / 4;
    double gamma = dki_ref_gamma(8, unit);
    *gradient_error = carried + gamma * (sigma + carried + fabs(y));
    return (fabs(sigma - y) + carried) * z_error +
           gamma * ((fabs(z) + z_error) * (1 + fabs(y)) + 1);
}

/* What a row's log softmax errs by: those of a (two terms, each off by at most the largest E_a), of
 * the sum of the exponentials, and of the shift by the largest a or by the log-sum-exp, either of
 * which an implementation may take. */
typedef struct log_softmax_row {
    double spread; /* Σ_k p_k (m − a_k) */
    double largest_error;
    double terms;
} log_softmax_row;

static log_softmax_row log_softmax_of(const dki_ref_sample *sample, const double *a_error,
                                      int64_t n) {
    log_softmax_row row = {0, 0, (double)n};
    for (int64_t k = 0; k < n; k++) {
        row.largest_error = fmax(row.largest_error, a_error[k]);
        row.spread += exp(dki_ref_log_softmax(sample, k)) * (sample->largest - sample->a[k]);
    }
    return row;
}

static double log_softmax_error(const dki_ref_sample *sample, const log_softmax_row *row, double a,
                                double unit) {
    double roundings = 2 * (sample->largest - a) + row->spread + 8 * sample->log_sum + row->terms +
                       16 + 2 * (fabs(sample->largest) + fabs(a) + 2 * row->largest_error);
    return 2 * row->largest_error + dki_ref_gamma(1, unit) * roundings;
}

static double softmax_error(const dki_ref_sample *sample, const double *a_error, double unit,
                            double *gradient_error) {
    const dki_ref_net *net = sample->net;
    int64_t n = dki_ref_outputs(net);
    log_softmax_row softmax = log_softmax_of(sample, a_error, n);
    double mass = 0, error = 0, gamma = dki_ref_gamma((double)n + 8, unit);
    for (int64_t c = 0; c < n; c++)
        mass += dki_ref_class_weight(&net->loss, c) *
                fabs(dki_ref_target(net, sample->batch, sample->row, c));
    for (int64_t c = 0; c < n; c++) {
        double y = dki_ref_class_weight(&net->loss, c) *
                   fabs(dki_ref_target(net, sample->batch, sample->row, c));
        double log_p = dki_ref_log_softmax(sample, c), p = exp(log_p);
        double log_error = log_softmax_error(sample, &softmax, sample->a[c], unit);
        /* p̂ = p e^(error of log p), and exp's own rounding */
        double p_error = p * expm1(log_error) + gamma * p * exp(log_error) + DKI_REF_UNDERFLOW;
        gradient_error[c] = mass * p_error + gamma * (mass * (p + p_error) + y);
        error += y * (log_error + gamma * (fabs(log_p) + log_error));
    }
    return error;
}

double dki_ref_loss_error(const dki_ref_sample *sample, const double *a_error, double unit,
                          double *gradient_error) {
    const dki_ref_net *net = sample->net;
    int64_t n = dki_ref_outputs(net);
    if (net->loss.kind == DK_LOSS_SOFTMAX_CROSS_ENTROPY)
        return softmax_error(sample, a_error, unit, gradient_error);
    double error = 0;
    for (int64_t c = 0; c < n; c++) {
        double y = dki_ref_target(net, sample->batch, sample->row, c), a = sample->a[c];
        if (net->loss.kind == DK_LOSS_SIGMOID_CROSS_ENTROPY)
            error += sigmoid_error(a, y, a_error[c], unit, &gradient_error[c]);
        else
            error += residual_error(&net->loss, a - y, a_error[c], unit, &gradient_error[c]);
        gradient_error[c] /= (double)n;
    }
    return error / (double)n;
}
