/* Training over epochs: order, progress, validation, early stopping, the best parameters, checkpoints. */
#include "base/arithmetic.h"
#include "base/clock.h"
#include "train/epoch.h"
#include "train/evaluate.h"
#include "train/run_state.h"
#include "train/saver.h"

#include <math.h>
#include <string.h>

/* One run of dk_trainer_fit. */
typedef struct {
    dk_trainer *trainer;
    const dk_fit_options *options;
    dki_fit_state at; /* what a checkpoint would have of it */
    dki_feed *feed;
    dki_evaluator *evaluator; /* NULL without a validation set */
    float *best;              /* the best epoch's parameters, if they may be wanted */
    dki_saver saver;
    dk_progress progress;
    double began, epoch_began; /* seconds: of this call, and of what it does of the epoch */
    double earlier;            /* seconds before the run was resumed */
    int64_t epoch_rows;        /* rows trained on since epoch_began */
} fit_run;

/* What a checkpoint has of the best parameters. */
static float *kept_best(const fit_run *fit) {
    return fit->at.has_best ? fit->best : NULL;
}

/* Tells the caller; DK_E_STOPPED if it wants to stop. */
static dk_status report(fit_run *fit) {
    dk_progress *p = &fit->progress;
    double time = dki_seconds(), epoch_seconds = time - fit->epoch_began;
    fit->at.seconds = fit->earlier + time - fit->began;
    if (!fit->options->progress) return DK_OK;
    p->step = fit->at.steps;
    p->seconds = fit->at.seconds;
    p->samples_per_second = epoch_seconds > 0.0 ? (double)fit->epoch_rows / epoch_seconds : 0.0;
    p->seconds_left = p->seconds * (double)(p->steps - p->step) / (double)p->step;
    p->learning_rate = dki_trainer_rate(fit->trainer);
    if (fit->options->progress(fit->options->progress_user, p) == 0) return DK_OK;
    return dki_fail(DK_E_STOPPED, "stopped by the caller in epoch %lld, after step %lld",
                    (long long)p->epoch, (long long)p->step);
}

/* Losses are read behind the device: all of them where that costs nothing, else those reported. */
static dk_status collect(fit_run *fit, bool all) {
    dk_trainer *trainer = fit->trainer;
    bool free_of_cost = trainer->net->context->backend->host_memory;
    DKI_TRY(dki_trainer_collect(trainer, all || free_of_cost, NULL));
    if (trainer->loss_weight == 0.0) return DK_OK; /* nothing was reported yet */
    fit->progress.loss = trainer->loss_sum / trainer->loss_weight;
    fit->at.train_loss = fit->progress.loss;
    return DK_OK;
}

/* Begins the epoch, or goes on with it. One that can't begin leaves the next its order of the rows. */
static dk_status begin_epoch(fit_run *fit) {
    dk_trainer *trainer = fit->trainer;
    dki_fit_state *at = &fit->at;
    if (!at->begun) at->rows = 0;
    const dki_epoch_start start = {!fit->options->in_order, trainer->options.seed,
                                   trainer->epochs + !at->begun, at->rows};
    DKI_TRY(dki_feed_begin(fit->feed, &start));
    if (!at->begun) {
        ++trainer->epochs;
        trainer->loss_sum = trainer->loss_weight = 0.0;
        at->begun = true;
    }
    fit->epoch_rows = 0;
    fit->epoch_began = dki_seconds();
    fit->progress.epoch = at->epoch;
    fit->progress.epoch_end = false;
    fit->progress.best = false;
    fit->progress.loss = NAN; /* until a step has been reported */
    at->valid_loss = NAN;     /* of the network as it is: that one is about to change */
    return DK_OK;
}

static dk_status train_epoch(fit_run *fit) {
    DKI_TRY(begin_epoch(fit));
    for (;;) {
        dki_trained trained;
        DKI_TRY(dki_train_next(fit->trainer, fit->feed, &trained));
        if (trained.steps == 0) break;
        fit->epoch_rows += trained.rows;
        fit->at.rows += trained.rows;
        fit->at.steps += trained.steps;
        fit->saver.up_to_date = false;
        DKI_TRY(collect(fit, false));
        DKI_TRY(report(fit));
        DKI_TRY(dki_saver_step(&fit->saver, &fit->at, kept_best(fit), false));
    }
    return collect(fit, true);
}

/* Validation, and the best parameters so far. */
static dk_status validate(fit_run *fit) {
    if (!fit->evaluator) return DK_OK;
    dk_metrics metrics;
    dk_progress *p = &fit->progress;
    dki_fit_state *at = &fit->at;
    DKI_TRY(dki_evaluator_run(fit->evaluator, &metrics));
    p->valid_loss = at->valid_loss = metrics.loss;
    p->valid_metric = metrics.task == DK_TASK_CLASSIFICATION ? metrics.accuracy : metrics.rmse;
    p->best = metrics.loss < at->best_loss;
    if (!p->best) return DK_OK;
    if (fit->best) DKI_TRY(dki_net_read_all(fit->trainer->net, fit->best));
    at->has_best = fit->best != NULL;
    at->best_loss = metrics.loss;
    at->best_epoch = at->epoch;
    return DK_OK;
}

/* After the last epoch that is over; 0 = none is. */
static bool is_out_of_patience(const dki_fit_state *at) {
    return at->early_stop > 0 && at->epoch - 1 - at->best_epoch >= at->early_stop;
}

static void finish_epoch(fit_run *fit) {
    dki_fit_state *at = &fit->at;
    ++at->epoch;
    at->begun = false;
    at->rows = 0;
    at->stopped_early = is_out_of_patience(at);
    fit->progress.epoch_end = true;
    fit->saver.up_to_date = false;
}

/* The last update has no step behind it whose loss would tell that it overflowed. */
static dk_status require_finite(const fit_run *fit) {
    size_t layer = 0;
    dk_tensor tensor = DK_WEIGHT;
    DKI_TRY(dki_net_find_nonfinite(fit->trainer->net, &layer, &tensor));
    DKI_REQUIRE(
        layer == 0, DK_E_NONFINITE,
        "step %lld: the update left NaN or Inf in %s of layer %zu. Lower the learning rate, "
        "or clip the gradient",
        (long long)fit->trainer->ticks, dk_tensor_name(tensor), layer);
    return DK_OK;
}

static dk_status run_epochs(fit_run *fit) {
    while (!fit->at.stopped_early && fit->at.epoch <= fit->options->epochs) {
        DKI_TRY(train_epoch(fit));
        DKI_TRY(validate(fit));
        finish_epoch(fit);
        DKI_TRY(report(fit));
        DKI_TRY(dki_saver_step(&fit->saver, &fit->at, kept_best(fit), true));
    }
    return require_finite(fit);
}

static dk_status restore_best(fit_run *fit) {
    if (!fit->at.has_best || fit->at.best_epoch == fit->at.epoch - 1) return DK_OK;
    fit->at.valid_loss = fit->at.best_loss;
    return dki_net_write_all(fit->trainer->net, fit->best);
}

static dk_status check_options(const dk_fit_options *options, const dk_dataset *valid) {
    DKI_REQUIRE(options->size == sizeof *options, DK_E_ARGUMENT,
                "dk_fit_options.size is %zu, not %zu: start from DK_FIT_OPTIONS_INIT",
                options->size, sizeof *options);
    DKI_REQUIRE(options->epochs >= 1 && options->epochs <= INT32_MAX, DK_E_ARGUMENT,
                "%lld epochs: at least 1", (long long)options->epochs);
    DKI_REQUIRE(options->early_stop >= 0, DK_E_ARGUMENT, "early_stop = %lld",
                (long long)options->early_stop);
    DKI_REQUIRE(valid || (options->early_stop == 0 && !options->restore_best), DK_E_STATE,
                "early stopping and the best parameters need a validation set");
    return DK_OK;
}

/* What the fit is asked for, as a checkpoint records it. Only those look at the data's bytes. */
static dk_status describe(fit_run *fit, const dk_dataset *train, const dk_dataset *valid) {
    const dk_fit_options *options = fit->options;
    fit->at = (dki_fit_state){.epochs = options->epochs,
                              .early_stop = options->early_stop,
                              .restore_best = options->restore_best,
                              .in_order = options->in_order,
                              .epoch = 1,
                              .train_loss = NAN,
                              .valid_loss = NAN,
                              .best_loss = INFINITY};
    if (!options->checkpoint && !fit->trainer->resumed) return DK_OK;
    DKI_TRY(dki_dataset_fingerprint(train, fit->at.train));
    return valid ? dki_dataset_fingerprint(valid, fit->at.valid) : DK_OK;
}

/* Where the fit begins: at its beginning, or where a checkpoint was taken of it. */
static dk_status find_start(fit_run *fit, const dk_dataset *train, const dk_dataset *valid) {
    dk_trainer *trainer = fit->trainer;
    const dki_fit_state *saved = &trainer->fit;
    DKI_TRY(describe(fit, train, valid));
    if (!trainer->resumed) return DK_OK;
    const dki_fit_state asked = fit->at;
    if (!trainer->resume_anyway)
        if (dki_fit_state_compare(saved, &asked))
            return dki_fail_in(DK_E_STATE, "the fit that was resumed");
    DKI_REQUIRE(saved->rows <= train->rows, DK_E_STATE,
                "the fit that was resumed has used %lld rows of an epoch, and there are %lld: take "
                "the data of then",
                (long long)saved->rows, (long long)train->rows);
    fit->at = *saved;
    fit->at.epochs = asked.epochs;
    fit->at.early_stop = asked.early_stop;
    fit->at.restore_best = asked.restore_best;
    fit->at.in_order = asked.in_order;
    memcpy(fit->at.train, asked.train, sizeof asked.train);
    memcpy(fit->at.valid, asked.valid, sizeof asked.valid);
    fit->at.stopped_early = !saved->begun && is_out_of_patience(&fit->at);
    fit->earlier = saved->seconds;
    return DK_OK;
}

/* Room for the best parameters, or those of the checkpoint. */
static dk_status find_best(fit_run *fit) {
    dk_trainer *trainer = fit->trainer;
    const bool wanted = fit->options->early_stop > 0 || fit->options->restore_best;
    fit->best = trainer->best;
    trainer->best = NULL;
    if (!wanted) {
        dki_release(&trainer->net->context->allocator, fit->best);
        fit->best = NULL;
    }
    if (fit->best) return DK_OK;
    fit->at.has_best = false;
    if (!wanted) return DK_OK;
    return dki_new(&trainer->net->context->allocator, &fit->best,
                   (size_t)trainer->net->layout.elements, "the best parameters");
}

static dk_status start(fit_run *fit, const dk_dataset *train, const dk_dataset *valid) {
    dk_trainer *trainer = fit->trainer;
    const dk_fit_options *options = fit->options;
    int64_t batch = trainer->options.batch * trainer->options.accumulate;
    int64_t steps = (train->rows + batch - 1) / batch * options->epochs;
    DKI_TRY(dki_dataset_fits(train, trainer->net));
    /* Steps that dk_trainer_step left unread belong to no epoch of this run. */
    if (!trainer->resumed) DKI_TRY(dki_trainer_collect(trainer, true, NULL));
    DKI_TRY(find_start(fit, train, valid));
    DKI_TRY(dki_feed_create(&fit->feed, trainer->net->context, train, batch,
                            trainer->net->class_weights));
    if (valid) DKI_TRY(dki_evaluator_create(&fit->evaluator, trainer->net, valid, 0));
    DKI_TRY(dki_saver_open(&fit->saver, trainer, options));
    DKI_TRY(find_best(fit));
    fit->progress.epochs = options->epochs;
    fit->progress.steps = steps;
    fit->progress.has_valid = valid != NULL;
    if (trainer->options.total_steps == 0) { /* the same again, if nothing else is wanted */
        trainer->total_steps = steps;
        if (!trainer->resumed) trainer->first_step = (int64_t)trainer->ticks;
    }
    trainer->resumed = false;
    return DK_OK;
}

/* What a callback stopped goes on behind it, on a GPU. */
static dk_status end(fit_run *fit, dk_status status) {
    if (status == DK_E_STOPPED) {
        dk_status late = collect(fit, true);
        if (late) return late;
    }
    char text[512];
    strncpy(text, dk_error_text(), sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dk_status saved = dki_saver_finish(&fit->saver, &fit->at, kept_best(fit));
    dk_status restored = status == DK_OK ? restore_best(fit) : DK_OK;
    if (restored || saved) return restored ? restored : saved;
    if (status) dki_error_restore(text);
    return status;
}

static void fill_result(const fit_run *fit, dk_fit_result *result) {
    const dki_fit_state *at = &fit->at;
    *result = (dk_fit_result){.epochs = at->epoch - 1,
                              .steps = at->steps,
                              .best_epoch = at->best_epoch,
                              .train_loss = at->train_loss,
                              .valid_loss = at->valid_loss,
                              .seconds = fit->earlier + dki_seconds() - fit->began,
                              .stopped_early = at->stopped_early,
                              .checkpoints = fit->saver.saved,
                              .checkpoints_failed = fit->saver.failed};
}

static dk_status fit_now(dk_trainer *trainer, const dk_dataset *train, const dk_dataset *valid,
                         const dk_fit_options *options, dk_fit_result *result) {
    fit_run fit = {.trainer = trainer, .options = options, .began = dki_seconds()};
    dk_status status = start(&fit, train, valid);
    if (!status) status = run_epochs(&fit);
    const bool trained = status == DK_OK || status == DK_E_STOPPED;
    if (trained) status = end(&fit, status);
    if (status == DK_E_NONFINITE && fit.progress.epoch)
        status = dki_fail_in(status, "epoch %lld", (long long)fit.progress.epoch);
    /* A schedule that was laid over this fit ends with it. */
    if (trainer->options.total_steps == 0 && !trainer->resumed) trainer->total_steps = 0;
    if (result && trained) fill_result(&fit, result);
    dki_saver_close(&fit.saver);
    dki_release(&trainer->net->context->allocator, fit.best);
    dki_evaluator_destroy(fit.evaluator);
    dki_feed_destroy(fit.feed);
    return status;
}

dk_status dk_trainer_fit(dk_trainer *trainer, const dk_dataset *train, const dk_dataset *valid,
                         const dk_fit_options *options, dk_fit_result *result) {
    DKI_ARITHMETIC;
    static const dk_fit_options defaults = DK_FIT_OPTIONS_INIT;
    DKI_REQUIRE(trainer && train, DK_E_ARGUMENT, "dk_trainer_fit: a NULL argument");
    if (!options) options = &defaults;
    DKI_TRY(check_options(options, valid));
    DKI_TRY(dki_turn_take(&trainer->turn, "this trainer"));
    return dki_turn_give(&trainer->turn, fit_now(trainer, train, valid, options, result));
}
