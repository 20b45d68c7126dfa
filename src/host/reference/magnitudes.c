/* The magnitudes that enter each quantity, and the comparison of an array with the reference. */
#include "reference/loss.h"

#include <math.h>

static void forward_magnitudes(const dki_ref_net *net, const dki_ref_tensors *pass,
                               dki_ref_tensors *magnitudes) {
    for (int64_t i = 0; i < pass->rows * net->layers[0].inputs; i++)
        magnitudes->a[0][i] = fabs(pass->a[0][i]);
    for (size_t k = 1; k <= net->layer_count; k++) {
        const dki_ref_layer *layer = &net->layers[k - 1];
        for (int64_t row = 0; row < pass->rows; row++)
            for (int64_t j = 0; j < layer->width; j++) {
                int64_t at = row * layer->width + j;
                double sum = fabs(layer->b[j]);
                for (int64_t i = 0; i < layer->inputs; i++)
                    sum += fabs(layer->W[j * layer->inputs + i]) *
                           magnitudes->a[k - 1][row * layer->inputs + i];
                magnitudes->z[k][at] = sum;
                magnitudes->a[k][at] = fabs(pass->a[k][at]);
            }
    }
}

static void delta_magnitudes(const dki_ref_net *net, const dki_ref_tensors *pass,
                             dki_ref_tensors *magnitudes) {
    size_t last = net->layer_count;
    for (int64_t i = 0; i < pass->rows * net->layers[last - 1].width; i++)
        magnitudes->delta[last][i] = fabs(pass->delta[last][i]);
    for (size_t k = last; k-- > 0;) {
        const dki_ref_layer *next = &net->layers[k], *layer = k ? &net->layers[k - 1] : NULL;
        for (int64_t row = 0; row < pass->rows; row++)
            for (int64_t j = 0; j < next->inputs; j++) {
                int64_t at = row * next->inputs + j;
                double sum = 0, slope = 1;
                for (int64_t i = 0; i < next->width; i++)
                    sum += fabs(next->W[i * next->inputs + j]) *
                           fabs(pass->delta[k + 1][row * next->width + i]);
                if (layer)
                    slope = dki_ref_g_prime(layer->activation, layer->alpha, pass->z[k][at]) *
                            (layer->dropout_scale ? layer->dropout_scale[at] : 1);
                magnitudes->delta[k][at] = sum * fabs(slope);
            }
    }
}

void dki_ref_magnitudes(const dki_ref_net *net, const dki_ref_batch *batch,
                        const dki_ref_tensors *pass, dki_ref_tensors *magnitudes) {
    forward_magnitudes(net, pass, magnitudes);
    delta_magnitudes(net, pass, magnitudes);
    for (size_t k = 1; k <= net->layer_count; k++) {
        const dki_ref_layer *layer = &net->layers[k - 1];
        for (int64_t j = 0; j < layer->width; j++) {
            double sum = 0;
            for (int64_t row = 0; row < pass->rows; row++)
                sum += fabs(pass->delta[k][row * layer->width + j]);
            magnitudes->db[k][j] = sum;
            for (int64_t i = 0; i < layer->inputs; i++) {
                sum = 0;
                for (int64_t row = 0; row < pass->rows; row++)
                    sum += fabs(pass->delta[k][row * layer->width + j]) *
                           fabs(pass->a[k - 1][row * layer->inputs + i]);
                magnitudes->dW[k][j * layer->inputs + i] = sum;
            }
        }
    }
    size_t last = net->layer_count;
    double total = dki_ref_total_weight(net, batch);
    magnitudes->loss = 0;
    for (int64_t row = 0; row < pass->rows; row++) {
        const double *a = pass->a[last] + row * dki_ref_outputs(net);
        dki_ref_sample sample = dki_ref_sample_of(net, batch, row, a);
        magnitudes->loss += dki_ref_share(batch, total, row) * fabs(dki_ref_sample_loss(&sample));
    }
}

dki_ref_comparison dki_ref_compare(int64_t count, const float *x, const double *r,
                                   const double *bounds) {
    dki_ref_comparison result = {0, 0, 0, true};
    for (int64_t i = 0; i < count; i++) {
        bool same = (double)x[i] == r[i] || (isnan(x[i]) && isnan(r[i]));
        double error = same ? 0 : fabs((double)x[i] - r[i]);
        if (isnan(error)) error = INFINITY;
        double part = error == 0 ? 0 : error <= bounds[i] ? error / bounds[i] : INFINITY;
        if (error > bounds[i] && bounds[i] > 0) part = error / bounds[i];
        result.error = fmax(result.error, error);
        result.bound = fmax(result.bound, bounds[i]);
        result.worst = fmax(result.worst, part);
        if (!(error <= bounds[i])) result.within = false;
    }
    return result;
}
