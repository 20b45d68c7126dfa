/* A trainer's life, and one step from the caller's arrays. */
#include "base/arithmetic.h"
#include "train/diagnose.h"
#include "train/run.h"
#include "train/schedule.h"

#include <math.h>

static bool has_dropout(const dk_net *net) {
    for (size_t k = 0; k < net->desc.layer_count; ++k)
        if (net->layers[k].dropout > 0.0f) return true;
    return false;
}

/* β₁⁰ = β₂⁰ = 1, and the loss scale; everything else starts at 0. */
static dk_status start_state(dk_trainer *trainer) {
    dki_backend *backend = trainer->net->context->backend;
    dki_step_state state = {.seed = trainer->options.seed,
                            .beta1_power = 1.0,
                            .beta2_power = 1.0,
                            .loss_scale = backend->loss_scaling ? DKI_LOSS_SCALE_START : 0.0f};
    return backend->ops->upload(backend, DKI_LANE_MAIN, trainer->session->tensors.state, &state,
                                sizeof state);
}

static dk_status build(dk_trainer *trainer) {
    dk_net *net = trainer->net;
    const dk_train_options *o = &trainer->options;
    DKI_TRY(dki_new(&net->context->allocator, &trainer->optimization.ranges,
                    2 * net->desc.layer_count, "a trainer"));
    const dki_rule *rule = &trainer->optimization.rule;
    trainer->optimization.rule = dki_train_rule(o);
    trainer->optimization.clip_norm = (float)o->clip_norm;
    const bool early = dki_step_updates_early(net, &trainer->optimization);
    const dki_session_updates updates = {.slots = dki_optimizer_slots(o->optimizer),
                                         .fuse_rule = o->fuse_update ? rule : NULL,
                                         .early_rule = early ? rule : NULL};
    DKI_TRY(
        dki_session_open(&trainer->session, net, o->batch, true, o->keep == DK_KEEP_ALL, &updates));
    if (o->fuse_update && !trainer->session->fuse_update)
        dki_log_line(&net->context->log, DK_LOG_INFO,
                     "fuse_update changes nothing here: %s on %s updates behind the gradients",
                     dk_optimizer_name(o->optimizer), net->context->info.device);
    trainer->session->fused = true;
    trainer->session->dropout = has_dropout(net);
    trainer->optimization.decay_biases = o->decay_biases;
    trainer->total_steps = o->total_steps;
    dki_backend *backend = net->context->backend;
    DKI_TRY(backend->ops->alloc(backend, DKI_MEMORY_SHARED, sizeof *trainer->mailbox,
                                (void **)&trainer->mailbox));
    trainer->optimization.mailbox = trainer->mailbox;
    trainer->loss_scale = backend->loss_scaling ? DKI_LOSS_SCALE_START : 0.0f;
    return start_state(trainer);
}

dk_status dk_trainer_create(dk_trainer **trainer, dk_net *net, const dk_train_options *options) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(trainer && net, DK_E_ARGUMENT, "dk_trainer_create: a NULL argument");
    *trainer = NULL;
    dk_train_options resolved;
    DKI_TRY(dki_train_options_resolve(options, &net->desc, &resolved));
    return dki_trainer_open(trainer, net, &resolved);
}

dk_status dk_trainer_options(const dk_trainer *trainer, dk_train_options *options) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(trainer && options, DK_E_ARGUMENT, "dk_trainer_options: a NULL argument");
    *options = trainer->options;
    return DK_OK;
}

dk_status dki_trainer_open(dk_trainer **trainer, dk_net *net, const dk_train_options *resolved) {
    *trainer = NULL;
    dk_trainer *made = NULL;
    DKI_TRY(dki_new(&net->context->allocator, &made, 1, "a trainer"));
    if (__atomic_exchange_n(&net->in_training, true, __ATOMIC_ACQ_REL)) {
        dki_release(&net->context->allocator, made);
        return dki_fail(DK_E_STATE, "this network has a trainer already");
    }
    made->net = dki_net_hold(net);
    made->options = *resolved;
    dk_status status = build(made);
    if (status) {
        dk_trainer_destroy(made);
        return status;
    }
    *trainer = made;
    return DK_OK;
}

void dk_trainer_destroy(dk_trainer *trainer) {
    if (!trainer) return;
    dk_net *net = trainer->net;
    dki_backend *backend = net->context->backend;
    for (int i = 0; i < DKI_CAPTURED_COUNT; ++i)
        backend->ops->run(backend, &trainer->captured[i].recording, NULL, NULL);
    backend->ops->release(backend, trainer->mailbox);
    dk_session_destroy(trainer->session);
    dki_release(&net->context->allocator, trainer->optimization.ranges);
    dki_release(&net->context->allocator, trainer->best);
    __atomic_store_n(&net->in_training, false, __ATOMIC_RELEASE);
    dki_release(&net->context->allocator, trainer);
    dk_net_destroy(net);
}

dk_session *dk_trainer_session(dk_trainer *trainer) {
    return trainer ? trainer->session : NULL;
}

int64_t dk_trainer_steps(const dk_trainer *trainer) {
    return trainer ? (int64_t)trainer->ticks : 0;
}

/* The factor of the schedule at the step that tick (from 1) is. */
static double rate_at(const dk_trainer *trainer, uint64_t tick) {
    int64_t s = (int64_t)tick - 1 - trainer->first_step;
    return trainer->options.lr * dki_schedule_factor(&trainer->options, s, trainer->total_steps);
}

double dki_trainer_rate(const dk_trainer *trainer) {
    return rate_at(trainer, trainer->ticks);
}

/* The ring of announcements must not be overwritten before the device has read them; nor that of
 * reports before the host has. */
static bool has_room(const dk_trainer *trainer, int64_t steps) {
    return trainer->ticks + (uint64_t)steps - trainer->collected <= DKI_RING / 2;
}

dk_status dki_trainer_make_room(dk_trainer *trainer, int64_t steps) {
    DKI_REQUIRE(!trainer->broken, DK_E_STATE,
                "step %llu failed half-way: make a new trainer, from the last good parameters",
                (unsigned long long)trainer->ticks);
    if (has_room(trainer, steps)) return DK_OK;
    DKI_TRY(dki_trainer_collect(trainer, false, NULL));
    return has_room(trainer, steps) ? DK_OK : dki_trainer_collect(trainer, true, NULL);
}

dk_status dki_trainer_announce(dk_trainer *trainer, double weight_sum) {
    DKI_REQUIRE(weight_sum > 0.0, DK_E_DATA, "step %llu: the sample weights of the batch are all 0",
                (unsigned long long)trainer->ticks + 1);
    uint64_t tick = trainer->ticks + 1;
    trainer->mailbox->announced[tick % DKI_RING] = (dki_tick){
        (float)rate_at(trainer, tick), (float)(1.0 / dki_normaliser(trainer->net, weight_sum))};
    trainer->weights[tick % DKI_RING] = weight_sum;
    trainer->ticks = tick;
    return DK_OK;
}

/* Takes back what begin counted from the bad step on: those updates did nothing, so Adam's t is
 * that of the last good one. (Where decide counts, it didn't.) The powers are made as begin makes
 * them, so that they have the same bits. */
static void uncount(const dk_trainer *trainer, dki_step_state *state) {
    const dki_rule *rule = &trainer->optimization.rule;
    if (dki_step_decides(trainer->net, &trainer->optimization)) return;
    state->applied -= trainer->ticks - state->bad_tick + 1;
    state->beta1_power = state->beta2_power = 1.0;
    for (uint64_t t = 0; t < state->applied && state->beta1_power + state->beta2_power > 0.0; ++t) {
        state->beta1_power *= rule->beta1;
        state->beta2_power *= rule->beta2;
    }
}

static const char *what_became_of_parameters(const dk_trainer *trainer,
                                             const dki_step_state *state) {
    const dki_backend *backend = trainer->net->context->backend;
    if (trainer->session->fuse_update)
        return "fuse_update has put it into the weights: go on from a saved network";
    if (state->bad_at >= DKI_AT_PARAMETER || backend->early_updates)
        return "the parameters are finite, but some of them may have taken that step";
    return "the parameters are those before that step";
}

/* Reports the latched step, and clears the latch. Nothing is queued. */
static dk_status report_nonfinite(dk_trainer *trainer, dki_step_state *state) {
    dki_backend *backend = trainer->net->context->backend;
    const dki_step_state seen = *state;
    char where[128];
    dki_diagnose(trainer, state, where, sizeof where);
    uncount(trainer, state);
    state->bad_tick = 0;
    state->bad_at = 0;
    trainer->collected = trainer->ticks;
    DKI_TRY(backend->ops->upload(backend, DKI_LANE_MAIN, trainer->session->tensors.state, state,
                                 sizeof *state));
    return dki_fail(DK_E_NONFINITE,
                    "step %llu: the loss, a gradient or an update is NaN or Inf%s; %s. Lower the "
                    "learning rate, clip the gradient, or look at the data",
                    (unsigned long long)seen.bad_tick, where,
                    what_became_of_parameters(trainer, &seen));
}

/* A scale that fell tells of a step that was skipped; at 1, small gradients vanish in fp16. */
static void follow_loss_scale(dk_trainer *trainer, float now) {
    if (now < trainer->loss_scale)
        dki_log_line(
            &trainer->net->context->log, now > 1.0f ? DK_LOG_INFO : DK_LOG_WARNING,
            "step %llu: fp16 gradients overflowed, and the step was skipped; the loss scale "
            "is %g now%s",
            (unsigned long long)trainer->collected, (double)now,
            now > 1.0f ? "" : ", the least: lower the learning rate, or use bf16");
    trainer->loss_scale = now;
}

static void add_step(dk_trainer *trainer, double loss, float loss_scale, double *last) {
    double weight = trainer->weights[++trainer->collected % DKI_RING];
    follow_loss_scale(trainer, loss_scale);
    trainer->loss_sum += weight * loss;
    trainer->loss_weight += weight;
    if (last) *last = loss;
}

/* The steps that the mailbox tells of; false where one of them was bad. */
static bool take_reports(dk_trainer *trainer, double *last) {
    while (trainer->collected < trainer->ticks) {
        uint64_t tick = trainer->collected + 1;
        const dki_report *report = &trainer->mailbox->reports[tick % DKI_RING];
        if (__atomic_load_n(&report->tick, __ATOMIC_ACQUIRE) != tick) break;
        if (report->bad_tick) return false;
        add_step(trainer, report->loss, report->loss_scale, last);
    }
    return true;
}

dk_status dki_trainer_collect(dk_trainer *trainer, bool all, double *last) {
    dki_backend *backend = trainer->net->context->backend;
    dki_step_state state;
    if (!all && take_reports(trainer, last)) return DK_OK;
    DKI_TRY(backend->ops->sync(backend));
    DKI_TRY(backend->ops->download(backend, &state, trainer->session->tensors.state, sizeof state));
    if (state.bad_tick) return report_nonfinite(trainer, &state);
    take_reports(trainer, last);
    if (trainer->collected < trainer->ticks) add_step(trainer, state.loss, state.loss_scale, last);
    return DK_OK;
}

/* Inf may end at a saturated g: tanh ∞ = 1. What shows it all the same is dW⁽¹⁾ = δ⁽¹⁾ xᵀ, where
 * even 0·∞ is NaN; so only a frozen first layer could swallow it, and then the host looks. */
static dk_status require_finite(const dk_trainer *trainer, const dk_batch *batch) {
    int64_t inputs = trainer->net->desc.inputs;
    if (!trainer->net->layers[0].frozen) return DK_OK;
    for (int64_t i = 0; i < batch->rows * inputs; ++i)
        DKI_REQUIRE(isfinite(batch->x[i]), DK_E_NONFINITE,
                    "step %llu: feature %lld of row %lld is NaN or Inf",
                    (unsigned long long)trainer->ticks + 1, (long long)(i % inputs),
                    (long long)(i / inputs));
    return DK_OK;
}

dk_status dki_trainer_require_schedule(const dk_trainer *trainer) {
    DKI_REQUIRE(trainer->total_steps > 0 || trainer->options.warmup >= 1.0 ||
                    trainer->options.warmup == 0.0 ||
                    trainer->options.schedule == DK_SCHEDULE_CONSTANT,
                DK_E_ARGUMENT,
                "warmup = %g is a part of total_steps, which is 0: set total_steps, or warmup to a "
                "number of steps",
                trainer->options.warmup);
    return DK_OK;
}

dk_status dk_trainer_step(dk_trainer *trainer, const dk_batch *batch, double *loss) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(trainer, DK_E_ARGUMENT, "dk_trainer_step: trainer is NULL");
    DKI_TRY(dki_batch_validate(trainer->net, batch));
    DKI_REQUIRE(batch->rows <= UINT32_MAX, DK_E_SHAPE, "a batch of %lld rows is too large",
                (long long)batch->rows);
    DKI_TRY(dki_trainer_require_schedule(trainer));
    DKI_TRY(require_finite(trainer, batch));
    const double weight = dki_batch_weight(trainer->net, batch);
    dki_steps work = {.rows = batch->rows, .steps = 1, .batch = batch};
    DKI_TRY(dki_turn_take(&trainer->turn, "this trainer"));
    return dki_turn_give(&trainer->turn, dki_run_batch(trainer, &work, weight, loss));
}
