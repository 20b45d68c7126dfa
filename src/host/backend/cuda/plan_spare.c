/* How many multiprocessors a data gradient leaves to the update that runs beside it. A large product
 * takes all of them, so that the update, which only moves memory, gets its turn in the tail of a wave
 * at the earliest; leaving it a few costs the product little, and hides the update. The answer is one
 * for the whole network. */
#include "backend/cuda/plan_choose.h"
#include "backend/cuda/trial_update.h"

#include <math.h>

enum { SPARES = DKI_SPARE_MOST / DKI_SPARE_STEP + 1 };

typedef struct company {
    const dki_trial_layer *layer;
    const dki_trial_update *update; /* of the layer above */
    dki_way way;                    /* of the data gradient */
    int spare;
} company;

/* As a step queues them: what dki_step_backward does of layer k. */
static dk_status try_company(void *argument, int copy) {
    const company *it = argument;
    dki_cuda *cuda = it->layer->cuda;
    dki_backend *backend = &cuda->base;
    dki_linear_backward_data data = dki_trial_backward_data(it->layer, copy);
    const dki_linear_backward_params params = dki_trial_backward_params(it->layer, copy, false);
    data.spare = it->spare;
    DKI_TRY(dki_cuda_order(backend, DKI_LANE_PARAMS, DKI_LANE_MAIN));
    DKI_TRY(dki_cuda_update_parameters(backend, DKI_LANE_PARAMS, &it->update->range));
    DKI_TRY(dki_cuda_linear_backward_params(backend, DKI_LANE_PARAMS, &params));
    DKI_TRY(dki_cuda_backward_data_by(cuda, DKI_LANE_MAIN, &data, it->way));
    return dki_cuda_order(backend, DKI_LANE_MAIN, DKI_LANE_PARAMS);
}

static dk_status measure_company(dki_chooser *choose, size_t k, dki_trial_layer *layer,
                                 const dki_trial_update *update, double milliseconds[SPARES]) {
    company it = {.layer = layer, .update = update};
    DKI_TRY(dki_chooser_data_way(choose, k, layer, &it.way));
    for (int i = 0; i < SPARES; ++i) {
        it.spare = i * DKI_SPARE_STEP;
        const int64_t processors = dki_cuda_processors(choose->cuda, it.spare);
        if (processors)
            DKI_TRY(dki_chooser_data_algorithm(
                choose, layer, dki_cuda_backward_data_epilogue(it.way), processors));
        DKI_TRY(dki_chooser_measure(choose, layer, try_company, &it, INFINITY, &milliseconds[i]));
    }
    return DK_OK;
}

static dk_status measure_layer(dki_chooser *choose, size_t k, double milliseconds[SPARES]) {
    const dki_layer_shape *above = &choose->request->layers[k + 1];
    const int64_t count = above->width * dki_leading(&choose->cuda->base, above->inputs);
    dki_trial_layer layer;
    dki_trial_update update = {.memory = NULL};
    DKI_TRY(dki_chooser_lay_out(choose, k, &layer));
    dk_status status = dki_trial_allocate(&layer);
    if (!status)
        status = dki_trial_update_open(&update, choose->cuda, choose->request->early_rule, count);
    if (!status) status = measure_company(choose, k, &layer, &update, milliseconds);
    dki_trial_update_close(&update);
    dki_trial_close(&layer);
    return status;
}

/* Sums over all layers whose data gradient an update runs beside. */
static dk_status measure_all(dki_chooser *choose, double sums[SPARES]) {
    for (size_t k = 1; k + 1 < choose->request->layer_count; ++k) {
        const int count = dki_chooser_stands_for(choose->request, k, true);
        double milliseconds[SPARES];
        if (count == 0) continue;
        DKI_TRY(measure_layer(choose, k, milliseconds));
        for (int i = 0; i < SPARES; ++i) sums[i] += count * milliseconds[i];
    }
    return DK_OK;
}

dk_status dki_choose_spare(dki_chooser *choose) {
    dki_cuda *cuda = choose->cuda;
    dki_plan_entry entry = {{{0}, 0}, 0};
    bool known = false;
    double sums[SPARES] = {0.0};
    int best = 0;
    if (!dki_cuda_may_spare(cuda, choose->request)) return DK_OK;
    const dki_plan_key key = dki_plan_key_of_spare(&cuda->rules, choose->request);
    DKI_TRY(dki_plans_get(cuda->plans, &key, &entry, &known));
    if (known) return DK_OK;
    DKI_TRY(measure_all(choose, sums));
    for (int i = 0; i < SPARES; ++i) {
        if (sums[i] < DKI_CLEARLY_BETTER * sums[best]) best = i;
        dki_log_line(cuda->services.log, DK_LOG_DEBUG,
                     "gradients beside updates, %d multiprocessors left to these: %.4f ms",
                     i * DKI_SPARE_STEP, sums[i]);
    }
    entry.answer = (int64_t)best * DKI_SPARE_STEP;
    return dki_plans_put(cuda->plans, &key, &entry, true);
}
