/* The questions about single products: epilogues, and where α and β lie. */
#include "probe.h"

#include <math.h>

/* An epilogue, the product it follows, and the activation that it computes, whose own kernel it
 * competes with. */
typedef struct variant {
    const char *name;
    dki_product_kind kind;
    dki_epilogue epilogue;
    dk_activation activation;
} variant;

static const variant variants[] = {
    {"plain", DKI_PRODUCT_FORWARD, DKI_EPILOGUE_NONE, DK_IDENTITY},
    {"BIAS", DKI_PRODUCT_FORWARD, DKI_EPILOGUE_BIAS, DK_IDENTITY},
    {"RELU_BIAS", DKI_PRODUCT_FORWARD, DKI_EPILOGUE_RELU_BIAS, DK_RELU},
    {"GELU_BIAS", DKI_PRODUCT_FORWARD, DKI_EPILOGUE_GELU_BIAS, DK_GELU_TANH},
    {"GELU_AUX_BIAS", DKI_PRODUCT_FORWARD, DKI_EPILOGUE_GELU_AUX_BIAS, DK_GELU_TANH},
    {"plain", DKI_PRODUCT_DATA, DKI_EPILOGUE_NONE, DK_IDENTITY},
    {"DGELU", DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU, DK_GELU_TANH},
    {"DGELU_BGRAD", DKI_PRODUCT_DATA, DKI_EPILOGUE_DGELU_BGRAD, DK_GELU_TANH},
    {"plain", DKI_PRODUCT_PARAMS, DKI_EPILOGUE_NONE, DK_IDENTITY},
    {"BGRADB", DKI_PRODUCT_PARAMS, DKI_EPILOGUE_BGRADB, DK_IDENTITY},
};

static const char *const product_names[] = {"forward", "data gradient", "weight gradient"};

/* The layer by the plain product and kernels of ours; forward keeps z where g′ will want it. */
typedef struct own_way {
    probe *of;
    const variant *what;
} own_way;

static dk_status queue_own_way(void *argument, int copy) {
    const own_way *own = argument;
    probe *it = own->of;
    if (own->what->kind == DKI_PRODUCT_FORWARD) {
        dki_linear_forward op = dki_trial_forward(&it->trial, copy);
        if (!dki_epilogue_has_aux(own->what->epilogue)) op.z.data = NULL;
        return dki_cuda_forward_by(it->cuda, DKI_LANE_PARAMS, &op, DKI_WAY_PLAIN);
    }
    dki_linear_backward_data op = dki_trial_backward_data(&it->trial, copy);
    if (!dki_epilogue_has_bias_gradient(own->what->epilogue)) op.db = NULL;
    return dki_cuda_backward_data_by(it->cuda, DKI_LANE_PARAMS, &op, DKI_WAY_PLAIN);
}

/* Our kernels follow the fastest plain product, so the table of plans is told of it. */
static dk_status remember_plain(probe *it, const probe_call *plain) {
    dki_product product;
    dki_operands operands;
    dki_trial_product(&it->trial, 0, plain->kind, DKI_EPILOGUE_NONE, &product, &operands);
    const dki_plan_key key = dki_plan_key_of(&product, DKI_QUESTION_ALGORITHM);
    const dki_plan_entry entry = {plain->algorithm, 0};
    return dki_plans_put(it->cuda->plans, &key, &entry, false);
}

static dk_status answer(probe *it, const variant *what, const probe_call *plain, int plain_nodes) {
    probe_row row = probe_new_row(it, PROBE_EPILOGUE, product_names[what->kind], what->name);
    probe_call call = {
        .of = it, .lane = DKI_LANE_PARAMS, .kind = what->kind, .epilogue = what->epilogue};
    own_way own = {it, what};
    it->layer.activation = it->below.activation = what->activation;
    DKI_TRY(probe_fastest(&call));
    row.candidates = call.candidates;
    row.taken = isfinite(call.ms);
    row.ms = call.ms;
    row.plain_ms = plain->ms;
    row.plain_nodes = plain_nodes;
    if (row.taken) DKI_TRY(probe_nodes(it, probe_queue_call, &call, &row.kernels, &row.others));
    if (what->kind != DKI_PRODUCT_PARAMS) DKI_TRY(probe_time(it, queue_own_way, &own, &row.own_ms));
    return probe_add_row(it, &row);
}

static dk_status answer_plain(probe *it, const variant *what, probe_call *plain, int *nodes) {
    probe_row row = probe_new_row(it, PROBE_EPILOGUE, product_names[what->kind], what->name);
    *plain = (probe_call){.of = it, .lane = DKI_LANE_PARAMS, .kind = what->kind};
    DKI_TRY(probe_fastest(plain));
    row.candidates = plain->candidates;
    row.taken = isfinite(plain->ms);
    row.ms = row.plain_ms = plain->ms;
    if (row.taken) {
        DKI_TRY(probe_nodes(it, probe_queue_call, plain, &row.kernels, &row.others));
        DKI_TRY(remember_plain(it, plain));
    }
    *nodes = row.plain_nodes = row.kernels + row.others;
    return probe_add_row(it, &row);
}

dk_status probe_epilogues(probe *it) {
    probe_call plain = {.of = it};
    int plain_nodes = 0;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; ++i) {
        const variant *what = &variants[i];
        if (what->kind == DKI_PRODUCT_DATA && !it->shape.data_gradient) continue;
        DKI_TRY(what->epilogue == DKI_EPILOGUE_NONE ? answer_plain(it, what, &plain, &plain_nodes)
                                                    : answer(it, what, &plain, plain_nodes));
    }
    return DK_OK;
}

dk_status probe_scalars(probe *it) {
    static const char *const names[2][2] = {{"host, beta 0", "host, beta 1"},
                                            {"device, beta 0", "device, beta 1"}};
    double plain_ms = INFINITY;
    int plain_nodes = 0;
    for (int device = 0; device < 2; ++device)
        for (int beta = 0; beta < 2; ++beta) {
            probe_row row = probe_new_row(it, PROBE_SCALARS, product_names[DKI_PRODUCT_PARAMS],
                                          names[device][beta]);
            probe_call call = {.of = it,
                               .lane = DKI_LANE_PARAMS,
                               .kind = DKI_PRODUCT_PARAMS,
                               .beta = beta,
                               .device_scalars = device};
            DKI_TRY(probe_fastest(&call));
            row.candidates = call.candidates;
            row.taken = isfinite(call.ms);
            row.ms = call.ms;
            if (row.taken)
                DKI_TRY(probe_nodes(it, probe_queue_call, &call, &row.kernels, &row.others));
            if (!device && !beta) {
                plain_ms = call.ms;
                plain_nodes = row.kernels + row.others;
            }
            row.plain_ms = plain_ms;
            row.plain_nodes = plain_nodes;
            DKI_TRY(probe_add_row(it, &row));
        }
    return DK_OK;
}
