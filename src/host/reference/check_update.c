#include "reference/check_update.h"

#include <math.h>

static const double FP32_UNIT = 0x1p-24;

/* The arrays of one tensor's update. */
typedef struct {
    size_t count;
    float *gradient, *after;
    double *theta, *g, *g_error, *m, *v, *bounds;
    void *memory[2];
} arrays;

static void release(const dk_allocator *allocator, arrays *a) {
    dki_release(allocator, a->memory[0]);
    dki_release(allocator, a->memory[1]);
}

static dk_status allocate(const dk_allocator *allocator, size_t count, arrays *a) {
    *a = (arrays){.count = count};
    DKI_TRY(dki_alloc(allocator, 2 * count, sizeof(float), "an update's check", &a->memory[0]));
    DKI_TRY(dki_alloc(allocator, 6 * count, sizeof(double), "an update's check", &a->memory[1]));
    a->gradient = a->memory[0];
    a->after = a->gradient + count;
    a->theta = a->memory[1];
    a->g = a->theta + count;
    a->g_error = a->g + count;
    a->m = a->g_error + count;
    a->v = a->m + count;
    a->bounds = a->v + count;
    return DK_OK;
}

static size_t tensor_count(const dk_net *net, size_t layer, bool bias) {
    const dki_place *place = &net->layout.places[layer - 1];
    return (size_t)place->width * (bias ? 1 : (size_t)place->inputs);
}

dk_status dki_check_clip_factor(dk_trainer *trainer, double *factor) {
    const dk_net *net = trainer->net;
    double sum = 0.0;
    *factor = 1.0;
    if (trainer->options.clip_norm <= 0.0) return DK_OK;
    for (size_t k = 1; k <= net->desc.layer_count; ++k)
        for (int bias = 0; bias < 2 && !net->layers[k - 1].frozen; ++bias) {
            arrays a;
            dk_tensor tensor = bias ? DK_BIAS_GRAD : DK_WEIGHT_GRAD;
            dk_status status = allocate(&net->context->allocator, tensor_count(net, k, bias), &a);
            if (!status) status = dk_session_read(trainer->session, tensor, k, a.gradient, a.count);
            for (size_t i = 0; i < a.count && !status; ++i)
                sum += (double)a.gradient[i] * (double)a.gradient[i];
            release(&net->context->allocator, &a);
            if (status) return status;
        }
    *factor = fmin(1.0, trainer->options.clip_norm / (sqrt(sum) + 1e-6));
    return DK_OK;
}

static dki_ref_rule reference_rule(const dk_trainer *trainer, bool bias) {
    const dk_train_options *o = &trainer->options;
    return (dki_ref_rule){.optimizer = o->optimizer,
                          .lr = dki_trainer_rate(trainer),
                          .beta1 = o->beta1,
                          .beta2 = o->beta2,
                          .epsilon = o->epsilon,
                          .weight_decay = bias && !o->decay_biases ? 0.0 : o->weight_decay,
                          .decoupled = o->decay == DK_DECAY_DECOUPLED,
                          .t = 1};
}

/* One tensor: the slots start at 0, so the reference needs nothing but θ and g. */
static dk_status compare_tensor(dk_trainer *trainer, const double *before, size_t layer, bool bias,
                                double factor, arrays *a, dki_ref_comparison *comparison) {
    dki_ref_rule rule = reference_rule(trainer, bias);
    double limit = trainer->options.clip_value;
    DKI_TRY(dk_session_read(trainer->session, bias ? DK_BIAS_GRAD : DK_WEIGHT_GRAD, layer,
                            a->gradient, a->count));
    DKI_TRY(dk_net_get(trainer->net, bias ? DK_BIAS : DK_WEIGHT, layer, a->after, a->count));
    for (size_t i = 0; i < a->count; ++i) {
        a->theta[i] = before[i];
        a->g[i] = (double)a->gradient[i] * factor;
        /* The factor and its product with g are rounded. */
        a->g_error[i] = factor < 1.0 ? 3.0 * FP32_UNIT * fabs(a->g[i]) : 0.0;
    }
    if (limit > 0.0) dki_ref_clip_value(a->g, (int64_t)a->count, limit);
    dki_ref_update_bounds(&rule, (int64_t)a->count, a->theta, a->g, a->g_error, a->m, a->v,
                          FP32_UNIT, a->bounds);
    dki_ref_update(&rule, (int64_t)a->count, a->theta, a->g, a->m, a->v);
    *comparison = dki_ref_compare((int64_t)a->count, a->after, a->theta, a->bounds);
    return DK_OK;
}

dk_status dki_check_update(dk_trainer *trainer, double *const *before, size_t layer, double factor,
                           dki_ref_comparison *comparison, double *largest) {
    const dk_allocator *allocator = &trainer->net->context->allocator;
    *comparison = (dki_ref_comparison){.within = true};
    *largest = 0.0;
    for (int bias = 0; bias < 2; ++bias) {
        arrays a;
        dki_ref_comparison one;
        dk_status status = allocate(allocator, tensor_count(trainer->net, layer, bias), &a);
        if (!status)
            status = compare_tensor(trainer, before[2 * (layer - 1) + (size_t)bias], layer, bias,
                                    factor, &a, &one);
        for (size_t i = 0; i < a.count && !status; ++i) *largest = fmax(*largest, fabs(a.theta[i]));
        release(allocator, &a);
        if (status) return status;
        comparison->error = fmax(comparison->error, one.error);
        comparison->bound = fmax(comparison->bound, one.bound);
        comparison->worst = fmax(comparison->worst, one.worst);
        comparison->within = comparison->within && one.within;
    }
    return DK_OK;
}
