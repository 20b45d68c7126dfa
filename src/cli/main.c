/* The `deltak` command: finds the command and hands over. */
#include "cli.h"
#include "text.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct command {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} command;

static const command COMMANDS[] = {
    {"train", "train a network on data, and save it", cli_train},
    {"eval", "tell how good a model is on labelled data", cli_eval},
    {"predict", "predict from features, from a file or standard input", cli_predict},
    {"inspect", "show what is in a model file", cli_inspect},
    {"check", "compare a training step with a double-precision reference", cli_check},
    {"bench", "time a training step beside its bare matrix products", cli_bench},
    {"info", "show the version, the device, and every name that options take", cli_info},
};
enum { COMMAND_COUNT = sizeof COMMANDS / sizeof *COMMANDS };

static const char *command_at(int index) {
    return index < COMMAND_COUNT ? COMMANDS[index].name : NULL;
}

static void print_help(void) {
    printf("Usage: deltak COMMAND [OPTION...]\n"
           "Trains multi-layer perceptrons on the CPU and on NVIDIA GPUs.\n\n");
    for (int i = 0; i < COMMAND_COUNT; ++i)
        printf("  %-9s %s\n", COMMANDS[i].name, COMMANDS[i].what);
    printf("\n"
           "deltak help COMMAND tells what a command does and takes; deltak --version prints the "
           "version.\n"
           "\n"
           "Try:\n"
           "  deltak train --data builtin:digits --valid-fraction 0.2 --out digits.safetensors\n"
           "  deltak eval --model digits.safetensors --data builtin:digits\n"
           "  deltak inspect digits.safetensors\n"
           "\n"
           "Results go to standard output, everything else to standard error.\n"
           "\n"
           "Exit status: 0 done, 1 an output couldn't be written or a check failed, 2 usage, "
           "3 data,\n"
           "4 model file, 5 device or memory, 6 training diverged, 130 or 143 stopped by a "
           "signal.\n");
}

/* The command that words[0] names, with what follows. */
static int run_command(int count, char **words) {
    for (int i = 0; i < COMMAND_COUNT; ++i)
        if (strcmp(words[0], COMMANDS[i].name) == 0) return COMMANDS[i].run(count, words);
    char names[128];
    cli_names(command_at, names, sizeof names);
    const char *nearest = cli_nearest(words[0], command_at);
    if (nearest) cli_usage("unknown command \"%s\": did you mean \"%s\"?", words[0], nearest);
    cli_usage("unknown command \"%s\": one of %s", words[0], names);
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        char list[128];
        cli_usage("a command is missing: one of %s", cli_names(command_at, list, sizeof list));
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("deltak %s\n", dk_version());
        return CLI_OK;
    }
    if (strcmp(argv[1], "help") == 0) {
        char help[] = "--help", *of_command[] = {argv[2], help, NULL};
        if (argc > 2) return run_command(2, of_command);
        print_help();
        return CLI_OK;
    }
    return run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    /* Only characters: numbers keep their points in every locale. */
    setlocale(LC_CTYPE, "");
    signal(SIGXFSZ, SIG_IGN); /* a limit of file size is an error of what is written */
    return cli_finish(run(argc, argv));
}
