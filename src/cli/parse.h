/* Reads a command's options by argp, with error lines and suggestions of our own. */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include <argp.h>

/** Keys of long options start here: below, argp would make them short options. */
enum { CLI_KEY = 256 };

/** Reads argv by `argp`, handing `input` to its parser; adds --help. Usage errors and --help end
 *  the process. argv[0] is the command's name. */
void cli_parse(const struct argp *argp, int argc, char **argv, void *input);

/** argp says only that a word is no good. A usage error that says why: an unknown option, with the
 *  nearest one, an ambiguous one, a value that is missing or too much. */
void cli_explain(const struct argp *root, const char *word) __attribute__((noreturn));

/** For help filters: `text` with its "{}" replaced by `value`, in new memory as argp wants it. */
char *cli_substitute(const char *text, const char *value);

#endif
