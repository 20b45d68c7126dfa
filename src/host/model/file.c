/* Model files: safetensors, with everything that isn't a tensor as JSON under `deltak` in
 * __metadata__. The same network gives the same bytes: no path, no time, keys in a fixed order, and
 * numbers written so that they read back as the same floats.
 *
 *     {"format": 1, "inputs": 784, "seed": 1, "loss": {"kind": "softmax_cross_entropy", …},
 *      "layers": [{"width": 512, "activation": "relu", …}, …], "task": "classification",
 *      "classes": ["0", …], "features": {"shift": […], "scale": […]}, "targets": {…},
 *      "table": {"columns": 4, "features": [0, 1, 2], "label": 3, "names": ["a", …], …}} */
#include "model/file.h"

#include "base/arithmetic.h"
#include "model/tensors.h"

#include <string.h>

dk_status dk_net_save(const dk_net *net, const char *path) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && path, DK_E_ARGUMENT, "dk_net_save: a NULL argument");
    const dk_allocator *allocator = &net->context->allocator;
    const dki_region parameters = dki_parameters_of(net);
    dki_tensor_copies copies = {0};
    char *text = NULL;
    dki_net_lock_read(net);
    dk_status status = dki_tensor_copies_make(&copies, net, &parameters, 1);
    if (!status) status = dki_tensor_copies_take(&copies, net, &parameters, 1);
    if (!status) status = dki_net_to_json(net, &text);
    dki_net_unlock(net, status);
    if (!status) status = dki_tensor_copies_check(&copies, copies.count);
    if (!status) {
        dki_metadata metadata = {DKI_MODEL_KEY, text};
        status = dki_safetensors_write(allocator, path, &metadata, 1, copies.tensors, copies.count);
    }
    dki_release(allocator, text);
    dki_tensor_copies_release(&copies);
    return status;
}

/* A checkpoint has more than the model's tensors. */
static dk_status check_count(const dki_safetensors *file, const dk_net_desc *desc) {
    DKI_REQUIRE(file->count == 2 * desc->layer_count ||
                    dki_safetensors_metadata(file, DKI_TRAINING_KEY),
                DK_E_MODEL, "%zu tensors, but %zu layers have %zu", file->count, desc->layer_count,
                2 * desc->layer_count);
    return DK_OK;
}

static dk_status load_parsed(dk_net **net, dk_context *context, const dki_safetensors *file) {
    const char *text = dki_safetensors_metadata(file, DKI_MODEL_KEY);
    DKI_REQUIRE(text, DK_E_MODEL,
                "no \"" DKI_MODEL_KEY
                "\" in __metadata__: this safetensors file isn't a deltak model");
    dki_model_json *json = NULL;
    dk_net_desc desc;
    DKI_TRY(dki_model_json_parse(&json, &context->allocator, text, &desc));
    dk_status status = check_count(file, &desc);
    dk_net *made = NULL;
    /* Before anything of the tensors' size is allocated. */
    if (!status) status = dki_tensors_check(file, &desc, "");
    if (!status) status = dki_safetensors_verify(&context->allocator, file, false);
    if (!status) status = dki_net_make(&made, context, &desc);
    if (!status) status = dki_model_json_apply(json, made);
    dki_model_json_release(json);
    if (!status) {
        const dki_region parameters = dki_parameters_of(made);
        status = dki_tensors_load(made, file, &parameters, 1);
    }
    if (status)
        dk_net_destroy(made);
    else
        *net = made;
    return status;
}

dk_status dk_net_load(dk_net **net, dk_context *context, const char *path) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && context && path, DK_E_ARGUMENT, "dk_net_load: a NULL argument");
    *net = NULL;
    dki_safetensors file = {0};
    DKI_TRY(dki_safetensors_open(&context->allocator, path, &file));
    dk_status status = load_parsed(net, context, &file);
    dki_safetensors_release(&context->allocator, &file);
    return status ? dki_fail_in(status, "%s", path) : DK_OK;
}
