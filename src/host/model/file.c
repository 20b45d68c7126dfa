/* Model files: safetensors, with everything that isn't a tensor as JSON under `deltak` in
 * __metadata__. The same network gives the same bytes: no path, no time, keys in a fixed order, and
 * numbers written so that they read back as the same floats.
 *
 *     {"format": 1, "inputs": 784, "seed": 1, "loss": {"kind": "softmax_cross_entropy", …},
 *      "layers": [{"width": 512, "activation": "relu", …}, …], "task": "classification",
 *      "classes": ["0", …], "features": {"shift": […], "scale": […]}, "targets": {…}} */
#include "model/file.h"

#include "format/safetensors.h"
#include "model/net.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 48 };

/* The tensors of a file and what they point to. */
typedef struct {
    const dk_allocator *allocator;
    dki_safetensor *tensors;   /* [2 L] */
    char (*names)[NAME_BYTES]; /* [2 L] */
    float **values;            /* [2 L] */
    size_t count;
} tensor_list;

static void release_list(tensor_list *list) {
    for (size_t i = 0; list->values && i < list->count; ++i)
        dki_release(list->allocator, list->values[i]);
    dki_release(list->allocator, list->values);
    dki_release(list->allocator, list->names);
    dki_release(list->allocator, list->tensors);
}

static void tensor_name(char name[NAME_BYTES], size_t layer, dk_tensor tensor) {
    snprintf(name, NAME_BYTES, "layers.%zu.%s", layer, tensor == DK_WEIGHT ? "weight" : "bias");
}

/* Reads one tensor from the network into the list. */
static dk_status add_tensor(tensor_list *list, const dk_net *net, size_t layer, dk_tensor tensor) {
    const dki_place *place = &net->layout.places[layer - 1];
    size_t i = 2 * (layer - 1) + (tensor == DK_BIAS);
    size_t count = (size_t)place->width * (tensor == DK_WEIGHT ? (size_t)place->inputs : 1);
    DKI_TRY(dki_new(list->allocator, &list->values[i], count, "a tensor to be saved"));
    DKI_TRY(dk_net_get(net, tensor, layer, list->values[i], count));
    for (size_t j = 0; j < count; ++j)
        DKI_REQUIRE(isfinite(list->values[i][j]), DK_E_NONFINITE,
                    "%s of layer %zu holds %g: the model isn't saved", dk_tensor_name(tensor),
                    layer, (double)list->values[i][j]);
    tensor_name(list->names[i], layer, tensor);
    list->tensors[i] = (dki_safetensor){.name = list->names[i],
                                        .dtype = "F32",
                                        .dims = tensor == DK_WEIGHT ? 2 : 1,
                                        .shape = {place->width, place->inputs},
                                        .data = list->values[i],
                                        .bytes = count * sizeof(float)};
    return DK_OK;
}

static dk_status collect_tensors(tensor_list *list, const dk_net *net) {
    DKI_TRY(dki_new(list->allocator, &list->tensors, list->count, "the tensors"));
    DKI_TRY(dki_new(list->allocator, &list->names, list->count, "the tensors' names"));
    DKI_TRY(dki_new(list->allocator, &list->values, list->count, "the tensors' values"));
    for (size_t k = 1; k <= net->desc.layer_count; ++k) {
        DKI_TRY(add_tensor(list, net, k, DK_WEIGHT));
        DKI_TRY(add_tensor(list, net, k, DK_BIAS));
    }
    return DK_OK;
}

dk_status dk_net_save(const dk_net *net, const char *path) {
    DKI_REQUIRE(net && path, DK_E_ARGUMENT, "dk_net_save: a NULL argument");
    const dk_allocator *allocator = &net->context->allocator;
    tensor_list list = {.allocator = allocator, .count = 2 * net->desc.layer_count};
    char *text = NULL;
    dk_status status = collect_tensors(&list, net);
    if (!status) status = dki_net_to_json(net, &text);
    if (!status) {
        dki_metadata metadata = {"deltak", text};
        status = dki_safetensors_write(allocator, path, &metadata, 1, list.tensors, list.count);
    }
    dki_release(allocator, text);
    release_list(&list);
    return status;
}

/* One tensor from the file into the network. */
static dk_status load_tensor(dk_net *net, const dki_safetensors *file, size_t layer,
                             dk_tensor tensor) {
    const dki_place *place = &net->layout.places[layer - 1];
    int64_t shape[2] = {place->width, place->inputs};
    int dims = tensor == DK_WEIGHT ? 2 : 1;
    size_t count = (size_t)place->width * (dims == 2 ? (size_t)place->inputs : 1);
    char name[NAME_BYTES];
    float *values = NULL;
    tensor_name(name, layer, tensor);
    DKI_TRY(dki_new(&net->context->allocator, &values, count, "a tensor"));
    dk_status status = dki_safetensors_read_f32(file, name, shape, dims, values);
    if (!status) status = dk_net_set(net, tensor, layer, values, count);
    dki_release(&net->context->allocator, values);
    return status;
}

/* The tensors must be those of the layers, before anything of their size is allocated. */
static dk_status check_tensors(const dki_safetensors *file, const dk_net_desc *desc) {
    DKI_REQUIRE(file->count == 2 * desc->layer_count, DK_E_MODEL,
                "%zu tensors, but %zu layers have %zu", file->count, desc->layer_count,
                2 * desc->layer_count);
    for (size_t k = 1; k <= desc->layer_count; ++k) {
        char name[NAME_BYTES];
        tensor_name(name, k, DK_WEIGHT);
        const dki_safetensor *weight = dki_safetensors_find(file, name);
        int64_t inputs = k > 1 ? desc->layers[k - 2].width : desc->inputs;
        DKI_REQUIRE(weight && weight->dims == 2 && weight->shape[0] == desc->layers[k - 1].width &&
                        weight->shape[1] == inputs,
                    DK_E_MODEL, "%s isn't there as [%lld, %lld], as the layers say", name,
                    (long long)desc->layers[k - 1].width, (long long)inputs);
    }
    return DK_OK;
}

static dk_status load_parsed(dk_net **net, dk_context *context, const dki_safetensors *file) {
    const char *text = dki_safetensors_metadata(file, "deltak");
    DKI_REQUIRE(text, DK_E_MODEL,
                "no \"deltak\" in __metadata__: this safetensors file isn't a deltak model");
    dki_model_json *json = NULL;
    dk_net_desc desc;
    DKI_TRY(dki_model_json_parse(&json, &context->allocator, text, &desc));
    dk_status status = check_tensors(file, &desc);
    dk_net *made = NULL;
    if (!status) status = dki_net_make(&made, context, &desc);
    if (!status) status = dki_model_json_apply(json, made);
    dki_model_json_release(json);
    for (size_t k = 1; !status && k <= made->desc.layer_count; ++k) {
        status = load_tensor(made, file, k, DK_WEIGHT);
        if (!status) status = load_tensor(made, file, k, DK_BIAS);
    }
    if (status)
        dk_net_destroy(made);
    else
        *net = made;
    return status;
}

dk_status dk_net_load(dk_net **net, dk_context *context, const char *path) {
    DKI_REQUIRE(net && context && path, DK_E_ARGUMENT, "dk_net_load: a NULL argument");
    *net = NULL;
    dki_safetensors file = {0};
    DKI_TRY(dki_safetensors_open(&context->allocator, path, &file));
    dk_status status = load_parsed(net, context, &file);
    dki_safetensors_release(&context->allocator, &file);
    return status ? dki_fail_in(status, "%s", path) : DK_OK;
}
