#include "cli.h"
#include "options.h"
#include "text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_CHECKPOINT = CLI_KEY, KEY_EVERY, KEY_KEEP, KEY_RESUME, KEY_ANYWAY };

static const struct argp_option options[] = {
    {"checkpoint", KEY_CHECKPOINT, "DIR", 0,
     "Save all that training needs to go on into this folder, beside the training, at its end and "
     "when a signal stops it",
     0},
    {"checkpoint-every", KEY_EVERY, "N", 0,
     "How often: 50steps, 30s or 1epochs; more than one may be given (default 600s)", 0},
    {"checkpoint-keep", KEY_KEEP, "K", 0, "Keep the last K (default {})", 0},
    {"resume", KEY_RESUME, "PATH", 0,
     "Go on from a checkpoint, or from the newest of a folder, to the bits that an uninterrupted "
     "run "
     "gives. Repeat the options of then; without --checkpoint it goes on saving there",
     0},
    {"resume-anyway", KEY_ANYWAY, NULL, 0,
     "Though options, data, device or versions are others: the result will differ", 0},
    {0},
};

/* "50steps", "30s", "1epochs". */
static void parse_interval(const char *text, cli_checkpoint *checkpoint) {
    const size_t digits = strspn(text, "0123456789.");
    const char *unit = text + digits;
    char number[32];
    snprintf(number, sizeof number, "%.*s", (int)digits, text);
    if (digits && strcmp(unit, "s") == 0)
        checkpoint->seconds = cli_real("--checkpoint-every", number, 0, 1e9, CLI_OPEN_LOW);
    else if (digits && (strcmp(unit, "steps") == 0 || strcmp(unit, "step") == 0))
        checkpoint->steps = cli_integer("--checkpoint-every", number, 1, INT64_MAX);
    else if (digits && (strcmp(unit, "epochs") == 0 || strcmp(unit, "epoch") == 0))
        checkpoint->epochs = cli_integer("--checkpoint-every", number, 1, INT64_MAX);
    else
        cli_usage("--checkpoint-every: \"%s\" isn't like 50steps, 30s or 1epochs", text);
    checkpoint->given = true;
}

/* A run that is resumed goes on saving where it was saved. */
static void complete(cli_checkpoint *checkpoint) {
    const char *resume = checkpoint->resume;
    struct stat info;
    if (checkpoint->anyway && !resume) cli_usage("--resume-anyway is for --resume");
    if (resume && !checkpoint->folder) {
        const char *slash = strrchr(resume, '/');
        const bool is_folder = stat(resume, &info) == 0 && S_ISDIR(info.st_mode);
        const int length = is_folder ? (int)strlen(resume) : slash ? (int)(slash - resume) : 0;
        snprintf(checkpoint->beside, sizeof checkpoint->beside, "%.*s", length, resume);
        checkpoint->folder = length ? checkpoint->beside : slash ? "/" : ".";
    }
    if (!checkpoint->folder && checkpoint->given)
        cli_usage("--checkpoint-every needs --checkpoint or --resume");
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    cli_checkpoint *checkpoint = state->input;
    switch (key) {
    case KEY_CHECKPOINT:
        if (!*argument) cli_usage("--checkpoint: an empty text is no folder");
        checkpoint->folder = argument;
        return 0;
    case KEY_EVERY:
        parse_interval(argument, checkpoint);
        return 0;
    case KEY_KEEP:
        checkpoint->keep = cli_integer("--checkpoint-keep", argument, 1, 1000000);
        return 0;
    case KEY_RESUME:
        if (!*argument) cli_usage("--resume: an empty text is no path");
        checkpoint->resume = argument;
        return 0;
    case KEY_ANYWAY:
        checkpoint->anyway = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        complete(checkpoint);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *describe(int key, const char *text, void *input) {
    const cli_checkpoint *checkpoint = input;
    char value[32];
    if (key != KEY_KEEP || !checkpoint) return (char *)text;
    snprintf(value, sizeof value, "%lld", (long long)checkpoint->keep);
    return cli_substitute(text, value);
}

const struct argp cli_checkpoint_argp = {options, parse, NULL, NULL, NULL, describe, NULL};

void cli_checkpoint_apply(const cli_checkpoint *checkpoint, dk_fit_options *options_of_fit) {
    options_of_fit->checkpoint = checkpoint->folder;
    options_of_fit->checkpoint_keep = checkpoint->keep;
    if (!checkpoint->given) return;
    options_of_fit->checkpoint_steps = checkpoint->steps;
    options_of_fit->checkpoint_seconds = checkpoint->seconds;
    options_of_fit->checkpoint_epochs = checkpoint->epochs;
}
