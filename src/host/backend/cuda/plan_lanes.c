/* One lane or two: whether a layer's two gradients are faster one after the other, or side by side.
 * Two small products fill the multiprocessors that one leaves idle; two large ones may drive each
 * other's tiles out of the cache. The answer is one for the whole network, because its layers share
 * the lanes. */
#include "backend/cuda/plan_choose.h"

#include <math.h>

typedef struct pair {
    const dki_trial_layer *layer;
    dki_way way; /* of the data gradient */
    bool side_by_side;
} pair;

/* As a step queues them: the weight gradient first, and only where there are two lanes an order. An
 * update in the weight gradient changes little, so that the answer holds for both. */
static dk_status try_pair(void *argument, int copy) {
    const pair *it = argument;
    dki_backend *backend = &it->layer->cuda->base;
    const dki_lane lane = it->side_by_side ? DKI_LANE_MAIN : DKI_LANE_PARAMS;
    const dki_linear_backward_data data = dki_trial_backward_data(it->layer, copy);
    const dki_linear_backward_params params = dki_trial_backward_params(it->layer, copy, false);
    DKI_TRY(dki_cuda_order(backend, DKI_LANE_PARAMS, lane));
    DKI_TRY(dki_cuda_linear_backward_params(backend, DKI_LANE_PARAMS, &params));
    DKI_TRY(dki_cuda_backward_data_by(it->layer->cuda, lane, &data, it->way));
    return dki_cuda_order(backend, lane, DKI_LANE_PARAMS);
}

/* With dropout there is nothing to choose. */
dk_status dki_chooser_data_way(const dki_chooser *choose, size_t k, const dki_trial_layer *layer,
                               dki_way *way) {
    const dki_linear_backward_data data = dki_trial_backward_data(layer, 0);
    *way = DKI_WAY_PLAIN;
    if (choose->request->layers[k - 1].dropout) return DK_OK;
    return dki_cuda_backward_data_way(choose->cuda, &data, way);
}

static dk_status measure_layer(dki_chooser *choose, size_t k, dki_trial_layer *layer,
                               double milliseconds[2]) {
    pair it = {.layer = layer};
    DKI_TRY(dki_chooser_data_way(choose, k, layer, &it.way));
    DKI_TRY(dki_trial_allocate(layer));
    DKI_TRY(dki_chooser_measure(choose, layer, try_pair, &it, INFINITY, &milliseconds[0]));
    it.side_by_side = true;
    return dki_chooser_measure(choose, layer, try_pair, &it, INFINITY, &milliseconds[1]);
}

static bool is_alike(const dki_plan_request *request, size_t j, size_t k, bool above) {
    const dki_layer_shape *a = request->layers + j, *b = request->layers + k;
    return a->inputs == b->inputs && a->width == b->width && a[-1].activation == b[-1].activation &&
           a[-1].dropout == b[-1].dropout && (!above || a[1].width == b[1].width);
}

int dki_chooser_stands_for(const dki_plan_request *request, size_t k, bool above) {
    const size_t end = request->layer_count - above;
    int alike = 0;
    for (size_t j = 1; j < k; ++j)
        if (is_alike(request, j, k, above)) return 0;
    for (size_t j = k; j < end; ++j) alike += is_alike(request, j, k, above);
    return alike;
}

/* Sums over all layers that have both gradients: one after the other, side by side. */
static dk_status measure_all(dki_chooser *choose, double sums[2]) {
    sums[0] = sums[1] = 0.0;
    for (size_t k = 1; k < choose->request->layer_count; ++k) {
        const int count = dki_chooser_stands_for(choose->request, k, false);
        double milliseconds[2] = {INFINITY, INFINITY};
        dki_trial_layer layer;
        if (count == 0) continue;
        DKI_TRY(dki_chooser_lay_out(choose, k, &layer));
        const dk_status status = measure_layer(choose, k, &layer, milliseconds);
        dki_trial_close(&layer);
        DKI_TRY(status);
        for (int way = 0; way < 2; ++way) sums[way] += count * milliseconds[way];
    }
    return DK_OK;
}

dk_status dki_choose_lanes(dki_chooser *choose) {
    dki_cuda *cuda = choose->cuda;
    const dki_plan_key key = dki_plan_key_of_lanes(&cuda->rules, choose->request);
    dki_plan_entry entry = {{{0}, 0}, DKI_STEP_LANES};
    bool known = false;
    double sums[2];
    if (!choose->request->gradients || choose->request->layer_count < 2) return DK_OK;
    DKI_TRY(dki_plans_get(cuda->plans, &key, &entry, &known));
    if (known) return DK_OK;
    DKI_TRY(measure_all(choose, sums));
    if (sums[0] < DKI_CLEARLY_BETTER * sums[1]) entry.answer = 1;
    dki_log_line(cuda->services.log, DK_LOG_DEBUG,
                 "the two gradients of all layers: one after the other %.4f ms, side by side %.4f "
                 "ms, so %d lane%s",
                 sums[0], sums[1], (int)entry.answer, entry.answer == 1 ? "" : "s");
    return dki_plans_put(cuda->plans, &key, &entry, true);
}
