#include "curve.h"

#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void grow(double **values, size_t count, size_t capacity) {
    double *larger = cli_allocate(capacity, sizeof(double));
    if (count) memcpy(larger, *values, count * sizeof(double));
    free(*values);
    *values = larger;
}

void cli_curve_add(cli_curve *curve, const dk_progress *progress) {
    if (curve->count == curve->capacity) {
        curve->capacity = curve->capacity ? 2 * curve->capacity : 64;
        grow(&curve->train, curve->count, curve->capacity);
        grow(&curve->valid, curve->count, curve->capacity);
        grow(&curve->metric, curve->count, curve->capacity);
    }
    bool classes = curve->task == DK_TASK_CLASSIFICATION;
    curve->has_valid |= progress->has_valid;
    if (curve->count == 0) curve->first = (size_t)progress->epoch;
    curve->train[curve->count] = progress->loss;
    curve->valid[curve->count] = progress->has_valid ? progress->valid_loss : NAN;
    curve->metric[curve->count] =
        progress->has_valid ? progress->valid_metric * (classes ? 100 : 1) : NAN;
    ++curve->count;
}

void cli_curve_release(cli_curve *curve) {
    free(curve->train);
    free(curve->valid);
    free(curve->metric);
    memset(curve, 0, sizeof *curve);
}

static void widen(const double *values, size_t count, double *low, double *high) {
    for (size_t i = 0; values && i < count; ++i) {
        if (!isfinite(values[i])) continue;
        *low = fmin(*low, values[i]);
        *high = fmax(*high, values[i]);
    }
}

static void add_tick(cli_axis *axis, double value) {
    double slack = 1e-9 * (axis->high - axis->low);
    if (value < axis->low - slack || value > axis->high + slack) return;
    if (axis->tick_count < CLI_MOST_TICKS) axis->ticks[axis->tick_count++] = value;
}

/* 1, 2 or 5 times a power of ten, so that a span has about five steps. */
static double round_step(double span) {
    double rough = span / 5, power = pow(10, floor(log10(rough)));
    double lead = rough / power;
    return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

cli_axis cli_axis_over(const double *values, const double *more, size_t count, bool may_be_log) {
    cli_axis axis = {.low = INFINITY, .high = -INFINITY};
    widen(values, count, &axis.low, &axis.high);
    widen(more, count, &axis.low, &axis.high);
    if (axis.low > axis.high) axis.low = 0, axis.high = 1; /* nothing finite */
    axis.logarithmic = may_be_log && axis.low > 0 && axis.high > 20 * axis.low;
    if (axis.logarithmic) {
        double decades = log10(axis.high / axis.low);
        for (int decade = (int)floor(log10(axis.low)); pow(10, decade) <= axis.high; ++decade) {
            double power = pow(10, decade);
            add_tick(&axis, power);
            if (decades < 3) add_tick(&axis, 2 * power);
            if (decades < 3) add_tick(&axis, 5 * power);
        }
        return axis;
    }
    if (axis.high - axis.low < 1e-9 * fmax(1e-300, fabs(axis.high))) {
        double margin = axis.high != 0 ? 0.1 * fabs(axis.high) : 1;
        axis.low -= margin;
        axis.high += margin;
    }
    double step = round_step(axis.high - axis.low);
    axis.low = step * floor(axis.low / step + 1e-9);
    axis.high = step * ceil(axis.high / step - 1e-9);
    for (int i = 0; i < CLI_MOST_TICKS; ++i) {
        double tick = axis.low + i * step;
        add_tick(&axis, fabs(tick) < 1e-9 * step ? 0 : tick);
    }
    return axis;
}

double cli_axis_place(const cli_axis *axis, double value) {
    if (!isfinite(value)) return NAN;
    if (!axis->logarithmic) return (value - axis->low) / (axis->high - axis->low);
    if (value <= 0) return NAN;
    return log(value / axis->low) / log(axis->high / axis->low);
}
