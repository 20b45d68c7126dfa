/* Numbers and names in option values: read strictly, listed for the help, suggested when mistyped.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Which ends of a range don't belong to it. */
enum { CLI_CLOSED = 0, CLI_OPEN_LOW = 1, CLI_OPEN_HIGH = 2 };

/** The whole text as an integer in [low, high]; ends in a usage error that names the option. */
int64_t cli_integer(const char *option, const char *text, int64_t low, int64_t high);

/** The whole text as a finite number between low and high (INFINITY = no bound). */
double cli_real(const char *option, const char *text, double low, double high, int open);

/** "512,256" as widths ≥ 1; an empty text is none. Returns how many. */
size_t cli_widths(const char *option, const char *text, int64_t *widths, size_t capacity);

/** A decimal number at text[0 … length): no spaces, hexadecimal, "inf" or "nan". False if it isn't
 *  one, or too large for a double. */
bool cli_decimal(const char *text, size_t length, double *value);

/** The i-th name of a list, NULL after the last. */
typedef const char *(*cli_name_at)(int index);

const char *cli_activation_at(int index);
const char *cli_loss_at(int index);
const char *cli_init_at(int index);
const char *cli_optimizer_at(int index);
const char *cli_schedule_at(int index);
const char *cli_precision_at(int index);
const char *cli_task_at(int index); /**< what a training set can be: not "none" */

/** Joins the names with ", " into text, which holds `bytes`. Returns text. */
const char *cli_names(cli_name_at at, char *text, size_t bytes);

/** The name closest to text, or NULL if none is close. */
const char *cli_nearest(const char *text, cli_name_at at);

/** The same over an array of names. */
const char *cli_nearest_of(const char *text, const char *const *names, size_t count);

/** The index of text in a list of names; a usage error with a suggestion otherwise. */
int cli_name_index(const char *option, const char *text, cli_name_at at);

#endif
