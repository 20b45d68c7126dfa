#include "train.h"

#include "cli.h"
#include "file.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEY_TASK = CLI_KEY,
    KEY_VALID,
    KEY_VALID_FRACTION,
    KEY_EPOCHS,
    KEY_EARLY_STOP,
    KEY_OUT,
    KEY_METRICS,
    KEY_PLOT,
    KEY_JSON,
    KEY_QUIET,
    KEY_DRY_RUN
};

static const struct argp_option options[] = {
    {"task", KEY_TASK, "NAME", 0,
     "What the labels are: {} (default auto: text and whole numbers of few different values are "
     "classes, others numbers)",
     1},
    {"valid", KEY_VALID, "SOURCE", 0, "Validation data (default none); their test part, if any", 1},
    {"valid-fraction", KEY_VALID_FRACTION, "F", 0,
     "Split off this part of the training rows for validation, chosen by the seed (default none)",
     1},
    {"epochs", KEY_EPOCHS, "N", 0, "Times that every row is used (default {})", 1},
    {"early-stop", KEY_EARLY_STOP, "N", 0,
     "Stop after N epochs without a better validation loss, and keep the best parameters; 0 = off "
     "(default 0)",
     1},
    {NULL, 0, NULL, 0, "Output:", 9},
    {"out", KEY_OUT, "FILE", 0,
     "Save the model (safetensors); - = to standard output, results then go to standard error. "
     "Without it none is saved",
     9},
    {"metrics", KEY_METRICS, "FILE", 0,
     "Write a JSON object a line, one for each epoch; --resume goes on with it", 9},
    {"plot", KEY_PLOT, "FILE", 0, "Draw the learning curve as an SVG picture", 9},
    {"json", KEY_JSON, NULL, 0, "Results as one JSON object", 9},
    {"quiet", KEY_QUIET, NULL, 0, "No progress", 9},
    {"dry-run", KEY_DRY_RUN, NULL, 0,
     "Print how much memory training takes, and stop; exit status 5 if it doesn't fit", 9},
    {0},
};

static const char DOC[] =
    "Trains a network on data, and prints how good it is on the test part of the data, if they "
    "have one, or on the validation set."
    "\v"
    "Examples:\n"
    "  deltak train --data builtin:digits --valid-fraction 0.2 --plot curve.svg\n"
    "  deltak train --data mnist/ --hidden 512,512 --out mnist.safetensors\n"
    "  deltak train --data houses.csv --label-column price --task regression\n"
    "  deltak train --data synth:teacher --rows 100000 --optimizer lion --lr 1e-4\n"
    "  deltak train --data mnist/ --out m.safetensors --checkpoint run --checkpoint-every 1epochs\n"
    "  deltak train --data mnist/ --out m.safetensors --resume run\n"
    "\n"
    "SIGINT (Ctrl-C) and SIGTERM stop after the step under way and save the model so far, and a "
    "checkpoint; a second one ends at once. A checkpoint is a model file, too: eval, predict and "
    "inspect read it.\n"
    "\n"
    "Exit status: 0 done, 1 an output failed, 2 usage, 3 data, 4 model file, 5 device or memory, "
    "6 diverged, 130 or 143 stopped by a signal.";

static void check_together(const train_choices *choices) {
    if (choices->valid && choices->valid_fraction > 0)
        cli_usage("--valid and --valid-fraction exclude each other");
    if (choices->early_stop > 0 && !choices->valid && !(choices->valid_fraction > 0))
        cli_usage("--early-stop needs a validation set: add --valid or --valid-fraction");
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    train_choices *choices = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &choices->data;
        state->child_inputs[1] = &choices->network;
        state->child_inputs[2] = &choices->train;
        state->child_inputs[3] = &choices->train;
        state->child_inputs[4] = &choices->device;
        state->child_inputs[5] = &choices->checkpoint;
        return 0;
    case KEY_TASK:
        choices->task = (dk_task)cli_name_index("--task", argument, cli_task_at);
        return 0;
    case KEY_VALID:
        choices->valid = argument;
        return 0;
    case KEY_VALID_FRACTION:
        choices->valid_fraction =
            cli_real("--valid-fraction", argument, 0, 1, CLI_OPEN_LOW | CLI_OPEN_HIGH);
        return 0;
    case KEY_EPOCHS:
        choices->epochs = cli_integer("--epochs", argument, 1, INT32_MAX);
        return 0;
    case KEY_EARLY_STOP:
        choices->early_stop = cli_integer("--early-stop", argument, 0, INT32_MAX);
        return 0;
    case KEY_OUT:
        choices->out = argument;
        return 0;
    case KEY_METRICS:
        choices->metrics = argument;
        return 0;
    case KEY_PLOT:
        choices->plot = argument;
        return 0;
    case KEY_JSON:
        choices->json = true;
        return 0;
    case KEY_QUIET:
        choices->quiet = true;
        return 0;
    case KEY_DRY_RUN:
        choices->dry_run = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        check_together(choices);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *describe(int key, const char *text, void *input) {
    const train_choices *choices = input;
    char value[128];
    if (key == KEY_TASK) return cli_substitute(text, cli_names(cli_task_at, value, sizeof value));
    if (key != KEY_EPOCHS || !choices) return (char *)text;
    snprintf(value, sizeof value, "%lld", (long long)choices->epochs);
    return cli_substitute(text, value);
}

static const struct argp_child children[] = {
    {&cli_data_argp, 0, "Data:", 2},
    {&cli_network_argp, 0, "Network:", 3},
    {&cli_optimizer_argp, 0, "Optimizer:", 4},
    {&cli_schedule_argp, 0, "Schedule:", 5},
    {&cli_device_argp, 0, "Device:", 6},
    {&cli_checkpoint_argp, 0, "Checkpoints:", 7},
    {0},
};
static const struct argp argp = {options, parse, NULL, DOC, children, describe, NULL};

/* Two outputs of one name, or of one file. */
static bool are_one(const char *a, const char *b) {
    if (!a || !b) return false;
    if (strcmp(a, b) != 0) return !cli_keeps(a, b);
    cli_error("%s is named for two outputs: give each a file of its own", a);
    return true;
}

/* Whether the model can be saved, before hours of training: the file itself isn't touched. */
static bool can_save(const char *path) {
    struct stat info;
    if (!cli_can_write(path)) return false;
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) return true;
    cli_error("can't save the model as %s: it is there, and isn't a regular file", path);
    return false;
}

/* Standard output gets the model alone: what is printed goes to standard error from here on. The model is
 * written to a descriptor of its own. */
static bool send_to_standard_output(train_choices *choices) {
    static char path[32];
    if (isatty(STDOUT_FILENO)) {
        cli_error("--out -: a model isn't for a terminal: send it to a file or a pipe");
        return false;
    }
    const int output = dup(STDOUT_FILENO);
    if (output < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        cli_error("--out -: can't use standard output: %s", strerror(errno));
        return false;
    }
    snprintf(path, sizeof path, "/dev/fd/%d", output);
    choices->out = path;
    choices->to_standard_output = true;
    return true;
}

/* Whether every output can be written, none of them over an input or another output. */
static int check_outputs(const train_choices *choices) {
    const char *const outputs[] = {choices->out, choices->plot, choices->metrics};
    enum { COUNT = sizeof outputs / sizeof *outputs };
    if (choices->out && !choices->to_standard_output && !can_save(choices->out)) return CLI_FAILED;
    for (int i = 0; i < COUNT; ++i) {
        if (i > 0 && outputs[i] && !cli_can_write(outputs[i])) return CLI_FAILED;
        if (!cli_keeps(choices->data.source, outputs[i]) || !cli_keeps(choices->valid, outputs[i]))
            return CLI_USAGE;
        for (int j = 0; j < i; ++j)
            if (are_one(outputs[j], outputs[i])) return CLI_USAGE;
    }
    return CLI_OK;
}

int cli_train(int argc, char **argv) {
    static train_choices choices; /* too large for some stacks */
    choices.data = (cli_data)CLI_DATA_INIT;
    cli_network_init(&choices.network, "512,512");
    choices.train = (dk_train_options)DK_TRAIN_OPTIONS_INIT;
    choices.train.batch = CLI_BATCH_OF_ROWS;
    choices.device = (cli_device)CLI_DEVICE_INIT;
    const dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    choices.epochs = fit.epochs;
    choices.checkpoint.keep = fit.checkpoint_keep;
    cli_parse(&argp, argc, argv, &choices);
    if (choices.out && strcmp(choices.out, "-") == 0 && !send_to_standard_output(&choices))
        return CLI_FAILED;
    const int outputs = check_outputs(&choices);
    if (outputs) return outputs;
    train_run run = {0};
    int code = cli_train_run(&choices, &run);
    cli_train_release(&run);
    return code;
}
