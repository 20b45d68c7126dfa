/* What a network learns of its training set before training: scaling and class names. */
#include "data/dataset.h"
#include "model/net.h"

#include <math.h>
#include <string.h>

static void release_names(const dk_allocator *allocator, char **names, size_t count) {
    for (size_t c = 0; c < count; ++c) dki_release(allocator, names[c]);
    dki_release(allocator, names);
}

/* Copies of names [count]; NULL on failure. */
static dk_status copy_names(const dk_allocator *allocator, const char *const *names, size_t count,
                            char ***copies) {
    DKI_TRY(dki_new(allocator, copies, count, "class names"));
    dk_status status = DK_OK;
    for (size_t c = 0; c < count && !status; ++c)
        status = dki_copy_text(allocator, names[c], &(*copies)[c]);
    if (!status) return DK_OK;
    release_names(allocator, *copies, count);
    *copies = NULL;
    return status;
}

/* Only a network with names has surely got as far as its layers, which tell how many there are. */
static void replace_names(dk_net *net, char **names) {
    if (net->class_names)
        release_names(&net->context->allocator, net->class_names, (size_t)dki_net_outputs(net));
    net->class_names = names;
}

dk_status dki_net_set_class_names(dk_net *net, const char *const *names) {
    char **copies = NULL;
    if (names)
        DKI_TRY(copy_names(&net->context->allocator, names, (size_t)dki_net_outputs(net), &copies));
    replace_names(net, copies);
    return DK_OK;
}

static void drop_scaling(dk_context *context, dki_scaling *scaling) {
    dki_backend *backend = context->backend;
    dki_release(&context->allocator, scaling->shift);
    dki_release(&context->allocator, scaling->scale);
    backend->ops->release(backend, scaling->device_shift);
    backend->ops->release(backend, scaling->device_scale);
    *scaling = (dki_scaling){0};
}

/* A copy on the host and one on the device. */
static dk_status copy_values(dk_context *context, const float *values, size_t count, float **host,
                             float **device) {
    dki_backend *backend = context->backend;
    DKI_TRY(dki_new(&context->allocator, host, count, "the preprocessing"));
    memcpy(*host, values, count * sizeof **host);
    DKI_TRY(backend->ops->alloc(backend, count * sizeof **device, (void **)device));
    return backend->ops->upload(backend, *device, values, count * sizeof **device);
}

/* A scaling of `count` columns by copies of shift and scale; empty on failure. */
static dk_status make_scaling(dk_context *context, const float *shift, const float *scale,
                              int64_t count, dki_scaling *scaling) {
    *scaling = (dki_scaling){.count = count};
    dk_status status =
        copy_values(context, shift, (size_t)count, &scaling->shift, &scaling->device_shift);
    if (!status)
        status =
            copy_values(context, scale, (size_t)count, &scaling->scale, &scaling->device_scale);
    if (status) drop_scaling(context, scaling);
    return status;
}

static void replace_scaling(dk_context *context, dki_scaling *old, const dki_scaling *made) {
    drop_scaling(context, old);
    *old = *made;
}

dk_status dki_net_set_scaling(dk_net *net, dki_scaling *scaling, const float *shift,
                              const float *scale, int64_t count) {
    dki_scaling made = {0};
    if (shift) DKI_TRY(make_scaling(net->context, shift, scale, count, &made));
    replace_scaling(net->context, scaling, &made);
    return DK_OK;
}

/* x′ = (x − μ)/σ as shift = μ, scale = 1/σ, in fp32. `kind` names the columns. */
static dk_status standardisation(dk_context *context, const char *kind, const double *mean,
                                 const double *sigma, int64_t count, dki_scaling *scaling) {
    float *values = NULL;
    DKI_TRY(dki_new(&context->allocator, &values, 2 * (size_t)count, "the preprocessing"));
    dk_status status = DK_OK;
    for (int64_t j = 0; j < count && !status; ++j) {
        values[j] = (float)mean[j];
        values[count + j] = (float)(1.0 / sigma[j]);
        if (!isfinite(values[j]) || !isnormal(values[count + j]))
            status = dki_fail(DK_E_NONFINITE,
                              "%s %lld has a mean of %g and a standard deviation of %g, out of "
                              "fp32's range: rescale it",
                              kind, (long long)j, mean[j], sigma[j]);
    }
    if (!status) status = make_scaling(context, values, values + count, count, scaling);
    dki_release(&context->allocator, values);
    return status;
}

/* u8 images: x/255 for all features alike. */
static dk_status image_scaling(dk_context *context, int64_t count, dki_scaling *scaling) {
    float *values = NULL;
    DKI_TRY(dki_new(&context->allocator, &values, 2 * (size_t)count, "the preprocessing"));
    for (int64_t j = 0; j < count; ++j) values[count + j] = 1.0f / 255.0f;
    dk_status status = make_scaling(context, values, values + count, count, scaling);
    dki_release(&context->allocator, values);
    return status;
}

/* The scalings that a set asks for; none of the targets where they are classes or, for the sigmoid
 * cross-entropy, probabilities. */
static dk_status learn_scaling(const dk_net *net, const dk_dataset *train, dki_scaling *features,
                               dki_scaling *targets) {
    dk_context *context = net->context;
    bool image = train->storage->type == DK_U8;
    bool scaled_targets =
        train->storage->task == DK_TASK_REGRESSION && !dki_loss_is_classification(net->desc.loss);
    int64_t inputs = net->desc.inputs, outputs = dki_net_outputs(net);
    if (image && !scaled_targets) return image_scaling(context, inputs, features);
    double *values = NULL;
    DKI_TRY(
        dki_new(&context->allocator, &values, 2 * (size_t)(inputs + outputs), "column statistics"));
    double *mean = values, *sigma = mean + inputs, *y_mean = sigma + inputs,
           *y_sigma = y_mean + outputs;
    dk_status status = dki_dataset_statistics(train, mean, sigma, scaled_targets ? y_mean : NULL,
                                              scaled_targets ? y_sigma : NULL);
    if (!status)
        status = image ? image_scaling(context, inputs, features)
                       : standardisation(context, "feature", mean, sigma, inputs, features);
    if (!status && scaled_targets)
        status = standardisation(context, "target", y_mean, y_sigma, outputs, targets);
    dki_release(&context->allocator, values);
    return status;
}

/* Everything new is made before anything old is let go, so that a failure changes nothing. */
dk_status dk_net_learn_preprocessing(dk_net *net, const dk_dataset *train) {
    DKI_REQUIRE(net && train, DK_E_ARGUMENT, "dk_net_learn_preprocessing: a NULL argument");
    DKI_TRY(dki_dataset_fits(train, net));
    dki_scaling features = {0}, targets = {0};
    char **names = NULL;
    dk_status status = learn_scaling(net, train, &features, &targets);
    if (!status && train->storage->class_names)
        status =
            copy_names(&net->context->allocator, (const char *const *)train->storage->class_names,
                       (size_t)dki_net_outputs(net), &names);
    if (status) {
        drop_scaling(net->context, &features);
        drop_scaling(net->context, &targets);
        return status;
    }
    replace_scaling(net->context, &net->features, &features);
    replace_scaling(net->context, &net->targets, &targets);
    replace_names(net, names);
    net->task = train->storage->task;
    return DK_OK;
}

dk_status dk_net_preprocessing(const dk_net *net, dk_preprocessing *preprocessing) {
    DKI_REQUIRE(net && preprocessing, DK_E_ARGUMENT, "dk_net_preprocessing: a NULL argument");
    *preprocessing = (dk_preprocessing){net->features.shift, net->features.scale,
                                        net->targets.shift, net->targets.scale};
    return DK_OK;
}

const char *dk_net_class_name(const dk_net *net, int64_t index) {
    if (!net || !net->class_names || index < 0 || index >= dki_net_outputs(net)) return NULL;
    return net->class_names[index];
}
