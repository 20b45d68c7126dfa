/* `deltak train` in parts: its choices, one run, and what is reported of it. */
#ifndef CLI_TRAIN_H
#define CLI_TRAIN_H

#include "curve.h"
#include "metrics.h"
#include "options.h"
#include "progress.h"

/** What the command line asks for. */
typedef struct train_choices {
    cli_data data;
    cli_network network;
    dk_train_options train;
    cli_device device;
    cli_checkpoint checkpoint;
    dk_task task;
    const char *valid; /* source, or NULL */
    double valid_fraction;
    int64_t epochs, early_stop;
    const char *out, *metrics, *plot; /* paths, or NULL */
    bool to_standard_output;          /* the model: `out` is a descriptor's path then */
    bool json, quiet, dry_run;
} train_choices;

/** What a run holds; all zero before it. */
typedef struct train_run {
    dk_context *context;
    dk_dataset *whole, *train, *valid, *test; /* valid and test: or NULL */
    dk_dataset_info info;                     /* of train */
    dk_net *net;
    dk_trainer *trainer;
    cli_metrics metrics;
    cli_progress progress;
    cli_curve curve;
    double samples_per_second; /* as last reported */
    dk_fit_result result;
    dk_metrics on_valid, on_test; /* where there are such sets, and no signal came */
    int stopped_by;               /* a signal's number, or 0 */
    bool checkpoint_failed;       /* the last one couldn't be saved */
} train_run;

/** Where the model goes, for people. */
static inline const char *cli_train_out_name(const train_choices *choices) {
    return choices->to_standard_output ? "standard output" : choices->out;
}

/** Prints the memory plan on standard output. */
void cli_train_print_plan(const train_choices *choices, const train_run *run,
                          const dk_memory_plan *plan);

/** Prints the outcome on standard output. */
void cli_train_print_result(const train_choices *choices, const train_run *run);

/** Opens data, builds the network, trains, saves. Takes a batch larger than the data down to their
 *  rows. Returns the exit code; the caller releases. */
int cli_train_run(train_choices *choices, train_run *run);
void cli_train_release(train_run *run);

#endif
