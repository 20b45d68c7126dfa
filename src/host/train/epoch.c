#include "train/epoch.h"

/* Below so many flops a step is over before the next one is launched, one by one. */
static const double SMALL_STEP = 4e9;
enum { STEPS_A_LAUNCH = 8 };

static int64_t steps_a_launch(const dk_trainer *trainer) {
    if (trainer->net->context->backend->host_memory) return 1;
    double flops = 6.0 * (double)trainer->net->layout.parameter_count *
                   (double)(trainer->options.batch * trainer->options.accumulate);
    return flops < SMALL_STEP ? STEPS_A_LAUNCH : 1;
}

/* Announces `steps` steps on batches of the feed, the first of which is `batch`. */
static dk_status announce(dk_trainer *trainer, dki_feed *feed, const dki_fed *batch,
                          int64_t steps) {
    dki_fed next = *batch;
    for (int64_t step = 0; step < steps; ++step) {
        if (step) DKI_TRY(dki_feed_next(feed, &next));
        DKI_TRY(dki_trainer_announce(trainer, next.weight));
    }
    return DK_OK;
}

/* Steps on equal batches in one launch. What was announced but never launched is taken back: the
 * device would go on counting without it. */
static dk_status train(dk_trainer *trainer, dki_feed *feed, const dki_fed *batch, int64_t steps,
                       dki_captured *captured) {
    dki_steps work = {.rows = batch->rows, .steps = steps, .loaded = &batch->from};
    DKI_TRY(dki_trainer_make_room(trainer, steps));
    const uint64_t before = trainer->ticks;
    dk_status status = announce(trainer, feed, batch, steps);
    if (!status) status = dki_set_cursor(trainer->session, batch->position);
    if (status) {
        trainer->ticks = before;
        return status;
    }
    DKI_TRY(dki_run_steps(trainer, &work, captured));
    trainer->session->cursor += (uint64_t)(steps * batch->rows);
    return DK_OK;
}

dk_status dki_train_fed(dk_trainer *trainer, const dki_fed *batch) {
    bool full = batch->rows == trainer->options.batch * trainer->options.accumulate;
    return train(trainer, NULL, batch, 1,
                 &trainer->captured[full ? DKI_CAPTURED_FULL : DKI_CAPTURED_TAIL]);
}

dk_status dki_train_next(dk_trainer *trainer, dki_feed *feed, dki_trained *trained) {
    dki_fed batch;
    int64_t several = steps_a_launch(trainer);
    *trained = (dki_trained){0, 0};
    DKI_TRY(dki_feed_next(feed, &batch));
    if (batch.rows == 0) return DK_OK;
    trained->steps = several > 1 && batch.following >= several - 1 ? several : 1;
    trained->rows = trained->steps * batch.rows;
    return trained->steps > 1 ? train(trainer, feed, &batch, trained->steps,
                                      &trainer->captured[DKI_CAPTURED_SEVERAL])
                              : dki_train_fed(trainer, &batch);
}
