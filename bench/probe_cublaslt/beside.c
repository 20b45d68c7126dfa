/* The questions about two things at a time: a layer's two gradients, an update beside a product. */
#include "backend/cuda/trial_update.h"
#include "base/memory.h"
#include "probe.h"

#include <math.h>
#include <stdio.h>

/* --- the two gradients ---------------------------------------------------------------------------
 */

typedef struct pair {
    probe *of;
    probe_call data, params;
    bool side_by_side;
} pair;

/* On one lane, one after the other; or the data gradient on the main lane meanwhile. */
static dk_status queue_pair(void *argument, int copy) {
    pair *both = argument;
    both->data.lane = both->side_by_side ? DKI_LANE_MAIN : DKI_LANE_PARAMS;
    if (both->side_by_side) DKI_TRY(probe_fork(both->of));
    DKI_TRY(probe_queue_call(&both->params, copy));
    DKI_TRY(probe_queue_call(&both->data, copy));
    return both->side_by_side ? probe_join(both->of) : DK_OK;
}

dk_status probe_lanes(probe *it) {
    if (!it->shape.data_gradient) return DK_OK;
    probe_row row = probe_new_row(it, PROBE_LANES, "both gradients", "side by side");
    pair both = {.of = it,
                 .data = {.of = it, .lane = DKI_LANE_PARAMS, .kind = DKI_PRODUCT_DATA},
                 .params = {.of = it, .lane = DKI_LANE_PARAMS, .kind = DKI_PRODUCT_PARAMS}};
    int kernels = 0, others = 0;
    DKI_TRY(probe_fastest(&both.data));
    DKI_TRY(probe_fastest(&both.params));
    if (isfinite(both.data.ms) && isfinite(both.params.ms)) {
        DKI_TRY(probe_time(it, queue_pair, &both, &row.plain_ms));
        DKI_TRY(probe_nodes(it, queue_pair, &both, &kernels, &others));
        both.side_by_side = true;
        DKI_TRY(probe_time(it, queue_pair, &both, &row.ms));
        DKI_TRY(probe_nodes(it, queue_pair, &both, &row.kernels, &row.others));
    }
    row.plain_nodes = kernels + others;
    row.candidates = both.data.candidates;
    row.taken = isfinite(row.ms);
    return probe_add_row(it, &row);
}

/* --- an update beside a product ------------------------------------------------------------------
 */

typedef struct company {
    probe *of;
    probe_call product;
    dki_trial_update update; /* of a layer's weights, by AdamW */
    bool side_by_side, update_too;
} company;

static dk_status queue_company(void *argument, int copy) {
    company *it = argument;
    dki_cuda *cuda = it->of->cuda;
    it->product.lane = it->side_by_side ? DKI_LANE_MAIN : DKI_LANE_PARAMS;
    if (it->side_by_side) DKI_TRY(probe_fork(it->of));
    if (it->update_too)
        DKI_TRY(dki_cuda_update_parameters(&cuda->base, DKI_LANE_PARAMS, &it->update.range));
    DKI_TRY(probe_queue_call(&it->product, copy));
    return it->side_by_side ? probe_join(it->of) : DK_OK;
}

static dk_status open_update(company *it) {
    static const dki_rule adamw = {.kind = DK_ADAMW,
                                   .beta1 = 0.9,
                                   .beta2 = 0.999,
                                   .epsilon = 1e-8f,
                                   .weight_decay = 0.01f,
                                   .decoupled = 1};
    dki_cuda *cuda = it->of->cuda;
    const int64_t count = it->of->shape.width * dki_leading(&cuda->base, it->of->shape.inputs);
    return dki_trial_update_open(&it->update, cuda, &adamw, count);
}

/* Together, with `free_processors` left to the update, beside one after the other on all of them. */
static dk_status carve_out(company *it, int free_processors, double serial_ms, int serial_nodes) {
    probe *of = it->of;
    const int processors = dki_gpu_facts_of(of->cuda->gpu)->processors;
    probe_row row = probe_new_row(of, PROBE_CARVE_OUT, "data gradient", "");
    snprintf(row.variant, sizeof row.variant, "%d left to the update", free_processors);
    row.plain_ms = serial_ms;
    row.plain_nodes = serial_nodes;
    if (free_processors >= processors) return probe_add_row(of, &row);
    it->product.lane = DKI_LANE_PARAMS;
    if (free_processors) {
        it->product.processors = processors - free_processors;
        DKI_TRY(probe_fastest(&it->product));
    }
    row.candidates = it->product.candidates;
    row.alone_ms = it->product.ms;
    if (isfinite(it->product.ms)) {
        it->side_by_side = it->update_too = true;
        DKI_TRY(probe_time(of, queue_company, it, &row.ms));
        DKI_TRY(probe_nodes(of, queue_company, it, &row.kernels, &row.others));
    }
    row.taken = isfinite(row.ms);
    return probe_add_row(of, &row);
}

static dk_status carve_outs(company *it) {
    static const int left[] = {0, 4, 8, 16, 32};
    double serial_ms = INFINITY;
    int kernels = 0, others = 0;
    DKI_TRY(open_update(it));
    DKI_TRY(probe_fastest(&it->product));
    if (isfinite(it->product.ms)) {
        it->update_too = true;
        DKI_TRY(probe_time(it->of, queue_company, it, &serial_ms));
        DKI_TRY(probe_nodes(it->of, queue_company, it, &kernels, &others));
    }
    for (size_t i = 0; i < sizeof left / sizeof *left; ++i)
        DKI_TRY(carve_out(it, left[i], serial_ms, kernels + others));
    return DK_OK;
}

dk_status probe_carve_outs(probe *it) {
    if (!it->shape.data_gradient) return DK_OK;
    company both = {.of = it,
                    .product = {.of = it, .lane = DKI_LANE_PARAMS, .kind = DKI_PRODUCT_DATA}};
    const dk_status status = carve_outs(&both);
    dki_trial_update_close(&both.update);
    return status;
}
