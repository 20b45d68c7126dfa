#include "train/checkpoint.h"

#include "base/arithmetic.h"
#include "model/file.h"

size_t dki_checkpoint_regions(const dk_trainer *trainer, float *best,
                              dki_region regions[DKI_CHECKPOINT_REGIONS]) {
    static const char *const slot_prefixes[] = {"slot1.", "slot2."};
    const bool on_host = trainer->net->context->backend->host_memory;
    size_t count = 0;
    regions[count++] = dki_parameters_of(trainer->net);
    for (int slot = 0; slot < dki_optimizer_slots(trainer->options.optimizer); ++slot)
        regions[count++] = (dki_region){slot_prefixes[slot], trainer->session->tensors.slots[slot],
                                        on_host, false};
    if (best) regions[count++] = (dki_region){"best.", best, true, true};
    return count;
}

static dk_status describe(dki_checkpoint *checkpoint, dk_trainer *trainer,
                          const dki_fit_state *fit) {
    dki_backend *backend = trainer->net->context->backend;
    dki_run_state run = {.options = trainer->options,
                         .progress = {trainer->total_steps, trainer->first_step, trainer->epochs,
                                      trainer->ticks, trainer->loss_sum, trainer->loss_weight},
                         .fitting = fit != NULL,
                         .allocator = checkpoint->allocator};
    if (fit) run.fit = *fit;
    dki_environment_of(trainer->net->context, &run.environment);
    DKI_TRY(backend->ops->download(backend, &run.state, trainer->session->tensors.state,
                                   sizeof run.state));
    if (backend->ops->keep_plans)
        DKI_TRY(backend->ops->keep_plans(backend, &run.plans, &run.plan_bytes));
    dk_status status = dki_run_state_to_json(&run, checkpoint->allocator, &checkpoint->training);
    dki_run_state_release(&run);
    return status;
}

static void release_text(const dki_checkpoint *checkpoint, char **text) {
    dki_release(checkpoint->allocator, *text);
    *text = NULL;
}

/* As long as the data are wide, and written while training waits: anew only where the network has changed
 * since the copy before. */
static dk_status describe_net(dki_checkpoint *checkpoint, const dk_net *net) {
    dki_net_lock_read(net);
    if (checkpoint->model && checkpoint->revision == net->revision)
        return dki_net_unlock(net, DK_OK);
    release_text(checkpoint, &checkpoint->model);
    checkpoint->revision = net->revision;
    return dki_net_unlock(net, dki_net_to_json(net, &checkpoint->model));
}

static dk_status take(dki_checkpoint *checkpoint, dk_trainer *trainer, const dki_fit_state *fit,
                      float *best) {
    dki_region regions[DKI_CHECKPOINT_REGIONS];
    const size_t count = dki_checkpoint_regions(trainer, best, regions);
    if (checkpoint->regions != count) {
        dki_tensor_copies_release(&checkpoint->copies);
        DKI_TRY(dki_tensor_copies_make(&checkpoint->copies, trainer->net, regions, count));
        checkpoint->regions = count;
    }
    DKI_TRY(describe_net(checkpoint, trainer->net));
    DKI_TRY(describe(checkpoint, trainer, fit));
    DKI_TRY(dki_tensor_copies_take(&checkpoint->copies, trainer->net, regions, count));
    checkpoint->parameter_tensors = 2 * trainer->net->desc.layer_count;
    checkpoint->tick = trainer->ticks;
    return DK_OK;
}

dk_status dki_checkpoint_take(dki_checkpoint *checkpoint, dk_trainer *trainer,
                              const dki_fit_state *fit, float *best) {
    checkpoint->allocator = &trainer->net->context->allocator;
    release_text(checkpoint, &checkpoint->training);
    DKI_TRY(dki_trainer_make_room(trainer, 1)); /* refuses after a step that failed half-way */
    DKI_TRY(dki_trainer_collect(trainer, true, NULL));
    dk_status status = take(checkpoint, trainer, fit, best);
    if (status) dki_checkpoint_release(checkpoint);
    return status;
}

dk_status dki_checkpoint_write(const dki_checkpoint *checkpoint, const char *path) {
    const dki_metadata metadata[] = {{DKI_MODEL_KEY, checkpoint->model},
                                     {DKI_TRAINING_KEY, checkpoint->training}};
    DKI_TRY(dki_tensor_copies_check(&checkpoint->copies, checkpoint->parameter_tensors));
    return dki_safetensors_write(checkpoint->allocator, path, metadata, 2,
                                 checkpoint->copies.tensors, checkpoint->copies.count);
}

void dki_checkpoint_release(dki_checkpoint *checkpoint) {
    if (!checkpoint->allocator) return;
    release_text(checkpoint, &checkpoint->model);
    release_text(checkpoint, &checkpoint->training);
    dki_tensor_copies_release(&checkpoint->copies);
    *checkpoint = (dki_checkpoint){0};
}

dk_status dk_trainer_save(dk_trainer *trainer, const char *path) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(trainer && path, DK_E_ARGUMENT, "dk_trainer_save: a NULL argument");
    dki_checkpoint checkpoint = {0};
    DKI_TRY(dki_turn_take(&trainer->turn, "this trainer"));
    /* A fit that was resumed, and hasn't been gone on with yet, is still under way. */
    dk_status status = dki_checkpoint_take(&checkpoint, trainer,
                                           trainer->resumed ? &trainer->fit : NULL, trainer->best);
    if (!status) status = dki_checkpoint_write(&checkpoint, path);
    dki_checkpoint_release(&checkpoint);
    return dki_turn_give(&trainer->turn, status);
}
