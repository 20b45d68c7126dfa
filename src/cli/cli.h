/* What all of the command's files share: exit codes, error lines, and the commands themselves. */
#ifndef CLI_H
#define CLI_H

#include "deltak/deltak.h"

/** Exit codes. A run that a signal ended gives 128 + its number. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1, /**< an output other than the model couldn't be written; a check failed */
    CLI_USAGE = 2,
    CLI_DATA = 3,
    CLI_MODEL = 4,
    CLI_DEVICE = 5,
    CLI_DIVERGED = 6
};

/** What was being done when a function failed: it decides where the status alone doesn't. */
typedef enum cli_stage {
    CLI_AT_OPTIONS, /**< making a device or a network from options */
    CLI_AT_DATA,    /**< reading data, or running them through a network */
    CLI_AT_MODEL,   /**< reading or writing a model file */
    CLI_AT_TRAINING
} cli_stage;

/** The exit code of a status at a stage. */
int cli_exit_code(cli_stage stage, dk_status status);

/** Prints the library's error text as one line on standard error; returns the exit code. */
int cli_fail(cli_stage stage, dk_status status);

/** Prints "deltak: …" as one line on standard error. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** The same with a pointer to the help, then ends the process with CLI_USAGE. Only for the parsing
 *  of options, where nothing is held yet. */
void cli_usage(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/** The command whose help cli_usage points to: "train", or NULL. */
void cli_set_command(const char *command);

/** Zeroed memory for count elements; ends the process with CLI_DEVICE where there is none. */
void *cli_allocate(size_t count, size_t bytes);

/** Flushes standard output. Returns `code`, or CLI_FAILED with an error line where the output
 *  couldn't be written and `code` was 0. */
int cli_finish(int code);

int cli_train(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_predict(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_info(int argc, char **argv);

#endif
