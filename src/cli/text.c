#include "text.h"

#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 63 };

int64_t cli_integer(const char *option, const char *text, int64_t low, int64_t high) {
    size_t sign = text[0] == '-' || text[0] == '+';
    size_t digits = strspn(text + sign, "0123456789");
    if (digits == 0 || text[sign + digits])
        cli_usage("%s: \"%s\" isn't a whole number", option, text);
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno || value < low || value > high) {
        if (high == INT64_MAX && value < low)
            cli_usage("%s: %s is out of range: at least %lld", option, text, (long long)low);
        cli_usage("%s: %s is out of range: %lld to %lld", option, text, (long long)low,
                  (long long)high);
    }
    return value;
}

bool cli_decimal(const char *text, size_t length, double *value) {
    char copy[128];
    if (length == 0 || length >= sizeof copy) return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    if (strspn(copy, "0123456789+-.eE") != length) return false;
    char *end;
    *value = strtod(copy, &end);
    return *end == 0 && isfinite(*value);
}

double cli_real(const char *option, const char *text, double low, double high, int open) {
    double value;
    if (!cli_decimal(text, strlen(text), &value))
        cli_usage("%s: \"%s\" isn't a number", option, text);
    bool too_low = open & CLI_OPEN_LOW ? value <= low : value < low;
    bool too_high = open & CLI_OPEN_HIGH ? value >= high : value > high;
    if (!too_low && !too_high) return value;
    if (isinf(high))
        cli_usage("%s: %s is out of range: %s %g", option, text,
                  open & CLI_OPEN_LOW ? "greater than" : "at least", low);
    cli_usage("%s: %s is out of range: %s%g, %g%s", option, text, open & CLI_OPEN_LOW ? "(" : "[",
              low, high, open & CLI_OPEN_HIGH ? ")" : "]");
}

size_t cli_widths(const char *option, const char *text, int64_t *widths, size_t capacity) {
    size_t count = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        char item[32];
        if (length == 0 || length >= sizeof item)
            cli_usage("%s: widths are whole numbers with commas between, as in \"512,256\"",
                      option);
        if (count == capacity) cli_usage("%s: at most %zu widths", option, capacity);
        memcpy(item, text, length);
        item[length] = 0;
        widths[count++] = cli_integer(option, item, 1, INT64_MAX);
        text += length;
        if (*text == ',' && !*++text) cli_usage("%s: a width is missing after the comma", option);
    }
    return count;
}

const char *cli_activation_at(int index) {
    return dk_activation_name((dk_activation)index);
}
const char *cli_loss_at(int index) {
    return dk_loss_name((dk_loss)index);
}
const char *cli_init_at(int index) {
    return dk_init_name((dk_init)index);
}
const char *cli_optimizer_at(int index) {
    return dk_optimizer_name((dk_optimizer)index);
}
const char *cli_schedule_at(int index) {
    return dk_schedule_name((dk_schedule)index);
}
const char *cli_precision_at(int index) {
    return dk_precision_name((dk_precision)index);
}
const char *cli_task_at(int index) {
    return index < DK_TASK_NONE ? dk_task_name((dk_task)index) : NULL;
}

const char *cli_names(cli_name_at at, char *text, size_t bytes) {
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; at(i) && used < bytes; ++i)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", at(i));
    return text;
}

/* Levenshtein distance by one row of the table; SIZE_MAX for texts too long to be a typing error.
 */
static size_t edit_distance(const char *a, const char *b) {
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > LONGEST || b_length > LONGEST) return SIZE_MAX;
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= b_length; ++j) row[j] = j;
    for (size_t i = 1; i <= a_length; ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; ++j) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_length];
}

const char *cli_nearest_of(const char *text, const char *const *names, size_t count) {
    const char *nearest = NULL;
    size_t least = strlen(text) / 2 + 1; /* more than half of it changed is another word */
    for (size_t i = 0; i < count; ++i) {
        size_t distance = edit_distance(text, names[i]);
        if (distance >= least) continue;
        least = distance;
        nearest = names[i];
    }
    return nearest;
}

const char *cli_nearest(const char *text, cli_name_at at) {
    const char *names[64];
    size_t count = 0;
    while (count < sizeof names / sizeof *names && (names[count] = at((int)count))) ++count;
    return cli_nearest_of(text, names, count);
}

int cli_name_index(const char *option, const char *text, cli_name_at at) {
    for (int i = 0; at(i); ++i)
        if (strcmp(at(i), text) == 0) return i;
    char list[512];
    cli_names(at, list, sizeof list);
    const char *nearest = cli_nearest(text, at);
    if (nearest)
        cli_usage("%s: unknown name \"%s\": did you mean \"%s\"? One of: %s", option, text, nearest,
                  list);
    cli_usage("%s: unknown name \"%s\": one of %s", option, text, list);
}
