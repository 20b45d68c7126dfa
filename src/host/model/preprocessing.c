/* What a network learns of its training set before training: scaling and class names. */
#include "data/dataset.h"
#include "model/net.h"

#include <string.h>

dk_status dki_net_set_class_names(dk_net *net, const char *const *names) {
    const dk_allocator *allocator = &net->context->allocator;
    size_t count = (size_t)dki_net_outputs(net);
    char **copies = NULL;
    dk_status status = DK_OK;
    if (names) {
        DKI_TRY(dki_new(allocator, &copies, count, "class names"));
        for (size_t c = 0; c < count && !status; ++c)
            status = dki_copy_text(allocator, names[c], &copies[c]);
    }
    char **unwanted = status ? copies : net->class_names;
    for (size_t c = 0; unwanted && c < count; ++c) dki_release(allocator, unwanted[c]);
    dki_release(allocator, unwanted);
    if (!status) net->class_names = copies;
    return status;
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

dk_status dki_net_set_scaling(dk_net *net, dki_scaling *scaling, const float *shift,
                              const float *scale, int64_t count) {
    dki_scaling made = {.count = count};
    if (shift) {
        dk_status status =
            copy_values(net->context, shift, (size_t)count, &made.shift, &made.device_shift);
        if (!status)
            status =
                copy_values(net->context, scale, (size_t)count, &made.scale, &made.device_scale);
        if (status) {
            drop_scaling(net->context, &made);
            return status;
        }
    }
    drop_scaling(net->context, scaling);
    *scaling = made;
    return DK_OK;
}

/* x′ = (x − μ)/σ as shift = μ, scale = 1/σ, in fp32. */
static dk_status set_standardisation(dk_net *net, dki_scaling *scaling, const double *mean,
                                     const double *sigma, int64_t count) {
    float *values = NULL;
    DKI_TRY(dki_new(&net->context->allocator, &values, 2 * (size_t)count, "the preprocessing"));
    for (int64_t j = 0; j < count; ++j) {
        values[j] = (float)mean[j];
        values[count + j] = (float)(1.0 / sigma[j]);
    }
    dk_status status = dki_net_set_scaling(net, scaling, values, values + count, count);
    dki_release(&net->context->allocator, values);
    return status;
}

/* u8 images: x/255 for all features alike. */
static dk_status set_image_scaling(dk_net *net) {
    int64_t count = net->desc.inputs;
    float *values = NULL;
    DKI_TRY(dki_new(&net->context->allocator, &values, 2 * (size_t)count, "the preprocessing"));
    for (int64_t j = 0; j < count; ++j) values[count + j] = 1.0f / 255.0f;
    dk_status status = dki_net_set_scaling(net, &net->features, values, values + count, count);
    dki_release(&net->context->allocator, values);
    return status;
}

static dk_status learn_scaling(dk_net *net, const dk_dataset *train) {
    const dki_storage *storage = train->storage;
    bool image = storage->type == DK_U8, regression = storage->task == DK_TASK_REGRESSION;
    int64_t inputs = net->desc.inputs, outputs = dki_net_outputs(net);
    if (image && !regression) {
        DKI_TRY(dki_net_set_scaling(net, &net->targets, NULL, NULL, 0));
        return set_image_scaling(net);
    }
    double *values = NULL;
    const dk_allocator *allocator = &net->context->allocator;
    DKI_TRY(dki_new(allocator, &values, 2 * (size_t)(inputs + outputs), "column statistics"));
    double *mean = values, *sigma = mean + inputs, *y_mean = sigma + inputs,
           *y_sigma = y_mean + outputs;
    dk_status status = dki_dataset_statistics(train, mean, sigma, regression ? y_mean : NULL,
                                              regression ? y_sigma : NULL);
    if (!status)
        status = image ? set_image_scaling(net)
                       : set_standardisation(net, &net->features, mean, sigma, inputs);
    if (!status)
        status = regression ? set_standardisation(net, &net->targets, y_mean, y_sigma, outputs)
                            : dki_net_set_scaling(net, &net->targets, NULL, NULL, 0);
    dki_release(allocator, values);
    return status;
}

dk_status dk_net_learn_preprocessing(dk_net *net, const dk_dataset *train) {
    DKI_REQUIRE(net && train, DK_E_ARGUMENT, "dk_net_learn_preprocessing: a NULL argument");
    DKI_TRY(dki_dataset_fits(train, net));
    DKI_TRY(learn_scaling(net, train));
    DKI_TRY(dki_net_set_class_names(net, (const char *const *)train->storage->class_names));
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
