/* Epochs over a data set: progress, validation, early stopping, the best parameters. */
#include "base/clock.h"
#include "train/epoch.h"
#include "train/evaluate.h"

#include <math.h>
#include <string.h>

/* One run of dk_trainer_fit. */
typedef struct {
    dk_trainer *trainer;
    const dk_fit_options *options;
    dki_feed *feed;
    dki_evaluator *evaluator; /* NULL without a validation set */
    float *best;              /* the best epoch's parameters, if they may be wanted */
    double best_loss;
    dk_progress progress;
    dk_fit_result result;
    double began, epoch_began; /* seconds */
    int64_t epoch_rows;        /* rows trained on in this epoch */
} fit_run;

/* Tells the caller; DK_E_STOPPED if it wants to stop. */
static dk_status report(fit_run *fit) {
    dk_progress *p = &fit->progress;
    if (!fit->options->progress) return DK_OK;
    double time = dki_seconds(), epoch_seconds = time - fit->epoch_began;
    p->seconds = time - fit->began;
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
    fit->result.train_loss = fit->progress.loss;
    return DK_OK;
}

static dk_status train_epoch(fit_run *fit, int64_t epoch) {
    dk_trainer *trainer = fit->trainer;
    fit->epoch_rows = 0;
    fit->epoch_began = dki_seconds();
    fit->progress.epoch = epoch;
    fit->progress.epoch_end = false;
    fit->progress.best = false;
    fit->progress.loss = NAN;     /* until a step has been reported */
    fit->result.valid_loss = NAN; /* of the network as it is: that one is about to change */
    trainer->loss_sum = 0.0;
    trainer->loss_weight = 0.0;
    const dki_epoch_start start = {!fit->options->in_order, trainer->options.seed,
                                   ++trainer->epochs, 0};
    DKI_TRY(dki_feed_begin(fit->feed, &start));
    for (;;) {
        dki_trained trained;
        DKI_TRY(dki_train_next(trainer, fit->feed, &trained));
        if (trained.steps == 0) break;
        fit->epoch_rows += trained.rows;
        fit->progress.step += trained.steps;
        fit->result.steps += trained.steps;
        DKI_TRY(collect(fit, false));
        DKI_TRY(report(fit));
    }
    return collect(fit, true);
}

/* Validation, and the best parameters so far. */
static dk_status validate(fit_run *fit, int64_t epoch) {
    if (!fit->evaluator) return DK_OK;
    dk_metrics metrics;
    dk_progress *p = &fit->progress;
    DKI_TRY(dki_evaluator_run(fit->evaluator, &metrics));
    p->valid_loss = metrics.loss;
    p->valid_metric = metrics.task == DK_TASK_CLASSIFICATION ? metrics.accuracy : metrics.rmse;
    p->best = metrics.loss < fit->best_loss;
    fit->result.valid_loss = metrics.loss;
    if (!p->best) return DK_OK;
    fit->best_loss = metrics.loss;
    fit->result.best_epoch = epoch;
    return fit->best ? dki_net_read_all(fit->trainer->net, fit->best) : DK_OK;
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
    const dk_fit_options *options = fit->options;
    for (int64_t epoch = 1; epoch <= options->epochs; ++epoch) {
        DKI_TRY(train_epoch(fit, epoch));
        fit->result.epochs = epoch;
        DKI_TRY(validate(fit, epoch));
        fit->progress.epoch_end = true;
        DKI_TRY(report(fit));
        fit->result.stopped_early =
            options->early_stop > 0 && epoch - fit->result.best_epoch >= options->early_stop;
        if (fit->result.stopped_early) break;
    }
    DKI_TRY(require_finite(fit));
    if (!fit->best || fit->result.best_epoch == fit->result.epochs) return DK_OK;
    fit->result.valid_loss = fit->best_loss;
    return dki_net_write_all(fit->trainer->net, fit->best);
}

/* "layer 3: dW" where the first NaN or Inf of the last step stands, in the order of computation;
 * only what was kept can be looked at. Returns false where none is found. */
static bool first_nonfinite(dk_trainer *trainer, size_t *layer, const char **tensor) {
    static const dk_tensor order[] = {DK_A, DK_DELTA, DK_WEIGHT_GRAD, DK_BIAS_GRAD};
    dk_session *session = trainer->session;
    const dk_net *net = trainer->net;
    for (size_t i = 0; i < sizeof order / sizeof *order; ++i)
        for (size_t step = 0; step <= net->desc.layer_count; ++step) {
            size_t k = i == 0 ? step : net->desc.layer_count - step;
            if (k == 0 && i > 0) continue;
            const dki_place *place = k ? &net->layout.places[k - 1] : NULL;
            int64_t width = k ? place->width : net->desc.inputs;
            size_t count = (size_t)(i < 2    ? session->rows * width
                                    : i == 2 ? width * place->inputs
                                             : width);
            float *values = NULL;
            if (dki_new(&net->context->allocator, &values, count, "a diagnosis")) return false;
            bool read = dk_session_read(session, order[i], k, values, count) == DK_OK;
            bool finite = true;
            for (size_t j = 0; read && finite && j < count; ++j) finite = isfinite(values[j]);
            dki_release(&net->context->allocator, values);
            if (finite) continue;
            *layer = k;
            *tensor = dk_tensor_name(order[i]);
            return true;
        }
    return false;
}

/* The slow look at what was left behind, so that the text names the layer. */
static dk_status diagnose(fit_run *fit) {
    char text[512];
    strncpy(text, dk_error_text(), sizeof text - 1);
    text[sizeof text - 1] = '\0';
    size_t layer = 0;
    const char *tensor = NULL;
    if (first_nonfinite(fit->trainer, &layer, &tensor))
        return dki_fail(DK_E_NONFINITE, "epoch %lld, %s (first seen in %s of layer %zu)",
                        (long long)fit->progress.epoch, text, tensor, layer);
    return dki_fail(DK_E_NONFINITE, "epoch %lld, %s", (long long)fit->progress.epoch, text);
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

static dk_status start(fit_run *fit, const dk_dataset *train, const dk_dataset *valid) {
    dk_trainer *trainer = fit->trainer;
    const dk_fit_options *options = fit->options;
    int64_t batch = trainer->options.batch * trainer->options.accumulate;
    int64_t steps = (train->rows + batch - 1) / batch * options->epochs;
    const dk_allocator *allocator = &trainer->net->context->allocator;
    DKI_TRY(dki_dataset_fits(train, trainer->net));
    /* Steps that dk_trainer_step left unread belong to no epoch of this run. */
    DKI_TRY(dki_trainer_collect(trainer, true, NULL));
    DKI_TRY(dki_feed_create(&fit->feed, trainer->net->context, train, batch,
                            trainer->net->class_weights));
    if (valid) DKI_TRY(dki_evaluator_create(&fit->evaluator, trainer->net, valid, 0));
    if (options->early_stop > 0 || options->restore_best)
        DKI_TRY(dki_new(allocator, &fit->best, (size_t)trainer->net->layout.elements,
                        "the best parameters"));
    fit->progress.epochs = options->epochs;
    fit->progress.steps = steps;
    fit->progress.has_valid = valid != NULL;
    if (trainer->options.total_steps == 0) {
        trainer->total_steps = steps;
        trainer->first_step = (int64_t)trainer->ticks;
    }
    return DK_OK;
}

dk_status dk_trainer_fit(dk_trainer *trainer, const dk_dataset *train, const dk_dataset *valid,
                         const dk_fit_options *options, dk_fit_result *result) {
    static const dk_fit_options defaults = DK_FIT_OPTIONS_INIT;
    DKI_REQUIRE(trainer && train, DK_E_ARGUMENT, "dk_trainer_fit: a NULL argument");
    if (!options) options = &defaults;
    DKI_TRY(check_options(options, valid));
    fit_run fit = {.trainer = trainer,
                   .options = options,
                   .best_loss = INFINITY,
                   .result = {.valid_loss = NAN},
                   .began = dki_seconds()};
    dk_status status = start(&fit, train, valid);
    if (!status) status = run_epochs(&fit);
    /* What a callback stopped goes on behind it, on a GPU. */
    if (status == DK_E_STOPPED) {
        dk_status late = collect(&fit, true);
        if (late) status = late;
    }
    if (status == DK_E_NONFINITE && fit.progress.epoch) status = diagnose(&fit);
    /* A schedule that was laid over this fit ends with it. */
    if (trainer->options.total_steps == 0) trainer->total_steps = 0;
    fit.result.seconds = dki_seconds() - fit.began;
    dki_release(&trainer->net->context->allocator, fit.best);
    dki_evaluator_destroy(fit.evaluator);
    dki_feed_destroy(fit.feed);
    if (result && (status == DK_OK || status == DK_E_STOPPED)) *result = fit.result;
    return status;
}
