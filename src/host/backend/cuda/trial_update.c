/* An update on scratch memory: one copy, because the products beside it drive it out of the cache. */
#include "backend/cuda/trial_update.h"
#include "backend/cuda/plan_time.h"
#include "base/memory.h"

#include <string.h>

enum { REGION_ALIGNMENT = 256, REGIONS = 5 };

/* Nothing latched, the first step's rates. */
static dk_status put_state(dki_cuda *cuda, dki_step_state *device) {
    void *pinned = NULL;
    DKI_TRY(dki_gpu_alloc_host(cuda->gpu, sizeof(dki_step_state), &pinned));
    const dki_step_state state = {.tick = 1,
                                  .beta1_power = 0.9,
                                  .beta2_power = 0.999,
                                  .rate = {1e-3f, 0.1f, 0.0316f, 1.0f, 0},
                                  .loss_scale = 1.0f};
    memcpy(pinned, &state, sizeof state);
    const dki_stream stream = cuda->lanes[DKI_LANE_PARAMS];
    dk_status status = dki_gpu_copy(cuda->gpu, stream, device, pinned, sizeof state);
    const dk_status synced = dki_gpu_stream_sync(cuda->gpu, stream);
    dki_gpu_free_host(cuda->gpu, pinned);
    return status ? status : synced;
}

/* Parameters, gradients, two slots (zero, as they begin: a random second moment could be negative)
 * and the working copy, one behind the other. */
dk_status dki_trial_update_open(dki_trial_update *update, dki_cuda *cuda, const dki_rule *rule,
                                int64_t count) {
    const dki_stream stream = cuda->lanes[DKI_LANE_PARAMS];
    const bool narrow = cuda->base.element != DKI_ELEMENT_F32;
    const int slots = dki_optimizer_slots(rule->kind);
    size_t region = 0, bytes = 0;
    DKI_REQUIRE(dki_mul((size_t)count, sizeof(float), &region) &&
                    dki_round_up(region, REGION_ALIGNMENT, &region) &&
                    dki_mul(region, REGIONS, &bytes) &&
                    dki_add(bytes, sizeof(dki_step_state), &bytes),
                DK_E_MEMORY, "memory to time an update in: its size overflows");
    update->cuda = cuda;
    DKI_TRY(dki_gpu_alloc(cuda->gpu, bytes, &update->memory));
    char *at = update->memory;
    DKI_TRY(dki_fill_random(cuda->gpu, stream, DKI_ELEMENT_F32, at, 2 * region));
    DKI_TRY(dki_gpu_zero(cuda->gpu, stream, at + 2 * region, 3 * region));
    update->range = (dki_update_range){
        .parameters = (float *)at,
        .gradients = (float *)(at + region),
        .slot1 = slots > 0 ? (float *)(at + 2 * region) : NULL,
        .slot2 = slots > 1 ? (float *)(at + 3 * region) : NULL,
        .working = narrow ? at + 4 * region : NULL,
        .range = {0, count},
        .rule = *rule,
        .decay = rule->weight_decay,
        .state = (dki_step_state *)(at + REGIONS * region),
    };
    return put_state(cuda, update->range.state);
}

void dki_trial_update_close(dki_trial_update *update) {
    if (update->memory) dki_gpu_free(update->cuda->gpu, update->memory);
    update->memory = NULL;
}
