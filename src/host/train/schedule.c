#include "train/schedule.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

/* From `from` at u = 0 to `to` at u = 1, along half a cosine. */
static double cosine(double from, double to, double u) {
    return to + (from - to) * (1.0 + cos(PI * u)) / 2.0;
}

/* Smith and Topin 2018, as PyTorch's OneCycleLR (anneal "cos", two phases): the rise ends at step
 * `rise` − 1, the fall at the last step. */
static double one_cycle(double s, double total, double rise, double final_factor) {
    const double first = 1.0 / 25.0;
    const double last = first * (final_factor > 0.0 ? final_factor : 1e-4);
    double peak = rise - 1.0, end = total - 1.0;
    if (s <= peak && peak > 0.0) return cosine(first, 1.0, s / peak);
    return end > peak ? cosine(1.0, last, fmin(1.0, (s - peak) / (end - peak))) : 1.0;
}

double dki_schedule_factor(const dk_train_options *o, int64_t step, int64_t total) {
    double s = (double)step, S = (double)total;
    double warmup = o->warmup >= 1.0 ? floor(o->warmup) : floor(o->warmup * S);
    if (o->schedule == DK_SCHEDULE_ONE_CYCLE && total > 0)
        return one_cycle(s, S, warmup > 0.0 ? warmup : 0.3 * S, o->final_factor);
    if (s < warmup) return (s + 1.0) / warmup;
    if (total <= 0) return 1.0;
    double rest = S - warmup;
    double u = rest > 0.0 ? fmin(1.0, (s - warmup) / rest) : 0.0;
    double period = o->period > 0 ? (double)o->period : fmax(1.0, floor(S / 3.0));
    double f = o->final_factor;
    switch (o->schedule) {
    case DK_SCHEDULE_STEP:
        return pow(o->gamma, floor(fmin(s - warmup, rest) / period));
    case DK_SCHEDULE_EXPONENTIAL:
        return pow(o->gamma, u);
    case DK_SCHEDULE_POLYNOMIAL:
        return f + (1.0 - f) * pow(1.0 - u, o->power);
    case DK_SCHEDULE_COSINE:
        return cosine(1.0, f, u);
    case DK_SCHEDULE_CONSTANT:
    case DK_SCHEDULE_ONE_CYCLE:
        return 1.0;
    }
    return 1.0;
}
