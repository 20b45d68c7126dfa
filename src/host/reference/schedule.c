/* The learning rate schedules as deltak.h states them. */
#include "reference/reference.h"

#include <math.h>

/* From `start` at x = 0 to `end` at x = 1 along a half cosine. */
static double anneal(double start, double end, double x) {
    return end + (start - end) / 2 * (1 + cos(M_PI * x));
}

/* Smith 2018 as in PyTorch's OneCycleLR: up until step w − 1, down until step S − 1. */
static double one_cycle(const dki_ref_schedule *schedule, double s) {
    double end = (double)schedule->steps - 1;
    double top = schedule->warmup ? (double)schedule->warmup - 1 : 0.3 * (end + 1) - 1;
    double low = 1.0 / 25;
    double floor = low * (schedule->final_factor > 0 ? schedule->final_factor : 1e-4);
    if (s > end) s = end;
    if (s > top) return anneal(1, floor, (s - top) / (end - top));
    return top > 0 ? anneal(low, 1, s / top) : 1;
}

double dki_ref_schedule_factor(const dki_ref_schedule *schedule, int64_t s) {
    int64_t S = schedule->steps, w = schedule->warmup;
    if (schedule->kind == DK_SCHEDULE_ONE_CYCLE && S > 0) return one_cycle(schedule, (double)s);
    if (s < w) return (double)(s + 1) / (double)w;
    if (S == 0) return 1;
    int64_t length = S > w ? S - w : 1, at = s - w < length ? s - w : length;
    double u = (double)at / (double)length, f = schedule->final_factor;
    switch (schedule->kind) {
    case DK_SCHEDULE_CONSTANT:
        return 1;
    case DK_SCHEDULE_STEP: {
        int64_t period = schedule->period ? schedule->period : S / 3;
        int64_t periods = at / (period > 0 ? period : 1);
        return pow(schedule->gamma, (double)periods);
    }
    case DK_SCHEDULE_EXPONENTIAL:
        return pow(schedule->gamma, u);
    case DK_SCHEDULE_POLYNOMIAL:
        return f + (1 - f) * pow(1 - u, schedule->power);
    case DK_SCHEDULE_COSINE:
        return anneal(1, f, u);
    case DK_SCHEDULE_ONE_CYCLE:
        return 1; /* without an end there is no cycle */
    }
    return NAN;
}
