/* How far a pass in single precision may lie from the reference: a running error analysis. Each
 * quantity gets a bound from the bounds of what it is made of; docs/numerics.md derives them. */
#include "reference/bounds.h"

#include <math.h>

/* Own functions: g within 4 ulp = 8u; g′ from z or from a computed a, see docs/numerics.md. */
enum { G_ULPS = 8, G_PRIME_ULPS = DKI_REF_G_PRIME_ULPS };

double dki_ref_gamma(double n, double unit) {
    return n * unit < 1 ? n * unit / (1 - n * unit) : INFINITY;
}

static double dropout(const dki_ref_layer *layer, int64_t at) {
    return layer->dropout_scale ? fabs(layer->dropout_scale[at]) : 1;
}

double dki_ref_g_prime_scale(dk_activation activation, double alpha) {
    if (activation == DK_SELU) return 1.76;
    return fmax(1.2, fabs(alpha));
}

/* The error of g′(ẑ), without that of its evaluation: sup |g″|·E_z, or a jump at a kink. */
static double g_prime_change(const dki_ref_layer *layer, double z, double z_error) {
    return dki_ref_g_curvature(layer->activation, layer->alpha) * z_error +
           dki_ref_g_prime_jump(layer->activation, layer->alpha, z, z_error);
}

/* The magnitude that an evaluation of g errs by a part of. The GELUs may take 1 + erf or 1 + tanh
 * where these cancel, so their error is a part of |z|. */
static double g_magnitude(const dki_ref_layer *layer, double z) {
    if (layer->activation == DK_GELU || layer->activation == DK_GELU_TANH) return fabs(z);
    return fabs(dki_ref_g(layer->activation, layer->alpha, z));
}

/* Tensor cores add the products of a block with a few bits more than fp32 and cut the rest off,
 * instead of rounding (Fasi et al., "Numerical behavior of NVIDIA tensor cores", PeerJ CS 2021): four
 * times fp32's u allows for that. TF32 cuts both factors of a product to 11 bits, which a single
 * narrower storage of 2·2⁻¹⁰ covers. */
dki_ref_precision dki_ref_precision_of(dk_precision precision) {
    switch (precision) {
    case DK_TF32:
        return (dki_ref_precision){0x1p-22, 0x1p-9, 0x1p-126};
    case DK_BF16:
        return (dki_ref_precision){0x1p-22, 0x1p-8, 0x1p-126};
    case DK_FP16:
        return (dki_ref_precision){0x1p-22, 0x1p-11, 0x1p-25};
    case DK_FP32:
    default:
        return (dki_ref_precision)DKI_REF_FP32;
    }
}

/* --- forward -------------------------------------------------------------------------------- */

/* z_j of one row: n + 1 terms are added, inputs err by E_a, stored numbers by `storage`: W, b, and
 * the product, where that is stored before b is added. */
static double z_bound(const dki_ref_layer *layer, const double *a, const double *a_error, int64_t j,
                      double z, dki_ref_precision precision) {
    const double *W = layer->W + j * layer->inputs;
    double magnitude = fabs(layer->b[j]), carried = 0, s = precision.storage;
    for (int64_t i = 0; i < layer->inputs; i++) {
        double w = fabs(W[i]), largest = fabs(a[i]) + a_error[i];
        magnitude += w * (1 + s) * largest;
        carried += w * (a_error[i] + s * largest) + (s > 0 ? precision.tiny * largest : 0);
    }
    double terms = (double)layer->inputs + 1;
    double error = dki_ref_gamma(terms, precision.unit) * magnitude + carried + s * magnitude;
    return error + s * (fabs(z) + error) + terms * DKI_REF_UNDERFLOW + 3 * precision.tiny;
}

/* a_j = g(ẑ_j)·dropout: the mean value theorem over [z − E_z, z + E_z]. */
static double a_bound(const dki_ref_layer *layer, int64_t at, double z, double z_error,
                      dki_ref_precision precision) {
    double u = precision.unit, d = dropout(layer, at);
    double steepest = fabs(dki_ref_g_prime(layer->activation, layer->alpha, z)) +
                      g_prime_change(layer, z, z_error);
    double carried = steepest * z_error;
    double own = layer->activation == DK_IDENTITY
                     ? 0
                     : dki_ref_gamma(G_ULPS, u) * (g_magnitude(layer, z) + carried);
    double largest = fabs(dki_ref_g(layer->activation, layer->alpha, z)) + carried + own;
    double error = (carried + own) * d + (layer->dropout_scale ? 3 * u * d * largest : 0);
    return error + precision.storage * (largest * d + error) + precision.tiny;
}

static void forward_bounds(const dki_ref_net *net, const dki_ref_tensors *pass,
                           dki_ref_precision precision, dki_ref_tensors *bounds) {
    for (int64_t i = 0; i < pass->rows * net->layers[0].inputs; i++)
        bounds->a[0][i] =
            precision.storage * fabs(pass->a[0][i]) + (precision.storage > 0 ? precision.tiny : 0);
    for (size_t k = 1; k <= net->layer_count; k++) {
        const dki_ref_layer *layer = &net->layers[k - 1];
        for (int64_t row = 0; row < pass->rows; row++) {
            int64_t in = row * layer->inputs;
            for (int64_t j = 0; j < layer->width; j++) {
                int64_t at = row * layer->width + j;
                double z = pass->z[k][at];
                bounds->z[k][at] =
                    z_bound(layer, pass->a[k - 1] + in, bounds->a[k - 1] + in, j, z, precision);
                bounds->a[k][at] = a_bound(layer, at, z, bounds->z[k][at], precision);
            }
        }
    }
}

/* --- backward ------------------------------------------------------------------------------- */

/* δ = s·g′(ẑ)·dropout, where s errs by s_error. */
static double delta_bound(const dki_ref_layer *layer, int64_t at, double z, double z_error,
                          double s, double s_error, dki_ref_precision precision) {
    double d = dropout(layer, at);
    double slope = fabs(dki_ref_g_prime(layer->activation, layer->alpha, z));
    double slope_error = g_prime_change(layer, z, z_error);
    if (layer->activation != DK_IDENTITY)
        slope_error += dki_ref_gamma(G_PRIME_ULPS, precision.unit) *
                       dki_ref_g_prime_scale(layer->activation, layer->alpha);
    double error = s_error * (slope + slope_error) + fabs(s) * slope_error;
    double largest = (fabs(s) + s_error) * (slope + slope_error);
    error = d * (error + dki_ref_gamma(4, precision.unit) * largest);
    return error + precision.storage * (d * largest + error) + precision.tiny;
}

/* s_j = Σ_i W_ij^(k+1) δ_i^(k+1) of one row, which may be stored before g′ is applied; returns its
 * bound. */
static double carried_bound(const dki_ref_layer *next, const double *delta, const double *error,
                            int64_t j, dki_ref_precision precision, double *s) {
    double magnitude = 0, carried = 0;
    *s = 0;
    for (int64_t i = 0; i < next->width; i++) {
        double w = next->W[i * next->inputs + j], largest = fabs(delta[i]) + error[i];
        *s += w * delta[i];
        magnitude += fabs(w) * (1 + precision.storage) * largest;
        carried += fabs(w) * (error[i] + precision.storage * largest) +
                   (precision.storage > 0 ? precision.tiny * largest : 0);
    }
    double terms = (double)next->width;
    double sum = dki_ref_gamma(terms, precision.unit) * magnitude + carried;
    return sum + precision.storage * (fabs(*s) + sum) + terms * DKI_REF_UNDERFLOW + precision.tiny;
}

static void hidden_delta_bounds(const dki_ref_net *net, const dki_ref_tensors *pass,
                                dki_ref_precision precision, dki_ref_tensors *bounds) {
    for (size_t k = net->layer_count; k-- > 0;) {
        const dki_ref_layer *next = &net->layers[k];
        for (int64_t row = 0; row < pass->rows; row++)
            for (int64_t j = 0; j < next->inputs; j++) {
                int64_t at = row * next->inputs + j, from = row * next->width;
                double s, error = carried_bound(next, pass->delta[k + 1] + from,
                                                bounds->delta[k + 1] + from, j, precision, &s);
                bounds->delta[k][at] = k == 0 ? error + precision.storage * (fabs(s) + error)
                                              : delta_bound(&net->layers[k - 1], at, pass->z[k][at],
                                                            bounds->z[k][at], s, error, precision);
            }
    }
}

/* dW_ji = Σ_rows δ_j a_i and db_j = Σ_rows δ_j. */
static void gradient_bounds(const dki_ref_net *net, const dki_ref_tensors *pass,
                            dki_ref_precision precision, dki_ref_tensors *bounds) {
    double rows = (double)pass->rows, gamma = dki_ref_gamma(rows, precision.unit);
    for (size_t k = 1; k <= net->layer_count; k++) {
        const dki_ref_layer *layer = &net->layers[k - 1];
        for (int64_t j = 0; j < layer->width; j++) {
            double sum = 0;
            for (int64_t row = 0; row < pass->rows; row++) {
                double error = bounds->delta[k][row * layer->width + j];
                sum += error + gamma * (fabs(pass->delta[k][row * layer->width + j]) + error);
            }
            bounds->db[k][j] = sum;
            for (int64_t i = 0; i < layer->inputs; i++) {
                sum = rows * DKI_REF_UNDERFLOW;
                for (int64_t row = 0; row < pass->rows; row++) {
                    int64_t at = row * layer->width + j, in = row * layer->inputs + i;
                    double delta = fabs(pass->delta[k][at]), delta_error = bounds->delta[k][at];
                    double a = fabs(pass->a[k - 1][in]), a_error = bounds->a[k - 1][in];
                    sum += delta * a_error + a * delta_error + delta_error * a_error;
                    sum += gamma * (delta + delta_error) * (a + a_error);
                }
                bounds->dW[k][j * layer->inputs + i] = sum;
            }
        }
    }
}

/* The loss and δ^(L). Each ∂l/∂a takes at most 4 roundings more on its way to a part of the mean:
 * the share itself (made in double), and the products with it. */
static void last_layer_bounds(const dki_ref_net *net, const dki_ref_batch *batch,
                              const double *dl_da, const dki_ref_tensors *pass,
                              dki_ref_precision precision, dki_ref_tensors *bounds) {
    size_t last = net->layer_count;
    const dki_ref_layer *layer = &net->layers[last - 1];
    int64_t n = layer->width;
    double u = precision.unit, magnitude = 0;
    double total = dl_da ? 1 : dki_ref_total_weight(net, batch);
    bounds->loss = 0;
    for (int64_t row = 0; row < pass->rows; row++) {
        const double *a_error = bounds->a[last] + row * n;
        double *error = bounds->delta[last] + row * n, share = 1;
        dki_ref_sample sample = {0};
        if (!dl_da) {
            sample = dki_ref_sample_of(net, batch, row, pass->a[last] + row * n);
            share = dki_ref_share(batch, total, row);
            bounds->loss += share * dki_ref_loss_error(&sample, a_error, u, error);
            magnitude += share * dki_ref_sample_loss(&sample);
        }
        for (int64_t j = 0; j < n; j++) {
            int64_t at = row * n + j;
            double s = 0, s_error = 0;
            if (dl_da) {
                s = dl_da[at];
            } else {
                s = share * dki_ref_sample_gradient(&sample, j);
                s_error = share * error[j];
                s_error += dki_ref_gamma(4, u) * (fabs(s) + s_error);
            }
            error[j] = delta_bound(layer, at, pass->z[last][at], bounds->z[last][at], s, s_error,
                                   precision);
        }
    }
    double terms = (double)pass->rows * (double)n + 8;
    bounds->loss += dki_ref_gamma(terms, u) * (magnitude + bounds->loss) + DKI_REF_UNDERFLOW;
}

dk_status dki_ref_bounds(const dki_ref_net *net, const dki_ref_batch *batch, const double *dl_da,
                         const dki_ref_tensors *pass, dki_ref_precision precision,
                         dki_ref_tensors *bounds) {
    if (!dl_da) DKI_TRY(dki_ref_batch_check(net, batch));
    forward_bounds(net, pass, precision, bounds);
    last_layer_bounds(net, batch, dl_da, pass, precision, bounds);
    hidden_delta_bounds(net, pass, precision, bounds);
    gradient_bounds(net, pass, precision, bounds);
    return DK_OK;
}
