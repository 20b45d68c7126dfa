/* Times and their quantiles. */
#include "base/clock.h"
#include "benchmark/benchmark.h"

#include <stdlib.h>

double dki_host_ms(void) {
    return 1e3 * dki_seconds();
}

/* All are queued before the first counted one is over, so that the device never waits for the host. */
dk_status dki_play(dki_backend *backend, dki_played *played, const dki_burst *burst,
                   double *milliseconds) {
    const dki_backend_ops *ops = backend->ops;
    for (int i = 0; i < burst->warm; ++i)
        DKI_TRY(ops->run(backend, &played->recording, played->body, played->argument));
    DKI_TRY(ops->mark(backend, DKI_LANE_MAIN, 0));
    for (int i = 0; i < burst->count; ++i)
        DKI_TRY(ops->run(backend, &played->recording, played->body, played->argument));
    DKI_TRY(ops->mark(backend, DKI_LANE_MAIN, 1));
    DKI_TRY(ops->sync(backend));
    DKI_TRY(ops->elapsed(backend, 0, 1, milliseconds));
    *milliseconds /= burst->count;
    return DK_OK;
}

void dki_play_forget(dki_backend *backend, dki_played *played) {
    backend->ops->run(backend, &played->recording, NULL, NULL);
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double dki_quantile(const double *sorted, size_t count, double q) {
    const double place = q * (double)(count - 1);
    const size_t below = (size_t)place;
    if (below + 1 >= count) return sorted[count - 1];
    const double part = place - (double)below;
    return sorted[below] * (1.0 - part) + sorted[below + 1] * part;
}

double dki_sorted_median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare_doubles);
    return dki_quantile(values, count, 0.5);
}
