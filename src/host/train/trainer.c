/* A trainer's life, and one step from the caller's arrays. */
#include "train/trainer.h"

#include "train/schedule.h"

#include <math.h>
#include <stddef.h>

static bool has_dropout(const dk_net *net) {
    for (size_t k = 0; k < net->desc.layer_count; ++k)
        if (net->layers[k].dropout > 0.0f) return true;
    return false;
}

/* The optimizer's slots: one allocation, which comes zeroed. */
static dk_status allocate_slots(dk_trainer *trainer) {
    dki_backend *backend = trainer->net->context->backend;
    int64_t elements = trainer->net->layout.elements;
    int count = dki_optimizer_slots(trainer->options.optimizer);
    if (count == 0) return DK_OK;
    size_t bytes = (size_t)count * (size_t)elements * sizeof(float);
    float *memory = NULL;
    dk_status status = backend->ops->alloc(backend, bytes, (void **)&memory);
    if (status)
        return dki_fail_in(status, "the %s optimizer's state (%.1f MiB)",
                           dk_optimizer_name(trainer->options.optimizer),
                           (double)bytes / 1048576.0);
    trainer->optimization.slots[0] = memory;
    trainer->optimization.slots[1] = count > 1 ? memory + elements : NULL;
    return DK_OK;
}

/* β₁⁰ = β₂⁰ = 1; everything else starts at 0. */
static dk_status start_state(dk_trainer *trainer) {
    dki_backend *backend = trainer->net->context->backend;
    dki_step_state *state = trainer->session->tensors.state;
    const double one = 1.0;
    uint64_t seed = trainer->options.seed;
    DKI_TRY(backend->ops->upload(backend, &state->seed, &seed, sizeof seed));
    DKI_TRY(backend->ops->upload(backend, &state->beta1_power, &one, sizeof one));
    return backend->ops->upload(backend, &state->beta2_power, &one, sizeof one);
}

static dk_status build(dk_trainer *trainer) {
    dk_net *net = trainer->net;
    const dk_train_options *o = &trainer->options;
    DKI_TRY(dki_new(&net->context->allocator, &trainer->optimization.ranges,
                    2 * net->desc.layer_count, "a trainer"));
    DKI_TRY(dki_session_open(&trainer->session, net, o->batch, true, o->keep == DK_KEEP_ALL));
    trainer->session->fused = true;
    trainer->session->dropout = has_dropout(net);
    trainer->optimization.rule = dki_train_rule(o);
    trainer->optimization.decay_biases = o->decay_biases;
    trainer->optimization.clip_norm = (float)o->clip_norm;
    trainer->total_steps = o->total_steps;
    DKI_TRY(allocate_slots(trainer));
    return start_state(trainer);
}

dk_status dk_trainer_create(dk_trainer **trainer, dk_net *net, const dk_train_options *options) {
    DKI_REQUIRE(trainer && net, DK_E_ARGUMENT, "dk_trainer_create: a NULL argument");
    *trainer = NULL;
    dk_train_options resolved;
    DKI_TRY(dki_train_options_resolve(options, &resolved));
    DKI_REQUIRE(!net->in_training, DK_E_STATE, "this network has a trainer already");
    dk_trainer *made = NULL;
    DKI_TRY(dki_new(&net->context->allocator, &made, 1, "a trainer"));
    made->net = dki_net_hold(net);
    made->options = resolved;
    dk_status status = build(made);
    net->in_training = true;
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
    for (int i = 0; i < DKI_RECORDINGS; ++i)
        backend->ops->run(backend, &trainer->captured[i].recording, NULL, NULL);
    backend->ops->release(backend, trainer->optimization.slots[0]);
    dk_session_destroy(trainer->session);
    dki_release(&net->context->allocator, trainer->optimization.ranges);
    net->in_training = false;
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

dk_status dki_trainer_announce(dk_trainer *trainer, double weight_sum) {
    dki_backend *backend = trainer->net->context->backend;
    DKI_REQUIRE(weight_sum > 0.0, DK_E_DATA, "step %llu: the sample weights of the batch are all 0",
                (unsigned long long)trainer->ticks + 1);
    uint64_t tick = trainer->ticks + 1;
    dki_tick entry = {(float)rate_at(trainer, tick),
                      (float)(1.0 / dki_normaliser(trainer->net, weight_sum))};
    DKI_TRY(backend->ops->upload(backend, &trainer->session->tensors.state->ring[tick % DKI_RING],
                                 &entry, sizeof entry));
    trainer->weights[tick % DKI_RING] = weight_sum;
    trainer->ticks = tick;
    return DK_OK;
}

/* Takes back what begin counted from the bad step on: those updates did nothing, so Adam's t is
 * that of the last good one. (Where decide counts, it didn't.) The powers are made as begin makes
 * them, so that they have the same bits. */
static dk_status uncount(dk_trainer *trainer, uint64_t bad_tick) {
    dki_backend *backend = trainer->net->context->backend;
    dki_step_state *state = trainer->session->tensors.state;
    const dki_rule *rule = &trainer->optimization.rule;
    uint64_t applied = 0;
    double beta1_power = 1.0, beta2_power = 1.0;
    if (dki_step_decides(&trainer->optimization)) return DK_OK;
    DKI_TRY(backend->ops->download(backend, &applied, &state->applied, sizeof applied));
    applied -= trainer->ticks - bad_tick + 1;
    for (uint64_t t = 0; t < applied; ++t) {
        beta1_power *= rule->beta1;
        beta2_power *= rule->beta2;
    }
    DKI_TRY(backend->ops->upload(backend, &state->applied, &applied, sizeof applied));
    DKI_TRY(backend->ops->upload(backend, &state->beta1_power, &beta1_power, sizeof beta1_power));
    return backend->ops->upload(backend, &state->beta2_power, &beta2_power, sizeof beta2_power);
}

/* Reports the latched step, and clears the latch. */
static dk_status report_nonfinite(dk_trainer *trainer, uint64_t bad_tick) {
    dki_backend *backend = trainer->net->context->backend;
    const uint64_t none = 0;
    DKI_TRY(uncount(trainer, bad_tick));
    DKI_TRY(backend->ops->upload(backend, &trainer->session->tensors.state->bad_tick, &none,
                                 sizeof none));
    return dki_fail(DK_E_NONFINITE,
                    "step %llu: the loss or a gradient is NaN or Inf; the parameters are those "
                    "before that step. Lower the learning rate, clip the gradient, or look at the "
                    "data",
                    (unsigned long long)bad_tick);
}

dk_status dki_trainer_collect(dk_trainer *trainer, double *last) {
    dki_backend *backend = trainer->net->context->backend;
    const dki_step_state *state = trainer->session->tensors.state;
    uint64_t bad_tick = 0;
    DKI_TRY(backend->ops->sync(backend));
    DKI_TRY(backend->ops->download(backend, &bad_tick, &state->bad_tick, sizeof bad_tick));
    if (bad_tick) {
        trainer->collected = trainer->ticks;
        return report_nonfinite(trainer, bad_tick);
    }
    for (; trainer->collected < trainer->ticks; ++trainer->collected) {
        double loss = 0.0;
        DKI_TRY(backend->ops->download(
            backend, &loss, &state->loss[(trainer->collected + 1) % DKI_RING], sizeof loss));
        double weight = trainer->weights[(trainer->collected + 1) % DKI_RING];
        trainer->loss_sum += weight * loss;
        trainer->loss_weight += weight;
        if (last) *last = loss;
    }
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

dk_status dk_trainer_step(dk_trainer *trainer, const dk_batch *batch, double *loss) {
    DKI_REQUIRE(trainer, DK_E_ARGUMENT, "dk_trainer_step: trainer is NULL");
    DKI_TRY(dki_batch_validate(trainer->net, batch));
    DKI_REQUIRE(batch->rows <= UINT32_MAX, DK_E_SHAPE, "a batch of %lld rows is too large",
                (long long)batch->rows);
    DKI_REQUIRE(trainer->total_steps > 0 || trainer->options.warmup >= 1.0 ||
                    trainer->options.warmup == 0.0 ||
                    trainer->options.schedule == DK_SCHEDULE_CONSTANT,
                DK_E_ARGUMENT,
                "warmup = %g is a part of total_steps, which is 0: set total_steps, or warmup to a "
                "number of steps",
                trainer->options.warmup);
    DKI_TRY(require_finite(trainer, batch));
    dk_session *session = trainer->session;
    DKI_TRY(dki_trainer_announce(trainer, dki_batch_weight(trainer->net, batch)));
    DKI_TRY(dki_step_begin(session, &trainer->optimization));
    for (int64_t first = 0; first < batch->rows; first += session->shape.max_batch) {
        int64_t left = batch->rows - first;
        int64_t rows = left < session->shape.max_batch ? left : session->shape.max_batch;
        dki_targets targets;
        DKI_TRY(dki_batch_upload(session, batch, first, rows, &targets));
        DKI_TRY(dki_step_forward(session, rows, (uint32_t)first));
        DKI_TRY(dki_step_backward(session, rows, (uint32_t)first, (int)trainer->net->desc.loss,
                                  &targets, first > 0, true));
    }
    DKI_TRY(dki_step_update(session, &trainer->optimization));
    if (loss || trainer->ticks - trainer->collected >= DKI_RING / 2)
        return dki_trainer_collect(trainer, loss);
    return DK_OK;
}
