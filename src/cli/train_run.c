#include "train.h"

#include "cli.h"

#include <langinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t caught;

static void on_signal(int number) {
    caught = number;
}

/* The first signal asks for an end after the step; SA_RESETHAND lets a second one kill. A signal
 * that the parent had ignored stays so. */
static void watch_signals(bool watch) {
    static const int numbers[] = {SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = watch ? on_signal : SIG_DFL,
                               .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) {
        struct sigaction old;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

static int on_progress(void *user, const dk_progress *report) {
    train_run *run = user;
    run->samples_per_second = report->samples_per_second;
    cli_progress_show(&run->progress, report);
    if (report->epoch_end) {
        cli_curve_add(&run->curve, report);
        cli_metrics_add(&run->metrics, report);
    }
    return caught != 0;
}

static int open_data(const train_choices *choices, train_run *run) {
    dk_data_options options = cli_data_options(&choices->data, DK_PART_TRAIN);
    options.task = choices->task;
    const char *source = choices->data.source;
    dk_status status = cli_open_data(&run->whole, run->context, source, options);
    if (status) return cli_fail(CLI_AT_DATA, status);
    cli_warn_of_data(run->whole);
    options.task = DK_TASK_AUTO;
    options.like = run->whole;
    if (!choices->valid || strncmp(choices->valid, "synth:", 6) != 0) options.rows = 0;
    status = cli_open_test_part(&run->test, run->context, source, options);
    if (status) return cli_fail(CLI_AT_DATA, status);
    if (choices->valid) {
        status = cli_open_for_test(&run->valid, run->context, choices->valid, options);
        if (status) return cli_fail(CLI_AT_DATA, status);
        cli_warn_of_data(run->valid);
    }
    if (choices->valid_fraction > 0) {
        status = dk_dataset_split(run->whole, choices->valid_fraction, choices->train.seed,
                                  &run->train, &run->valid);
        if (status) return cli_fail(CLI_AT_DATA, status);
    } else {
        run->train = run->whole;
        run->whole = NULL;
    }
    status = dk_dataset_describe(run->train, &run->info);
    return status ? cli_fail(CLI_AT_DATA, status) : CLI_OK;
}

/* Cross-entropies take classes, the elementwise losses numbers. */
static bool loss_fits(const train_choices *choices, const train_run *run) {
    dk_loss loss = choices->network.loss;
    bool for_classes =
        loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY || loss == DK_LOSS_SIGMOID_CROSS_ENTROPY;
    bool classes = run->info.task == DK_TASK_CLASSIFICATION;
    if (!choices->network.loss_given || for_classes == classes) return true;
    cli_error("--loss %s needs %s, and the labels of %s are %s: choose another loss, or --task %s",
              dk_loss_name(loss), for_classes ? "classes" : "numbers", choices->data.source,
              classes ? "classes" : "numbers",
              dk_task_name(classes ? DK_TASK_REGRESSION : DK_TASK_CLASSIFICATION));
    return false;
}

/* In one line what was read, and what the network does to it before and behind its layers. */
static void say_what_was_read(const train_run *run) {
    dk_preprocessing learnt = {0};
    if (run->net && dk_net_preprocessing(run->net, &learnt)) return;
    const char *features = !learnt.feature_scale ? ""
                           : run->info.image     ? "; features scaled by 1/255"
                                                 : "; features standardised";
    cli_error("%s%s%s", dk_dataset_note(run->train, 0), features,
              learnt.target_scale ? "; targets standardised" : "");
}

/* In one line what it learns by, of which some follows from the network and the rows. */
static void say_how_it_trains(const train_run *run) {
    dk_train_options chosen;
    if (dk_trainer_options(run->trainer, &chosen)) return;
    cli_error("%s at a rate of %.3g, %s, batches of %lld", dk_optimizer_name(chosen.optimizer),
              chosen.lr, dk_schedule_name(chosen.schedule), (long long)chosen.batch);
}

static int build(const train_choices *choices, train_run *run, const dk_net_desc *desc) {
    dk_status status = dk_net_create(&run->net, run->context, desc);
    if (!status) status = dk_net_learn_preprocessing(run->net, run->train);
    if (status) return cli_fail(CLI_AT_OPTIONS, status);
    if (!choices->quiet) say_what_was_read(run);
    const cli_checkpoint *checkpoint = &choices->checkpoint;
    status = checkpoint->resume ? dk_trainer_resume(&run->trainer, run->net, &choices->train,
                                                    checkpoint->resume, checkpoint->anyway)
                                : dk_trainer_create(&run->trainer, run->net, &choices->train);
    if (status) return cli_fail(checkpoint->resume ? CLI_AT_MODEL : CLI_AT_OPTIONS, status);
    if (!choices->quiet) say_how_it_trains(run);
    if (!choices->metrics) return CLI_OK;
    return cli_metrics_open(&run->metrics, choices->metrics, checkpoint->resume) ? CLI_OK
                                                                                 : CLI_FAILED;
}

static dk_status train(const train_choices *choices, train_run *run) {
    dk_fit_options options = DK_FIT_OPTIONS_INIT;
    options.epochs = choices->epochs;
    options.early_stop = choices->early_stop;
    options.progress = on_progress;
    options.progress_user = run;
    run->progress = cli_progress_start(choices->quiet, run->info.task);
    run->curve.task = run->info.task;
    cli_checkpoint_apply(&choices->checkpoint, &options);
    watch_signals(true);
    dk_status status = dk_trainer_fit(run->trainer, run->train, run->valid, &options, &run->result);
    cli_progress_end(&run->progress);
    return status;
}

/* Trains, and saves whatever came of it: all of it, or what a signal left. A last checkpoint that
 * couldn't be saved costs the exit code, not the model. */
static int fit(const train_choices *choices, train_run *run) {
    dk_status status = train(choices, run);
    const bool trained = run->result.steps > 0;
    if (status && status != DK_E_STOPPED) {
        const int code = cli_fail(CLI_AT_TRAINING, status);
        run->checkpoint_failed =
            trained && run->result.checkpoints_failed > 0 && status != DK_E_NONFINITE;
        if (!run->checkpoint_failed) return code;
    }
    if (caught) run->stopped_by = caught;
    if (choices->out) {
        status = dk_net_save(run->net, choices->out);
        if (status) {
            const int code = cli_fail(CLI_AT_MODEL, status);
            return code == CLI_MODEL ? CLI_FAILED : code; /* an output, like others */
        }
    }
    watch_signals(false);
    if (!run->stopped_by) run->stopped_by = caught; /* it came after the last step */
    return CLI_OK;
}

static int evaluate(train_run *run) {
    dk_status status = DK_OK;
    if (run->valid) status = dk_evaluate(run->net, run->valid, 0, &run->on_valid);
    if (!status && run->test) status = dk_evaluate(run->net, run->test, 0, &run->on_test);
    return status ? cli_fail(CLI_AT_DATA, status) : CLI_OK;
}

/* The pictures and the log: what goes wrong here costs the exit code, not the model. */
static int finish_outputs(const train_choices *choices, train_run *run) {
    int code = run->checkpoint_failed ? CLI_FAILED : CLI_OK;
    if (!cli_metrics_close(&run->metrics)) code = CLI_FAILED;
    if (!choices->quiet && (run->progress.terminal || choices->plot))
        cli_curve_text(&run->curve, stderr, strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
                       cli_terminal_columns());
    if (choices->plot && !cli_curve_svg(&run->curve, choices->plot)) code = CLI_FAILED;
    return code;
}

static int plan(const train_choices *choices, const train_run *run, const dk_net_desc *desc) {
    dk_memory_plan memory;
    dk_status status = dk_plan(run->context, desc, &choices->train, &memory);
    if (status) return cli_fail(CLI_AT_OPTIONS, status);
    cli_train_print_plan(choices, run, &memory);
    if (memory.total <= memory.device_free) return CLI_OK;
    cli_error(
        "this doesn't fit: training takes %.1f MiB and %.1f MiB are free: take a smaller batch or "
        "network",
        (double)memory.total / 1048576.0, (double)memory.device_free / 1048576.0);
    return CLI_DEVICE;
}

static void tell_of_signal(const train_choices *choices, const train_run *run) {
    const char *name = run->stopped_by == SIGINT ? "SIGINT" : "SIGTERM";
    const long long steps = (long long)run->result.steps;
    if (choices->out)
        cli_error("stopped by %s after %lld steps; the model so far is in %s", name, steps,
                  cli_train_out_name(choices));
    else
        cli_error("stopped by %s after %lld steps; no model is saved without --out", name, steps);
    if (choices->checkpoint.folder && !run->checkpoint_failed)
        cli_error("to go on, repeat the command with --resume %s", choices->checkpoint.folder);
}

int cli_train_run(train_choices *choices, train_run *run) {
    dk_status status = cli_device_open(&choices->device, &run->context);
    if (status) return cli_fail(CLI_AT_OPTIONS, status);
    int code = open_data(choices, run);
    if (code) return code;
    if (!loss_fits(choices, run)) return CLI_USAGE;
    if (choices->train.batch == CLI_BATCH_OF_ROWS)
        choices->train.batch = dk_batch_for(run->info.rows);
    /* The same batches, without memory for rows that never come. */
    if (choices->train.batch > run->info.rows) choices->train.batch = run->info.rows;
    static dk_layer layers[CLI_MOST_HIDDEN + 1];
    dk_net_desc desc =
        cli_network_describe(&choices->network, run->info.features, run->info.targets,
                             run->info.task, choices->train.seed, layers);
    if (choices->dry_run) {
        if (!choices->quiet) say_what_was_read(run);
        return plan(choices, run, &desc);
    }
    code = build(choices, run, &desc);
    if (!code) code = fit(choices, run);
    if (code) return code;
    int output = finish_outputs(choices, run);
    if (!run->stopped_by) code = evaluate(run);
    if (code) return code;
    cli_train_print_result(choices, run);
    if (!run->stopped_by) return output;
    tell_of_signal(choices, run);
    return 128 + run->stopped_by;
}

void cli_train_release(train_run *run) {
    if (run->metrics.file) (void)fclose(run->metrics.file);
    cli_curve_release(&run->curve);
    dk_trainer_destroy(run->trainer);
    dk_net_destroy(run->net);
    dk_dataset_destroy(run->test);
    dk_dataset_destroy(run->valid);
    dk_dataset_destroy(run->train);
    dk_dataset_destroy(run->whole);
    dk_context_destroy(run->context);
}
