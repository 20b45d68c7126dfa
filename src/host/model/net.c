/* A network's life: creation, holding, parameters in and out. */
#include "model/net.h"

#include "base/arithmetic.h"
#include "kernels/activation.h"
#include "model/transfer.h"

#include <math.h>
#include <string.h>

/* Copies the description with its defaults resolved. */
static dk_status copy_description(dk_net *net, const dk_net_desc *desc) {
    const dk_allocator *allocator = &net->context->allocator;
    size_t count = desc->layer_count;
    DKI_TRY(dki_new(allocator, &net->layers, count, "the layers"));
    DKI_TRY(dki_new(allocator, &net->layout.places, count, "the layout"));
    memcpy(net->layers, desc->layers, count * sizeof *net->layers);
    for (size_t k = 0; k < count; ++k) {
        dk_layer *layer = &net->layers[k];
        layer->init = dki_init_resolve(layer->init, layer->activation, count);
        bool takes_alpha = dki_activation_alpha(layer->activation, 0.0f) != 0.0f;
        layer->alpha = takes_alpha ? dki_activation_alpha(layer->activation, layer->alpha) : 0.0f;
    }
    net->desc = *desc;
    net->desc.layers = net->layers;
    net->desc.class_weights = NULL;
    if (!desc->class_weights) return DK_OK;
    size_t classes = (size_t)desc->layers[count - 1].width;
    DKI_TRY(dki_new(allocator, &net->class_weights, classes, "the class weights"));
    memcpy(net->class_weights, desc->class_weights, classes * sizeof(float));
    net->desc.class_weights = net->class_weights;
    return DK_OK;
}

/* The device's part: parameters (zero), their working copy, and class weights. */
static dk_status allocate_device(dk_net *net) {
    dki_backend *backend = net->context->backend;
    const dki_backend_ops *ops = backend->ops;
    size_t masters = (size_t)net->layout.elements * sizeof(float); /* at most INT64_MAX/16 */
    size_t copies = dki_layout_working_bytes(&net->layout, backend->element);
    dk_status status =
        ops->alloc(backend, DKI_MEMORY_DEVICE, masters + copies, (void **)&net->parameters);
    if (status)
        return dki_fail_in(status, "the parameters (%.1f MiB)",
                           (double)(masters + copies) / 1048576.0);
    if (copies) net->working = (char *)net->parameters + masters;
    if (!net->class_weights) return DK_OK;
    size_t weights = (size_t)dki_net_outputs(net) * sizeof(float);
    DKI_TRY(ops->alloc(backend, DKI_MEMORY_DEVICE, weights, (void **)&net->device_class_weights));
    return ops->upload(backend, DKI_LANE_MAIN, net->device_class_weights, net->class_weights,
                       weights);
}

dk_status dki_net_make(dk_net **net, dk_context *context, const dk_net_desc *desc) {
    *net = NULL;
    DKI_TRY(dk_net_validate(desc));
    dk_net *made = NULL;
    DKI_TRY(dki_new(&context->allocator, &made, 1, "a network"));
    made->references = 1;
    made->context = dki_context_hold(context);
    dki_fair_lock_init(&made->lock);
    dk_status status = copy_description(made, desc);
    if (status) goto out;
    DKI_TRY_OUT(dki_layout_make(&made->layout, made->layout.places, desc->inputs, made->layers,
                                desc->layer_count, context->backend));
    DKI_TRY_OUT(allocate_device(made));
    *net = made;
    return DK_OK;
out:
    dk_net_destroy(made);
    return status;
}

dk_status dk_net_create(dk_net **net, dk_context *context, const dk_net_desc *desc) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && context, DK_E_ARGUMENT, "dk_net_create: a NULL argument");
    *net = NULL;
    dk_net *made = NULL;
    DKI_TRY(dki_net_make(&made, context, desc));
    dk_status status = dki_net_initialise(made, desc->layers);
    if (status)
        dk_net_destroy(made);
    else
        *net = made;
    return status;
}

dk_net *dki_net_hold(const dk_net *net) {
    dk_net *held = (dk_net *)net;
    dki_count_up(&held->references);
    return held;
}

void dk_net_destroy(dk_net *net) {
    if (!net || !dki_count_down(&net->references)) return;
    dk_context *context = net->context;
    dki_backend *backend = context->backend;
    const dk_allocator *allocator = &context->allocator;
    dki_net_set_class_names(net, NULL);
    dki_columns_release(allocator, &net->columns);
    dki_net_set_scaling(net, &net->features, NULL, NULL, 0);
    dki_net_set_scaling(net, &net->targets, NULL, NULL, 0);
    backend->ops->release(backend, net->device_class_weights);
    backend->ops->release(backend, net->parameters);
    dki_release(allocator, net->class_weights);
    dki_release(allocator, net->layout.places);
    dki_release(allocator, net->layers);
    dki_fair_lock_destroy(&net->lock);
    dki_release(allocator, net);
    dk_context_destroy(context);
}

dk_status dk_net_describe(const dk_net *net, dk_net_desc *desc) {
    DKI_REQUIRE(net && desc, DK_E_ARGUMENT, "dk_net_describe: a NULL argument");
    *desc = net->desc;
    return DK_OK;
}

int64_t dk_net_parameter_count(const dk_net *net) {
    return net ? net->layout.parameter_count : 0;
}

dk_status dk_net_freeze(dk_net *net, size_t layer, bool frozen) {
    DKI_REQUIRE(net, DK_E_ARGUMENT, "dk_net_freeze: net is NULL");
    DKI_REQUIRE(layer >= 1 && layer <= net->desc.layer_count, DK_E_ARGUMENT,
                "layer %zu is outside 1 … %zu", layer, net->desc.layer_count);
    dki_net_lock_write(net);
    net->layers[layer - 1].frozen = frozen;
    ++net->revision;
    return dki_net_unlock(net, DK_OK);
}

/* Where W or b of a layer lies, its rows and columns, and that `count` fits. */
static dk_status locate(const dk_net *net, dk_tensor tensor, size_t layer, size_t count,
                        dki_matrix *matrix) {
    DKI_REQUIRE(tensor == DK_WEIGHT || tensor == DK_BIAS, DK_E_ARGUMENT,
                "a network holds W and b: read other tensors with dk_session_read");
    DKI_REQUIRE(layer >= 1 && layer <= net->desc.layer_count, DK_E_ARGUMENT,
                "layer %zu is outside 1 … %zu", layer, net->desc.layer_count);
    const dki_place *place = &net->layout.places[layer - 1];
    *matrix =
        tensor == DK_WEIGHT
            ? (dki_matrix){net->parameters + place->w, place->width, place->inputs, place->w_ld}
            : (dki_matrix){net->parameters + place->b, 1, place->width, place->width};
    DKI_REQUIRE(count == (size_t)matrix->rows * (size_t)matrix->cols, DK_E_SHAPE,
                "%s of layer %zu has %lld elements, not %zu", dk_tensor_name(tensor), layer,
                (long long)(matrix->rows * matrix->cols), count);
    return DK_OK;
}

dk_status dk_net_get(const dk_net *net, dk_tensor tensor, size_t layer, float *values,
                     size_t count) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && values, DK_E_ARGUMENT, "dk_net_get: a NULL argument");
    dki_matrix matrix;
    DKI_TRY(locate(net, tensor, layer, count, &matrix));
    dki_net_lock_read(net);
    return dki_net_unlock(net, dki_matrix_download(net->context->backend, &matrix, values));
}

dk_status dk_net_set(dk_net *net, dk_tensor tensor, size_t layer, const float *values,
                     size_t count) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && values, DK_E_ARGUMENT, "dk_net_set: a NULL argument");
    dki_matrix matrix;
    DKI_TRY(locate(net, tensor, layer, count, &matrix));
    for (size_t i = 0; i < count; ++i)
        DKI_REQUIRE(isfinite(values[i]), DK_E_NONFINITE, "%s of layer %zu: element %zu is %g",
                    dk_tensor_name(tensor), layer, i, (double)values[i]);
    dki_net_lock_write(net);
    dk_status status = dki_matrix_upload(net->context->backend, &matrix, values);
    if (!status)
        status = dki_net_cast(net, (float *)matrix.data - net->parameters, matrix.rows * matrix.ld);
    return dki_net_unlock(net, status);
}

dk_status dki_net_cast(dk_net *net, int64_t first, int64_t count) {
    dki_backend *backend = net->context->backend;
    if (!net->working) return DK_OK;
    dki_cast op = {net->parameters, net->working, {first, count}};
    return backend->ops->cast(backend, DKI_LANE_MAIN, &op);
}

dk_status dki_net_read_all(const dk_net *net, float *values) {
    dki_backend *backend = net->context->backend;
    return backend->ops->download(backend, values, net->parameters,
                                  (size_t)net->layout.elements * sizeof *values);
}

dk_status dki_net_write_all(dk_net *net, const float *values) {
    dki_backend *backend = net->context->backend;
    DKI_TRY(backend->ops->upload(backend, DKI_LANE_MAIN, net->parameters, values,
                                 (size_t)net->layout.elements * sizeof *values));
    return dki_net_cast(net, 0, net->layout.elements);
}

/* Whether `count` parameters from `first` on are finite. In pieces on the stack: it is asked after
 * a training, which mustn't fail for want of memory. */
static dk_status range_is_finite(const dk_net *net, int64_t first, int64_t count, bool *finite) {
    enum { PIECE = 4096 };
    dki_backend *backend = net->context->backend;
    float values[PIECE];
    *finite = true;
    for (int64_t done = 0; done < count && *finite; done += PIECE) {
        int64_t length = count - done < PIECE ? count - done : PIECE;
        DKI_TRY(backend->ops->download(backend, values, net->parameters + first + done,
                                       (size_t)length * sizeof *values));
        for (int64_t i = 0; i < length && *finite; ++i) *finite = isfinite(values[i]);
    }
    return DK_OK;
}

dk_status dki_net_find_nonfinite(const dk_net *net, size_t *layer, dk_tensor *tensor) {
    *layer = 0;
    for (size_t k = 1; k <= net->desc.layer_count; ++k) {
        const dki_place *place = &net->layout.places[k - 1];
        bool weights = true, biases = true;
        DKI_TRY(range_is_finite(net, place->w, place->width * place->w_ld, &weights));
        DKI_TRY(range_is_finite(net, place->b, place->width, &biases));
        if (weights && biases) continue;
        *layer = k;
        *tensor = weights ? DK_BIAS : DK_WEIGHT;
        return DK_OK;
    }
    return DK_OK;
}
