/* The losses of deltak.h and their gradients with respect to a⁽ᴸ⁾, one sample at a time. The
 * cross-entropies take a⁽ᴸ⁾ to be the logits: their last activation is the identity. */
#include "reference/loss.h"

#include <math.h>

static bool is_cross_entropy(dk_loss kind) {
    return kind == DK_LOSS_SOFTMAX_CROSS_ENTROPY || kind == DK_LOSS_SIGMOID_CROSS_ENTROPY;
}

int64_t dki_ref_outputs(const dki_ref_net *net) {
    return net->layers[net->layer_count - 1].width;
}

dk_status dki_ref_batch_check(const dki_ref_net *net, const dki_ref_batch *batch) {
    int64_t n = dki_ref_outputs(net);
    DKI_REQUIRE((batch->labels != NULL) != (batch->targets != NULL), DK_E_ARGUMENT,
                "reference: give either labels or targets");
    DKI_REQUIRE(!batch->labels || is_cross_entropy(net->loss.kind), DK_E_ARGUMENT,
                "reference: labels need a cross-entropy, this loss takes targets");
    double sum = 0;
    for (int64_t row = 0; row < batch->rows; row++) {
        if (batch->labels)
            DKI_REQUIRE(0 <= batch->labels[row] && batch->labels[row] < n, DK_E_DATA,
                        "reference: label %d of row %lld is outside 0 … %lld", batch->labels[row],
                        (long long)row, (long long)n - 1);
        double w = batch->weights ? batch->weights[row] : 1;
        DKI_REQUIRE(w >= 0, DK_E_ARGUMENT, "reference: the weight of row %lld is negative or NaN",
                    (long long)row);
        sum += w;
    }
    DKI_REQUIRE(sum > 0, DK_E_ARGUMENT, "reference: the sample weights sum to 0");
    return DK_OK;
}

double dki_ref_target(const dki_ref_net *net, const dki_ref_batch *batch, int64_t row, int64_t c) {
    int64_t n = dki_ref_outputs(net);
    double y = batch->labels ? (batch->labels[row] == c ? 1 : 0) : batch->targets[row * n + c];
    if (net->loss.kind != DK_LOSS_SOFTMAX_CROSS_ENTROPY) return y;
    double epsilon = net->loss.label_smoothing;
    return (1 - epsilon) * y + epsilon / (double)n;
}

double dki_ref_class_weight(const dki_ref_loss *loss, int64_t c) {
    bool weighted = loss->kind == DK_LOSS_SOFTMAX_CROSS_ENTROPY && loss->class_weights;
    return weighted ? loss->class_weights[c] : 1;
}

double dki_ref_total_weight(const dki_ref_net *net, const dki_ref_batch *batch) {
    double sum = 0;
    for (int64_t i = 0; i < batch->rows; i++) {
        double w = batch->weights ? batch->weights[i] : 1;
        sum += batch->labels ? w * dki_ref_class_weight(&net->loss, batch->labels[i]) : w;
    }
    return sum;
}

double dki_ref_share(const dki_ref_batch *batch, double total, int64_t row) {
    return (batch->weights ? batch->weights[row] : 1) / total;
}

dki_ref_sample dki_ref_sample_of(const dki_ref_net *net, const dki_ref_batch *batch, int64_t row,
                                 const double *a) {
    dki_ref_sample sample = {net, batch, row, a, a[0], 0, 0};
    if (net->loss.kind != DK_LOSS_SOFTMAX_CROSS_ENTROPY) return sample;
    double sum = 0;
    for (int64_t k = 1; k < dki_ref_outputs(net); k++)
        if (a[k] > sample.largest) sample.largest = a[k];
    for (int64_t k = 0; k < dki_ref_outputs(net); k++) {
        sum += exp(a[k] - sample.largest);
        sample.mass += dki_ref_class_weight(&net->loss, k) * dki_ref_target(net, batch, row, k);
    }
    /* cppcheck-suppress invalidFunctionArg ; the largest has added 1 to the sum */
    sample.log_sum = log(sum);
    return sample;
}

double dki_ref_log_softmax(const dki_ref_sample *sample, int64_t c) {
    return sample->a[c] - sample->largest - sample->log_sum;
}

/* −log σ(z) = log(1 + e^{−z}) */
static double minus_log_sigma(double z) {
    return z > 0 ? log1p(exp(-z)) : -z + log1p(exp(z));
}

static double residual_loss(const dki_ref_loss *loss, double r) {
    double d = loss->huber_delta;
    switch (loss->kind) {
    case DK_LOSS_MSE:
        return r * r;
    case DK_LOSS_MAE:
        return fabs(r);
    default:
        return fabs(r) <= d ? r * r / 2 : d * (fabs(r) - d / 2);
    }
}

static double residual_loss_prime(const dki_ref_loss *loss, double r) {
    double sign = r > 0 ? 1 : r < 0 ? -1 : 0;
    switch (loss->kind) {
    case DK_LOSS_MSE:
        return 2 * r;
    case DK_LOSS_MAE:
        return sign;
    default:
        return fabs(r) <= loss->huber_delta ? r : loss->huber_delta * sign;
    }
}

double dki_ref_sample_loss(const dki_ref_sample *sample) {
    const dki_ref_loss *loss = &sample->net->loss;
    int64_t n = dki_ref_outputs(sample->net);
    double sum = 0;
    for (int64_t c = 0; c < n; c++) {
        double y = dki_ref_target(sample->net, sample->batch, sample->row, c), a = sample->a[c];
        switch (loss->kind) {
        case DK_LOSS_SOFTMAX_CROSS_ENTROPY:
            if (y != 0) sum -= dki_ref_class_weight(loss, c) * y * dki_ref_log_softmax(sample, c);
            break;
        case DK_LOSS_SIGMOID_CROSS_ENTROPY:
            /* 1 − σ(z) = σ(−z) */
            sum += (y * minus_log_sigma(a) + (1 - y) * minus_log_sigma(-a)) / (double)n;
            break;
        default:
            sum += residual_loss(loss, a - y) / (double)n;
        }
    }
    return sum;
}

double dki_ref_sample_gradient(const dki_ref_sample *sample, int64_t j) {
    const dki_ref_loss *loss = &sample->net->loss;
    double y = dki_ref_target(sample->net, sample->batch, sample->row, j), a = sample->a[j];
    double n = (double)dki_ref_outputs(sample->net);
    switch (loss->kind) {
    case DK_LOSS_SOFTMAX_CROSS_ENTROPY:
        /* −Σ_c w_c y_c ∂log p_c/∂a_j = −Σ_c w_c y_c ([c = j] − p_j) */
        return sample->mass * exp(dki_ref_log_softmax(sample, j)) -
               dki_ref_class_weight(loss, j) * y;
    case DK_LOSS_SIGMOID_CROSS_ENTROPY:
        return (dki_ref_g(DK_SIGMOID, 0, a) - y) / n;
    default:
        return residual_loss_prime(loss, a - y) / n;
    }
}
