/* What a network knows of its data: how features and targets are scaled, and what its classes are
 * called. */
#include "model/net.h"

#include "base/arithmetic.h"

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

void dki_scaling_drop(dk_context *context, dki_scaling *scaling) {
    dki_backend *backend = context->backend;
    dki_release(&context->allocator, scaling->shift);
    dki_release(&context->allocator, scaling->scale);
    backend->ops->release(backend, scaling->device_shift);
    backend->ops->release(backend, scaling->device_scale);
    *scaling = (dki_scaling){0};
}

/* A copy on the host and one on the device. */
static dk_status copy_values(dk_context *context, const void *values, size_t count, size_t size,
                             void **host, void **device) {
    dki_backend *backend = context->backend;
    DKI_TRY(dki_alloc(&context->allocator, count, size, "the preprocessing", host));
    memcpy(*host, values, count * size);
    DKI_TRY(backend->ops->alloc(backend, DKI_MEMORY_DEVICE, count * size, device));
    return backend->ops->upload(backend, DKI_LANE_MAIN, *device, values, count * size);
}

/* A scaling of `count` columns by copies of shift and scale; empty on failure. */
dk_status dki_scaling_make(dk_context *context, const double *shift, const float *scale,
                           int64_t count, dki_scaling *scaling) {
    *scaling = (dki_scaling){.count = count};
    dk_status status = copy_values(context, shift, (size_t)count, sizeof *shift,
                                   (void **)&scaling->shift, (void **)&scaling->device_shift);
    if (!status)
        status = copy_values(context, scale, (size_t)count, sizeof *scale, (void **)&scaling->scale,
                             (void **)&scaling->device_scale);
    if (status) dki_scaling_drop(context, scaling);
    return status;
}

void dki_scaling_replace(dk_context *context, dki_scaling *old, const dki_scaling *made) {
    dki_scaling_drop(context, old);
    *old = *made;
}

dk_status dki_net_set_scaling(dk_net *net, dki_scaling *scaling, const double *shift,
                              const float *scale, int64_t count) {
    dki_scaling made = {0};
    if (shift) DKI_TRY(dki_scaling_make(net->context, shift, scale, count, &made));
    dki_scaling_replace(net->context, scaling, &made);
    ++net->revision;
    return DK_OK;
}

dk_status dk_net_preprocessing(const dk_net *net, dk_preprocessing *preprocessing) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && preprocessing, DK_E_ARGUMENT, "dk_net_preprocessing: a NULL argument");
    *preprocessing = (dk_preprocessing){net->features.shift, net->features.scale,
                                        net->targets.shift, net->targets.scale};
    return DK_OK;
}

const char *dk_net_class_name(const dk_net *net, int64_t index) {
    if (!net || !net->class_names || index < 0 || index >= dki_net_outputs(net)) return NULL;
    return net->class_names[index];
}
