/* The learning curve: what each epoch reached, drawn as an SVG file or in the terminal. */
#ifndef CLI_CURVE_H
#define CLI_CURVE_H

#include "deltak/deltak.h"

#include <stdio.h>

typedef struct cli_curve {
    dk_task task;
    bool has_valid;
    size_t first; /* epoch; 1 unless the run was resumed */
    size_t count, capacity;
    double *train;  /* [count] training loss of an epoch */
    double *valid;  /* [count] validation loss */
    double *metric; /* [count] validation accuracy in per cent, or rmse */
} cli_curve;

void cli_curve_add(cli_curve *curve, const dk_progress *progress);
void cli_curve_release(cli_curve *curve);

enum { CLI_MOST_TICKS = 16 };

/** A value axis: linear with round ticks, or logarithmic where the values span more than a factor
 *  of 20. */
typedef struct cli_axis {
    double low, high;
    bool logarithmic;
    double ticks[CLI_MOST_TICKS];
    size_t tick_count;
} cli_axis;

/** An axis over the finite ones of values[0 … count) and of more[0 … count) (or NULL). */
cli_axis cli_axis_over(const double *values, const double *more, size_t count, bool may_be_log);

/** Where a value lies: 0 at the low end, 1 at the high end; NaN for what can't be shown. */
double cli_axis_place(const cli_axis *axis, double value);

/** An SVG picture: losses over epochs, and the validation metric in a second panel. False if it
 *  couldn't be written (with an error line). The path appears whole or not at all. */
bool cli_curve_svg(const cli_curve *curve, const char *path);

/** A few lines of text: braille characters in a UTF-8 locale, else ASCII. Nothing for fewer than
 *  two epochs. */
void cli_curve_text(const cli_curve *curve, FILE *stream, bool utf8, int columns);

#endif
