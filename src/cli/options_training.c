#include "cli.h"
#include "options.h"
#include "text.h"

#include <math.h>
#include <stdio.h>

enum {
    KEY_OPTIMIZER = CLI_KEY,
    KEY_LR,
    KEY_BETA1,
    KEY_BETA2,
    KEY_EPSILON,
    KEY_WEIGHT_DECAY,
    KEY_DECAY_BIASES,
    KEY_CLIP_NORM,
    KEY_CLIP_VALUE,
    KEY_FUSE_UPDATE,
    KEY_BATCH,
    KEY_SEED,
    KEY_SCHEDULE,
    KEY_WARMUP,
    KEY_FINAL_FACTOR,
    KEY_GAMMA,
    KEY_POWER,
    KEY_PERIOD,
    KEY_ACCUMULATE
};

static const struct argp_option optimizer_options[] = {
    {"optimizer", KEY_OPTIMIZER, "NAME", 0, "One of: {}", 0},
    {"lr", KEY_LR, "RATE", 0,
     "Learning rate, the peak of the schedule (default 0.001; for adam and adamw 0.003 times the "
     "root of 128/w, w the widest hidden layer before another one, at least 32)",
     0},
    {"beta1", KEY_BETA1, "B", 0,
     "First moment's decay; of momentum and nesterov, the momentum (default 0.9)", 0},
    {"momentum", 0, "B", OPTION_ALIAS, NULL, 0},
    {"beta2", KEY_BETA2, "B", 0,
     "Second moment's decay (default 0.999 for adam and adamw, 0.99 for rmsprop and lion)", 0},
    {"epsilon", KEY_EPSILON, "E", 0,
     "Added to the root of the second moment (default 1e-8; adagrad 1e-10)", 0},
    {"weight-decay", KEY_WEIGHT_DECAY, "W", 0,
     "Decoupled for adamw and lion, added to the gradient for the others (default 0.01 for adamw, "
     "0 for the others)",
     0},
    {"decay-biases", KEY_DECAY_BIASES, NULL, 0, "Let weight decay act on biases too", 0},
    {"clip-norm", KEY_CLIP_NORM, "C", 0,
     "Scale gradients down to this global 2-norm; 0 = off (default {})", 0},
    {"clip-value", KEY_CLIP_VALUE, "C", 0,
     "Clamp every element of the gradient to this; 0 = off (default {})", 0},
    {"fuse-update", KEY_FUSE_UPDATE, NULL, 0,
     "Update weights inside the product that makes their gradients: less memory traffic for plain "
     "sgd on a GPU (a CPU goes on without it); but a gradient that is NaN or Inf then spoils "
     "weights. Not with --clip-norm",
     0},
    {"batch", KEY_BATCH, "N", 0, "Rows of a batch (default {})", 0},
    {"seed", KEY_SEED, "N", 0,
     "Of initial weights, batch order, dropout and split: the same seed gives the same model, to "
     "the byte (default {})",
     0},
    {0},
};

static const struct argp_option schedule_options[] = {
    {"schedule", KEY_SCHEDULE, "NAME", 0, "How the learning rate goes on: {}", 0},
    {"warmup", KEY_WARMUP, "W", 0,
     "Linear warm-up: below 1 a part of all steps, else so many steps (default {})", 0},
    {"final-factor", KEY_FINAL_FACTOR, "F", 0,
     "Of polynomial, cosine and one_cycle: the last rate as a part of the peak (default {})", 0},
    {"gamma", KEY_GAMMA, "G", 0, "Of step and exponential: the factor (default {})", 0},
    {"power", KEY_POWER, "P", 0, "Of polynomial (default {})", 0},
    {"period", KEY_PERIOD, "N", 0, "Of step, in steps; 0 = a third of them (default {})", 0},
    {"accumulate", KEY_ACCUMULATE, "N", 0,
     "Batches whose gradients make one update: memory for one, the effect of N times the batch "
     "(default {})",
     0},
    {0},
};

static error_t parse_optimizer(int key, char *argument, struct argp_state *state) {
    dk_train_options *train = state->input;
    switch (key) {
    case KEY_OPTIMIZER:
        if (dk_optimizer_parse(argument, &train->optimizer))
            cli_usage("--optimizer: %s", dk_error_text());
        return 0;
    case KEY_LR:
        train->lr = cli_real("--lr", argument, 0, INFINITY, CLI_OPEN_LOW);
        return 0;
    case KEY_BETA1:
        train->beta1 = cli_real("--beta1", argument, 0, 1, CLI_OPEN_HIGH);
        return 0;
    case KEY_BETA2:
        train->beta2 = cli_real("--beta2", argument, 0, 1, CLI_OPEN_HIGH);
        return 0;
    case KEY_EPSILON:
        train->epsilon = cli_real("--epsilon", argument, 0, INFINITY, CLI_CLOSED);
        return 0;
    case KEY_WEIGHT_DECAY:
        train->weight_decay = cli_real("--weight-decay", argument, 0, INFINITY, CLI_CLOSED);
        return 0;
    case KEY_DECAY_BIASES:
        train->decay_biases = true;
        return 0;
    case KEY_CLIP_NORM:
        train->clip_norm = cli_real("--clip-norm", argument, 0, INFINITY, CLI_CLOSED);
        return 0;
    case KEY_CLIP_VALUE:
        train->clip_value = cli_real("--clip-value", argument, 0, INFINITY, CLI_CLOSED);
        return 0;
    case KEY_FUSE_UPDATE:
        train->fuse_update = true;
        return 0;
    case KEY_BATCH:
        train->batch = cli_integer("--batch", argument, 1, INT32_MAX);
        return 0;
    case KEY_SEED:
        train->seed = (uint64_t)cli_integer("--seed", argument, 0, INT64_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_schedule(int key, char *argument, struct argp_state *state) {
    dk_train_options *train = state->input;
    switch (key) {
    case KEY_SCHEDULE:
        if (dk_schedule_parse(argument, &train->schedule))
            cli_usage("--schedule: %s", dk_error_text());
        return 0;
    case KEY_WARMUP:
        train->warmup = cli_real("--warmup", argument, 0, INFINITY, CLI_CLOSED);
        return 0;
    case KEY_FINAL_FACTOR:
        train->final_factor = cli_real("--final-factor", argument, 0, 1, CLI_CLOSED);
        return 0;
    case KEY_GAMMA:
        train->gamma = cli_real("--gamma", argument, 0, 1, CLI_OPEN_LOW);
        return 0;
    case KEY_POWER:
        train->power = cli_real("--power", argument, 0, INFINITY, CLI_OPEN_LOW);
        return 0;
    case KEY_PERIOD:
        train->period = cli_integer("--period", argument, 0, INT64_MAX);
        return 0;
    case KEY_ACCUMULATE:
        train->accumulate = cli_integer("--accumulate", argument, 1, INT32_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Numbers that an option starts from, by its key; NaN for an option that has none. */
static double default_of(const dk_train_options *train, int key) {
    switch (key) {
    case KEY_CLIP_NORM:
        return train->clip_norm;
    case KEY_CLIP_VALUE:
        return train->clip_value;
    case KEY_BATCH:
        return (double)train->batch;
    case KEY_SEED:
        return (double)train->seed;
    case KEY_WARMUP:
        return train->warmup;
    case KEY_FINAL_FACTOR:
        return train->final_factor;
    case KEY_GAMMA:
        return train->gamma;
    case KEY_POWER:
        return train->power;
    case KEY_PERIOD:
        return (double)train->period;
    case KEY_ACCUMULATE:
        return (double)train->accumulate;
    default:
        return NAN;
    }
}

static char *describe(int key, const char *text, void *input) {
    const dk_train_options *train = input;
    char names[256], value[320];
    if (!train) return (char *)text;
    if (key == KEY_OPTIMIZER)
        snprintf(value, sizeof value, "%s (default %s)",
                 cli_names(cli_optimizer_at, names, sizeof names),
                 dk_optimizer_name(train->optimizer));
    else if (key == KEY_SCHEDULE)
        snprintf(value, sizeof value, "%s (default %s)",
                 cli_names(cli_schedule_at, names, sizeof names),
                 dk_schedule_name(train->schedule));
    else if (key == KEY_BATCH && train->batch == CLI_BATCH_OF_ROWS)
        snprintf(value, sizeof value, "a 16th of the rows, as a power of two from %lld to %lld",
                 (long long)dk_batch_for(0), (long long)dk_batch_for(INT64_MAX));
    else if (key == KEY_BATCH && train->batch == CLI_BATCH_OF_WORKLOAD)
        snprintf(value, sizeof value, "the workload's, else %lld",
                 (long long)((dk_train_options)DK_TRAIN_OPTIONS_INIT).batch);
    else
        snprintf(value, sizeof value, "%g", default_of(train, key));
    return cli_substitute(text, value);
}

const struct argp cli_optimizer_argp = {
    optimizer_options, parse_optimizer, NULL, NULL, NULL, describe, NULL};
const struct argp cli_schedule_argp = {
    schedule_options, parse_schedule, NULL, NULL, NULL, describe, NULL};
