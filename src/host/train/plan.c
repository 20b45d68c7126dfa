/* The memory plan: what a network and its trainer will allocate, by region. */
#include "train/trainer.h"

#include "base/arithmetic.h"

dk_status dk_plan(dk_context *context, const dk_net_desc *desc, const dk_train_options *options,
                  dk_memory_plan *plan) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(context && plan, DK_E_ARGUMENT, "dk_plan: a NULL argument");
    DKI_TRY(dk_net_validate(desc));
    dk_train_options o;
    DKI_TRY(dki_train_options_resolve(options, desc, &o));
    dki_place *places = NULL;
    dki_layout layout;
    dki_session_bytes bytes;
    dk_context_info info;
    DKI_TRY(dki_new(&context->allocator, &places, desc->layer_count, "the layout"));
    dk_status status = dki_layout_make(&layout, places, desc->inputs, desc->layers,
                                       desc->layer_count, context->backend);
    dki_rule rule = dki_train_rule(&o);
    dki_session_shape shape = {.layers = desc->layers,
                               .layer_count = desc->layer_count,
                               .inputs = desc->inputs,
                               .layout = &layout,
                               .max_batch = o.batch,
                               .slots = dki_optimizer_slots(o.optimizer),
                               .gradients = true,
                               .keep_all = o.keep == DK_KEEP_ALL,
                               .fuse_rule = o.fuse_update ? &rule : NULL};
    if (!status) status = dki_session_measure(context, &shape, &bytes);
    if (!status) status = dk_context_describe(context, &info);
    double products = 0.0;
    for (size_t k = 0; k < desc->layer_count && !status; ++k)
        products +=
            (k ? 6.0 : 4.0) * (double)o.batch * (double)places[k].width * (double)places[k].inputs;
    dki_release(&context->allocator, places);
    if (status) return status;
    uint64_t region = (uint64_t)layout.elements * sizeof(float);
    *plan = (dk_memory_plan){.parameters = region,
                             .gradients = bytes.gradients,
                             .slots = bytes.slots,
                             .working_copy =
                                 dki_layout_working_bytes(&layout, context->backend->element),
                             .activations = bytes.activations,
                             .deltas = bytes.deltas,
                             .workspace = bytes.workspace,
                             .staging = bytes.staging,
                             .device_free = info.memory_free,
                             .parameter_count = layout.parameter_count,
                             .flops_per_step = products};
    plan->total = plan->parameters + plan->working_copy + bytes.total;
    return DK_OK;
}
