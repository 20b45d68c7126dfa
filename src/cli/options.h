/* The option groups that commands share. A group is a structure that holds the defaults before
 * parsing and the choices after it, and an argp that a command takes as a child. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "deltak/deltak.h"
#include "parse.h"

#include <limits.h>

enum { CLI_MOST_HIDDEN = 1023 };

/** What stands for a batch that isn't given: the option itself takes 1 and more. */
enum { CLI_BATCH_OF_ROWS = -1, CLI_BATCH_OF_WORKLOAD = 0 };

/** Which device, and how. */
typedef struct cli_device {
    const char *device;
    int threads;
    dk_precision precision;
    bool deterministic, no_plan_cache;
} cli_device;

#define CLI_DEVICE_INIT                                                                            \
    { "auto", 0, DK_FP32, false, false }
extern const struct argp cli_device_argp;

/** A context from the options; its log lines go to standard error. */
dk_status cli_device_open(const cli_device *device, dk_context **context);

/** Where data come from. */
typedef struct cli_data {
    const char *source; /* NULL: not given */
    const char *label_column;
    uint64_t seed;
    int64_t rows, features, targets;
    dk_header header;
    const char *ignore_columns, *id_column; /* or NULL */
} cli_data;

#define CLI_DATA_INIT                                                                              \
    { NULL, NULL, 1, 0, 0, 0, DK_HEADER_AUTO, NULL, NULL }
extern const struct argp cli_data_argp;

/** The library's options for a part of the data; task and likeness are the caller's to add. */
dk_data_options cli_data_options(const cli_data *data, dk_part part);

/** Opens a source; "-" is standard input. */
dk_status cli_open_data(dk_dataset **dataset, dk_context *context, const char *source,
                        dk_data_options options);

/** Says on standard error what is doubtful of a set, or nothing of NULL. */
void cli_warn_of_data(const dk_dataset *dataset);

/** Opens the test part, or what else there is where the source has none. */
dk_status cli_open_for_test(dk_dataset **dataset, dk_context *context, const char *source,
                            dk_data_options options);

/** The same, with *dataset NULL where there is no test part. */
dk_status cli_open_test_part(dk_dataset **dataset, dk_context *context, const char *source,
                             dk_data_options options);

/** A network, but for what follows from data: widths at its ends. */
typedef struct cli_network {
    int64_t hidden[CLI_MOST_HIDDEN];
    size_t hidden_count;
    const char *hidden_text; /* the default, for the help */
    dk_activation activation;
    float alpha;
    bool loss_given; /* else it follows from the task */
    dk_loss loss;
    float dropout;
    dk_init init;
    float init_value;
    float huber_delta, label_smoothing;
} cli_network;

extern const struct argp cli_network_argp;
extern const struct argp cli_layer_argp; /**< the same but for the hidden widths */

/** Sets the hidden widths from a text such as "512,256". */
void cli_network_hidden(cli_network *network, const char *text);

/** The initialiser of a network with these hidden layers. */
void cli_network_init(cli_network *network, const char *hidden);

/** The description: hidden layers, then an identity layer of `outputs`; layers has room for
 *  CLI_MOST_HIDDEN + 1 and must outlive the description. */
dk_net_desc cli_network_describe(const cli_network *network, int64_t inputs, int64_t outputs,
                                 dk_task task, uint64_t seed, dk_layer *layers);

/** Where checkpoints go, how often, and which one to go on from. */
typedef struct cli_checkpoint {
    const char *folder, *resume; /* NULL: not given */
    bool given;                  /* an interval was; else the library's */
    int64_t steps, epochs;
    double seconds;
    int64_t keep;
    bool anyway;
    char beside[PATH_MAX]; /* what folder points to, where it follows from resume */
} cli_checkpoint;

extern const struct argp cli_checkpoint_argp;

/** Puts the choices into the options of a fit, which point to them then. */
void cli_checkpoint_apply(const cli_checkpoint *checkpoint, dk_fit_options *options_of_fit);

/* Both groups fill a dk_train_options: what one update depends on, and how training goes on. */
extern const struct argp cli_optimizer_argp;
extern const struct argp cli_schedule_argp;

#endif
