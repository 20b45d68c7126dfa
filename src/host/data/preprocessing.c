/* What a network learns of its training set before training: scaling and class names. */
#include "base/arithmetic.h"
#include "data/dataset.h"
#include "model/net.h"

#include <math.h>

/* x′ = (x − μ)/σ as shift = μ, scale = 1/σ. `source` and `kind` name the columns. */
static dk_status standardisation(dk_context *context, const char *source, const char *kind,
                                 const double *mean, const double *sigma, int64_t count,
                                 dki_scaling *scaling) {
    float *scale = NULL;
    DKI_TRY(dki_new(&context->allocator, &scale, (size_t)count, "the preprocessing"));
    dk_status status = DK_OK;
    for (int64_t j = 0; j < count && !status; ++j) {
        scale[j] = (float)(1.0 / sigma[j]);
        if (!isfinite((float)mean[j]) || !isnormal(scale[j]))
            status = dki_fail(
                DK_E_NONFINITE,
                "%s: %s %lld (from 0) has a mean of %g and a standard deviation of %g, out of "
                "fp32's range: rescale it",
                source, kind, (long long)j, mean[j], sigma[j]);
    }
    if (!status) status = dki_scaling_make(context, mean, scale, count, scaling);
    dki_release(&context->allocator, scale);
    return status;
}

/* u8 images: x/255 for all features alike. */
static dk_status image_scaling(dk_context *context, int64_t count, dki_scaling *scaling) {
    double *shift = NULL;
    float *scale = NULL;
    dk_status status = dki_new(&context->allocator, &shift, (size_t)count, "the preprocessing");
    if (!status) status = dki_new(&context->allocator, &scale, (size_t)count, "the preprocessing");
    for (int64_t j = 0; j < count && !status; ++j) scale[j] = 1.0f / 255.0f;
    if (!status) status = dki_scaling_make(context, shift, scale, count, scaling);
    dki_release(&context->allocator, scale);
    dki_release(&context->allocator, shift);
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
                       : standardisation(context, train->storage->name, "feature", mean, sigma,
                                         inputs, features);
    if (!status && scaled_targets)
        status = standardisation(context, train->storage->name, "target", y_mean, y_sigma, outputs,
                                 targets);
    dki_release(&context->allocator, values);
    return status;
}

/* Everything new is made before anything old is let go, so that a failure changes nothing. */
dk_status dk_net_learn_preprocessing(dk_net *net, const dk_dataset *train) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && train, DK_E_ARGUMENT, "dk_net_learn_preprocessing: a NULL argument");
    DKI_TRY(dki_dataset_fits(train, net));
    dki_scaling features = {0}, targets = {0};
    dki_columns columns = {0};
    const dk_allocator *allocator = &net->context->allocator;
    DKI_TRY(dki_columns_copy(allocator, &train->storage->columns, &columns));
    dk_status status = learn_scaling(net, train, &features, &targets);
    dki_net_lock_write(net);
    if (!status)
        status = dki_net_set_class_names(net, (const char *const *)train->storage->class_names);
    if (status) {
        dki_scaling_drop(net->context, &features);
        dki_scaling_drop(net->context, &targets);
        dki_columns_release(allocator, &columns);
        return dki_net_unlock(net, status);
    }
    dki_scaling_replace(net->context, &net->features, &features);
    dki_scaling_replace(net->context, &net->targets, &targets);
    dki_columns_release(allocator, &net->columns);
    net->columns = columns;
    net->task = train->storage->task;
    ++net->revision;
    return dki_net_unlock(net, DK_OK);
}
