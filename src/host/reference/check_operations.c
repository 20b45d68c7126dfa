/* Each quantity that the device computed, against the reference's own pass and against the
 * reference's operation on the device's operands. */
#include "reference/bounds.h"
#include "reference/check.h"

#include <math.h>

static double largest_of(const double *values, int64_t count) {
    double largest = 0.0;
    for (int64_t i = 0; i < count; ++i) largest = fmax(largest, fabs(values[i]));
    return largest > 0.0 ? largest : 1.0;
}

void dki_check_add(dki_check *c, dk_check_row row) {
    if (c->count < c->capacity) c->out[c->count] = row;
    ++c->count;
}

/* Where a quantity's reference values and bounds are. */
typedef struct {
    const double *r, *bound;
} expectation;

static void compare(dki_check *c, const char *quantity, size_t layer, int64_t count,
                    const float *values, expectation end_to_end, expectation operation) {
    double scale = largest_of(end_to_end.r, count);
    dki_ref_comparison whole = dki_ref_compare(count, values, end_to_end.r, end_to_end.bound);
    dki_ref_comparison local = dki_ref_compare(count, values, operation.r, operation.bound);
    dki_check_add(c,
                  (dk_check_row){quantity, layer, whole.error / scale, local.error / scale,
                                 local.bound / scale, local.worst, local.within && whole.within});
}

/* A tensor as the device has it, and the same as doubles. The caller releases both. */
static dk_status read_tensor(dki_check *c, dk_tensor tensor, size_t layer, int64_t count,
                             float **values, double **exact) {
    *values = NULL;
    *exact = NULL;
    dk_status status = dki_new(c->allocator, values, (size_t)count, "a tensor to be checked");
    if (!status) status = dki_new(c->allocator, exact, (size_t)count, "a tensor to be checked");
    if (!status)
        status =
            dk_session_read(dk_trainer_session(c->trainer), tensor, layer, *values, (size_t)count);
    for (int64_t i = 0; i < count && !status; ++i) (*exact)[i] = (double)(*values)[i];
    return status;
}

/* Reads and compares one tensor. */
static dk_status compare_tensor(dki_check *c, dk_tensor tensor, size_t layer, int64_t count,
                                expectation end_to_end, expectation operation) {
    float *values = NULL;
    double *exact = NULL;
    dk_status status = read_tensor(c, tensor, layer, count, &values, &exact);
    if (!status) compare(c, dk_tensor_name(tensor), layer, count, values, end_to_end, operation);
    dki_release(c->allocator, exact);
    dki_release(c->allocator, values);
    return status;
}

/* A network of one layer, and what the reference makes of it. */
typedef struct {
    dki_ref_layer layer;
    dki_ref_net net;
    dki_ref_batch batch;
    dki_ref_tensors pass, bounds;
} operation;

static void release_operation(operation *o) {
    dki_ref_destroy(&o->bounds);
    dki_ref_destroy(&o->pass);
}

/* Forward of layer k from the device's a⁽ᵏ⁻¹⁾; in the last layer with the loss and δ⁽ᴸ⁾. */
static dk_status run_forward(dki_check *c, size_t k, const double *a_in, operation *o) {
    bool last = k == c->desc.layer_count;
    o->layer = c->layers[k - 1];
    o->net = (dki_ref_net){&o->layer, 1, c->ref_net.loss};
    o->batch = c->ref_batch;
    o->batch.x = a_in;
    DKI_TRY(dki_ref_create(&o->pass, c->allocator, &o->net, c->rows));
    DKI_TRY(dki_ref_create(&o->bounds, c->allocator, &o->net, c->rows));
    dki_ref_forward(&o->net, &o->batch, &o->pass);
    if (last) {
        DKI_TRY(dki_ref_backward(&o->net, &o->batch, &o->pass));
        return dki_ref_bounds(&o->net, &o->batch, NULL, &o->pass, c->precision, &o->bounds);
    }
    /* Any ∂l/∂a will do: only z and a are looked at. */
    const double *none = o->pass.delta[1];
    return dki_ref_bounds(&o->net, &o->batch, none, &o->pass, c->precision, &o->bounds);
}

/* The three products of layer k's backward pass from the device's δ⁽ᵏ⁾ and a⁽ᵏ⁻¹⁾: with g the
 * identity, ∂l/∂a is δ. */
static dk_status run_backward(dki_check *c, size_t k, const double *a_in, const double *delta,
                              operation *o) {
    o->layer = c->layers[k - 1];
    o->layer.activation = DK_IDENTITY;
    o->layer.dropout_scale = NULL;
    o->net = (dki_ref_net){&o->layer, 1, c->ref_net.loss};
    o->batch = (dki_ref_batch){.rows = c->rows, .x = a_in};
    DKI_TRY(dki_ref_create(&o->pass, c->allocator, &o->net, c->rows));
    DKI_TRY(dki_ref_create(&o->bounds, c->allocator, &o->net, c->rows));
    dki_ref_forward(&o->net, &o->batch, &o->pass);
    dki_ref_backward_given(&o->net, delta, &o->pass);
    return dki_ref_bounds(&o->net, &o->batch, delta, &o->pass, c->precision, &o->bounds);
}

static dk_status compare_forward(dki_check *c, size_t k, const operation *o) {
    int64_t count = c->rows * o->layer.width;
    DKI_TRY(compare_tensor(c, DK_Z, k, count, (expectation){c->pass.z[k], c->bounds.z[k]},
                           (expectation){o->pass.z[1], o->bounds.z[1]}));
    DKI_TRY(compare_tensor(c, DK_A, k, count, (expectation){c->pass.a[k], c->bounds.a[k]},
                           (expectation){o->pass.a[1], o->bounds.a[1]}));
    if (k < c->desc.layer_count) return DK_OK;
    /* The loss comes back as a double; its bound is that of an fp32 value. */
    float loss = (float)c->loss;
    double slack = fabs(c->loss - (double)loss);
    double whole = c->bounds.loss + slack, local = o->bounds.loss + slack;
    compare(c, "loss", 0, 1, &loss, (expectation){&c->pass.loss, &whole},
            (expectation){&o->pass.loss, &local});
    return compare_tensor(c, DK_DELTA, k, count,
                          (expectation){c->pass.delta[k], c->bounds.delta[k]},
                          (expectation){o->pass.delta[1], o->bounds.delta[1]});
}

/* Forward of every layer, in order. */
dk_status dki_check_forwards(dki_check *c) {
    for (size_t k = 1; k <= c->desc.layer_count; ++k) {
        float *values = NULL;
        double *a_in = NULL;
        operation o = {0};
        dk_status status =
            read_tensor(c, DK_A, k - 1, c->rows * c->layers[k - 1].inputs, &values, &a_in);
        if (!status) status = run_forward(c, k, a_in, &o);
        if (!status) status = compare_forward(c, k, &o);
        release_operation(&o);
        dki_release(c->allocator, a_in);
        dki_release(c->allocator, values);
        if (status) return status;
    }
    return DK_OK;
}

/* δ⁽ᵏ⁻¹⁾ = (δ⁽ᵏ⁾ W⁽ᵏ⁾) ⊙ g′(z⁽ᵏ⁻¹⁾) ⊙ dropout from the device's z, over o's ∂l/∂a⁽ᵏ⁻¹⁾ and its
 * bounds. g′ has an error of 24u times its scale (docs/numerics.md); two roundings follow, and that
 * of storing. */
static dk_status apply_derivative(dki_check *c, size_t k, operation *o) {
    const dki_ref_layer *below = &c->layers[k - 2];
    int64_t count = c->rows * below->width;
    const double unit = c->precision.unit;
    float *values = NULL;
    double *z = NULL;
    dk_status status = read_tensor(c, DK_Z, k - 1, count, &values, &z);
    for (int64_t i = 0; i < count && !status; ++i) {
        double mask = below->dropout_scale ? below->dropout_scale[i] : 1.0;
        double slope = dki_ref_g_prime(below->activation, below->alpha, z[i]) * mask;
        double product = o->pass.delta[0][i], carried = o->bounds.delta[0][i];
        double slope_error = DKI_REF_G_PRIME_ULPS * unit * mask *
                             dki_ref_g_prime_scale(below->activation, below->alpha);
        o->pass.delta[0][i] = product * slope;
        double error = (fabs(slope) + slope_error) * carried +
                       fabs(product) * (slope_error + 2.0 * unit * fabs(slope));
        o->bounds.delta[0][i] = error + c->precision.storage * (fabs(product * slope) + error) +
                                (c->precision.storage > 0.0 ? c->precision.tiny : 0.0);
    }
    dki_release(c->allocator, z);
    dki_release(c->allocator, values);
    return status;
}

static dk_status compare_backward(dki_check *c, size_t k, operation *o) {
    int64_t weights = o->layer.width * o->layer.inputs;
    if (!c->desc.layers[k - 1].frozen) {
        DKI_TRY(compare_tensor(c, DK_WEIGHT_GRAD, k, weights,
                               (expectation){c->pass.dW[k], c->bounds.dW[k]},
                               (expectation){o->pass.dW[1], o->bounds.dW[1]}));
        DKI_TRY(compare_tensor(c, DK_BIAS_GRAD, k, o->layer.width,
                               (expectation){c->pass.db[k], c->bounds.db[k]},
                               (expectation){o->pass.db[1], o->bounds.db[1]}));
    }
    if (k == 1) return DK_OK;
    DKI_TRY(apply_derivative(c, k, o));
    return compare_tensor(c, DK_DELTA, k - 1, c->rows * o->layer.inputs,
                          (expectation){c->pass.delta[k - 1], c->bounds.delta[k - 1]},
                          (expectation){o->pass.delta[0], o->bounds.delta[0]});
}

/* Backward of every layer, in order. */
dk_status dki_check_backwards(dki_check *c) {
    for (size_t k = c->desc.layer_count; k >= 1; --k) {
        const dki_ref_layer *layer = &c->layers[k - 1];
        float *values[2] = {NULL, NULL};
        double *a_in = NULL, *delta = NULL;
        operation o = {0};
        dk_status status = read_tensor(c, DK_A, k - 1, c->rows * layer->inputs, &values[0], &a_in);
        if (!status)
            status = read_tensor(c, DK_DELTA, k, c->rows * layer->width, &values[1], &delta);
        if (!status) status = run_backward(c, k, a_in, delta, &o);
        if (!status) status = compare_backward(c, k, &o);
        release_operation(&o);
        dki_release(c->allocator, delta);
        dki_release(c->allocator, a_in);
        dki_release(c->allocator, values[1]);
        dki_release(c->allocator, values[0]);
        if (status) return status;
    }
    return DK_OK;
}
