/* dk_check: one training step on the context's device, compared with the reference, layer by layer.
 * The device runs the very step that training runs, with everything kept; what it computed is read
 * back through the public functions, and compared twice:
 *
 * - end to end, with the reference's own pass. Its error bound grows from layer to layer, and jumps
 *   where a ReLU may have fallen on the other side, so it says little about deep networks;
 * - operation by operation: the reference computes each quantity from the operands that the device
 *   had, so that the bound is that of one operation. This is what finds a mistake. */
#include "reference/check.h"

#include "base/arithmetic.h"
#include "kernels/philox.h"
#include "kernels/scalar.h"
#include "reference/check_update.h"

#include <math.h>

/* A piece of an arena, moving along. */
static double *take(double **arena, int64_t count) {
    double *piece = *arena;
    *arena += count;
    return piece;
}

static size_t parameter_total(const dki_check *c) {
    size_t total = 0;
    for (size_t k = 0; k < c->desc.layer_count; ++k) {
        const dki_place *place = &c->net->layout.places[k];
        total += (size_t)(place->width * (place->inputs + 1));
    }
    return total;
}

static size_t mask_total(const dki_check *c) {
    size_t total = 0;
    for (size_t k = 0; k < c->desc.layer_count; ++k)
        if (c->desc.layers[k].dropout > 0.0f) total += (size_t)(c->rows * c->desc.layers[k].width);
    return total;
}

/* The dropout factors of a layer at tick 1: the random words are the definition, so both sides use
 * them. */
static void fill_mask(const dki_check *c, size_t k, double *mask) {
    const dk_layer *layer = &c->desc.layers[k];
    uint32_t threshold = dki_dropout_threshold(layer->dropout);
    for (int64_t i = 0; i < c->rows; ++i)
        for (int64_t j = 0; j < layer->width; ++j) {
            uint32_t word = dki_random_word(c->trainer->options.seed, DKI_FOR_DROPOUT,
                                            (uint32_t)k + 1, 1, (uint32_t)i, (uint64_t)j);
            mask[i * layer->width + j] =
                (double)dki_dropout_scale(word, threshold, dki_dropout_keep_scale(layer->dropout));
        }
}

/* Reads W and b of a layer as doubles. */
static dk_status read_parameters(const dki_check *c, size_t k, double *w, double *b) {
    const dki_place *place = &c->net->layout.places[k];
    size_t weights = (size_t)(place->width * place->inputs);
    float *values = NULL;
    DKI_TRY(dki_new(c->allocator, &values, weights, "parameters to be checked"));
    dk_status status = dk_net_get(c->net, DK_WEIGHT, k + 1, values, weights);
    for (size_t i = 0; i < weights && !status; ++i) w[i] = (double)values[i];
    if (!status) status = dk_net_get(c->net, DK_BIAS, k + 1, values, (size_t)place->width);
    for (int64_t i = 0; i < place->width && !status; ++i) b[i] = (double)values[i];
    dki_release(c->allocator, values);
    return status;
}

/* Biases start at 0, which would hide a mistake with b. */
static dk_status randomise_biases(const dki_check *c) {
    for (size_t k = 0; k < c->desc.layer_count; ++k) {
        int64_t width = c->desc.layers[k].width;
        float *values = NULL;
        DKI_TRY(dki_new(c->allocator, &values, (size_t)width, "biases"));
        for (int64_t j = 0; j < width; ++j)
            values[j] = 0.5f * dki_uniform(dki_random_word(c->desc.seed, DKI_FOR_SYNTH,
                                                           (uint32_t)k + 1, 1, 0, (uint64_t)j));
        dk_status status = dk_net_set(c->net, DK_BIAS, k + 1, values, (size_t)width);
        dki_release(c->allocator, values);
        if (status) return status;
    }
    return DK_OK;
}

/* Gaussian features; labels, or targets in (0, 1) for the cross-entropy and Gaussian ones
 * otherwise. */
static void fill_batch(dki_check *c) {
    bool softmax = c->desc.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    bool unit = c->desc.loss == DK_LOSS_SIGMOID_CROSS_ENTROPY;
    for (int64_t i = 0; i < c->rows; ++i) {
        for (int64_t j = 0; j < c->desc.inputs; ++j)
            c->x[i * c->desc.inputs + j] = dki_normal(
                dki_random_word(c->desc.seed, DKI_FOR_SYNTH, 0, 2, (uint32_t)i, (uint64_t)j));
        for (int64_t j = 0; j < c->outputs; ++j) {
            uint32_t word =
                dki_random_word(c->desc.seed, DKI_FOR_SYNTH, 0, 3, (uint32_t)i, (uint64_t)j);
            if (j == 0) c->labels[i] = (int32_t)(word % (uint64_t)c->outputs);
            c->targets[i * c->outputs + j] =
                unit ? 0.5f + 0.5f * dki_uniform(word) : dki_normal(word);
        }
    }
    c->ref_batch = (dki_ref_batch){.rows = c->rows, .x = c->ref_x};
    if (softmax)
        c->ref_batch.labels = c->labels;
    else
        c->ref_batch.targets = c->ref_targets;
    for (int64_t i = 0; i < c->rows * c->desc.inputs; ++i) c->ref_x[i] = (double)c->x[i];
    for (int64_t i = 0; i < c->rows * c->outputs; ++i) c->ref_targets[i] = (double)c->targets[i];
}

/* Memory for the batch, and the reference's own copy of the parameters and masks. */
static dk_status prepare(dki_check *c) {
    size_t count = c->desc.layer_count, batch = (size_t)(c->rows * (c->desc.inputs + c->outputs));
    size_t doubles = batch + parameter_total(c) + mask_total(c) + (size_t)c->outputs;
    double *arena = NULL;
    DKI_TRY(dki_alloc(c->allocator, doubles, sizeof(double), "the check", &c->doubles));
    DKI_TRY(
        dki_alloc(c->allocator, batch + (size_t)c->rows, sizeof(float), "the check", &c->floats));
    DKI_TRY(dki_new(c->allocator, &c->layers, count, "the check"));
    DKI_TRY(dki_new(c->allocator, &c->parameters, 2 * count, "the check"));
    c->x = c->floats;
    c->targets = c->x + c->rows * c->desc.inputs;
    c->labels = (int32_t *)(void *)(c->targets + c->rows * c->outputs);
    arena = c->doubles;
    c->ref_x = take(&arena, c->rows * c->desc.inputs);
    c->ref_targets = take(&arena, c->rows * c->outputs);
    for (size_t k = 0; k < count; ++k) {
        const dki_place *place = &c->net->layout.places[k];
        const dk_layer *layer = &c->desc.layers[k];
        double *w = take(&arena, place->width * place->inputs), *b = take(&arena, place->width);
        double *mask = NULL;
        if (layer->dropout > 0.0f) {
            mask = take(&arena, c->rows * layer->width);
            fill_mask(c, k, mask);
        }
        DKI_TRY(read_parameters(c, k, w, b));
        c->parameters[2 * k] = w;
        c->parameters[2 * k + 1] = b;
        c->layers[k] = (dki_ref_layer){
            place->inputs, place->width, layer->activation, (double)layer->alpha, w, b, mask};
    }
    double *class_weights = NULL;
    if (c->desc.class_weights) {
        class_weights = take(&arena, c->outputs);
        for (int64_t j = 0; j < c->outputs; ++j)
            class_weights[j] = (double)c->desc.class_weights[j];
    }
    c->ref_net = (dki_ref_net){c->layers,
                               count,
                               {c->desc.loss, (double)c->desc.huber_delta,
                                (double)c->desc.label_smoothing, class_weights}};
    fill_batch(c);
    return DK_OK;
}

static dk_status compare_updates(dki_check *c) {
    double factor = 1.0;
    DKI_TRY(dki_check_clip_factor(c->trainer, &factor));
    for (size_t k = 1; k <= c->desc.layer_count; ++k) {
        dki_ref_comparison comparison;
        double largest = 0.0;
        if (c->desc.layers[k - 1].frozen) continue;
        DKI_TRY(dki_check_update(c->trainer, c->parameters, k, factor, &comparison, &largest));
        double scale = largest > 0.0 ? largest : 1.0, error = comparison.error / scale;
        dki_check_add(c, (dk_check_row){"update", k, error, error, comparison.bound / scale,
                                        comparison.worst, comparison.within});
    }
    return DK_OK;
}

/* The step itself, on both sides. */
static dk_status run(dki_check *c) {
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = c->rows;
    batch.x = c->x;
    batch.labels = c->ref_batch.labels;
    batch.targets = c->ref_batch.targets ? c->targets : NULL;
    DKI_TRY(dk_trainer_step(c->trainer, &batch, &c->loss));
    DKI_TRY(dki_ref_create(&c->pass, c->allocator, &c->ref_net, c->rows));
    DKI_TRY(dki_ref_create(&c->bounds, c->allocator, &c->ref_net, c->rows));
    dki_ref_forward(&c->ref_net, &c->ref_batch, &c->pass);
    DKI_TRY(dki_ref_backward(&c->ref_net, &c->ref_batch, &c->pass));
    DKI_TRY(dki_ref_bounds(&c->ref_net, &c->ref_batch, NULL, &c->pass, c->precision, &c->bounds));
    DKI_TRY(dki_check_forwards(c));
    DKI_TRY(dki_check_backwards(c));
    return compare_updates(c);
}

/* What is checked is the arithmetic, not the search for a scale: one that hardly overflows, so that
 * the update is applied. */
static dk_status settle_loss_scale(const dki_check *c) {
    const float scale = 256.0f;
    dki_backend *backend = c->net->context->backend;
    if (!backend->loss_scaling) return DK_OK;
    return backend->ops->upload(backend, DKI_LANE_MAIN,
                                &c->trainer->session->tensors.state->loss_scale, &scale,
                                sizeof scale);
}

static dk_status open_check(dki_check *c, dk_context *context, const dk_net_desc *desc,
                            const dk_train_options *options) {
    dk_train_options kept;
    DKI_TRY(dk_net_validate(desc));
    DKI_TRY(dki_train_options_resolve(options, desc, &kept));
    kept.keep = DK_KEEP_ALL;
    kept.fuse_update = false; /* dW is compared */
    if (kept.total_steps == 0) kept.schedule = DK_SCHEDULE_CONSTANT;
    DKI_TRY(dk_net_create(&c->net, context, desc));
    DKI_TRY(dk_trainer_create(&c->trainer, c->net, &kept));
    DKI_TRY(dk_net_describe(c->net, &c->desc));
    c->allocator = &context->allocator;
    c->rows = kept.batch;
    c->precision = dki_ref_precision_of(context->precision);
    c->outputs = dki_net_outputs(c->net);
    DKI_TRY(randomise_biases(c));
    DKI_TRY(settle_loss_scale(c));
    return prepare(c);
}

dk_status dk_check(dk_context *context, const dk_net_desc *desc, const dk_train_options *options,
                   dk_check_row *rows, size_t capacity, size_t *count) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(context && count && (rows || capacity == 0), DK_E_ARGUMENT,
                "dk_check: a NULL argument");
    dki_check c = {.allocator = &context->allocator, .out = rows, .capacity = capacity};
    dk_status status = open_check(&c, context, desc, options);
    if (!status) status = run(&c);
    *count = c.count;
    dki_ref_destroy(&c.bounds);
    dki_ref_destroy(&c.pass);
    dki_release(c.allocator, c.parameters);
    dki_release(c.allocator, c.layers);
    dki_release(c.allocator, c.floats);
    dki_release(c.allocator, c.doubles);
    dk_trainer_destroy(c.trainer);
    dk_net_destroy(c.net);
    return status;
}
