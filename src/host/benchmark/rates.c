/* What the device can reach: a large bare product, an update by plain SGD over more and more memory,
 * and the shortest operation. */
#include "backend/cost.h"
#include "benchmark/benchmark.h"

#include <math.h>
#include <string.h>

/* A size isn't tried where one try of the one before took longer by the host's clock. */
static const double LONG_ENOUGH_MS = 50.0;
static const double LEAST_SET = 65536.0, NEXT_SET = 4.0;
enum { SMALLEST_PRODUCT = 256, LARGEST_PRODUCT = 8192, TRIES = 3, SHORT_OPERATIONS = 16 };

/* The least of some tries by the device's clock, and by the host's, in ms. */
typedef struct {
    double device, host;
} best_times;

static dk_status best_of(dki_backend *backend, dki_body body, void *argument, best_times *best) {
    const dki_burst burst = {1, 2};
    dki_played played = {NULL, body, argument};
    dk_status status = DK_OK;
    *best = (best_times){INFINITY, INFINITY};
    for (int i = 0; i < TRIES && !status && (i < 1 || best->host < LONG_ENOUGH_MS); ++i) {
        double device = 0.0;
        const double began = dki_host_ms();
        status = dki_play(backend, &played, &burst, &device);
        *best = (best_times){fmin(best->device, device), fmin(best->host, dki_host_ms() - began)};
    }
    dki_play_forget(backend, &played);
    return status;
}

/* --- matrix products ---------------------------------------------------------------------------- */

typedef struct {
    dki_backend *backend;
    dki_bare_product product;
    int method;
} product_trial;

static dk_status queue_product(void *argument) {
    const product_trial *trial = argument;
    return trial->backend->ops->bare_product(trial->backend, DKI_LANE_MAIN, trial->method,
                                             &trial->product);
}

/* Random weights in the storage type: zeros would draw less power, and run faster. */
static dk_status fill(dki_backend *backend, float *random, void *to, int64_t n) {
    const dki_initialise weights = {
        .w = {random, n, n, n}, .rule = {DKI_NORMAL, 1.0f}, .seed = 1, .layer = 1};
    const dki_cast cast = {random, to, {0, n * n}};
    DKI_TRY(backend->ops->initialise(backend, DKI_LANE_MAIN, &weights));
    return to == random ? DK_OK : backend->ops->cast(backend, DKI_LANE_MAIN, &cast);
}

/* Of [n, n] by the faster method. */
static dk_status time_product(dki_backend *backend, dki_bare_product product, best_times *best) {
    *best = (best_times){INFINITY, INFINITY};
    for (int method = 0; method < DKI_BENCH_METHODS; ++method) {
        product_trial trial = {backend, product, method};
        best_times times;
        const dk_status status = best_of(backend, queue_product, &trial, &times);
        if (status == DK_E_UNSUPPORTED && method > 0) break;
        if (status) return status;
        if (times.device < best->device) *best = times;
    }
    return DK_OK;
}

/* Square products of growing size; in one block of memory: fp32 numbers, A, and the result. */
static dk_status measure_products(dki_backend *backend, double *gflops) {
    const size_t s = dki_element_bytes(backend->element);
    best_times best = {0.0, 0.0};
    *gflops = 0.0;
    for (int64_t n = SMALLEST_PRODUCT; n <= LARGEST_PRODUCT && best.host < LONG_ENOUGH_MS; n *= 2) {
        const size_t floats = sizeof(float) * (size_t)(n * n), bytes = s * (size_t)(n * n);
        char *memory = NULL;
        dk_status status =
            backend->ops->alloc(backend, DKI_MEMORY_DEVICE, floats + 2 * bytes, (void **)&memory);
        if (status == DK_E_MEMORY && *gflops > 0.0) return DK_OK;
        if (status) return status;
        void *a = backend->element == DKI_ELEMENT_F32 ? memory : memory + floats;
        const dki_matrix in = {a, n, n, n}, out = {memory + floats + bytes, n, n, n};
        const dki_bare_product product = {DKI_PRODUCT_FORWARD, in, in, out};
        status = fill(backend, (float *)(void *)memory, a, n);
        if (!status) status = time_product(backend, product, &best);
        backend->ops->release(backend, memory);
        if (status) return status;
        *gflops = fmax(*gflops, 1e-6 * dki_product_flops(&product) / best.device);
    }
    return DK_OK;
}

/* --- memory ------------------------------------------------------------------------------------- */

typedef struct {
    dki_backend *backend;
    dki_update_range update;
    int repeats;
} update_trial;

static dk_status queue_updates(void *argument) {
    const update_trial *trial = argument;
    for (int i = 0; i < trial->repeats; ++i)
        DKI_TRY(trial->backend->ops->update(trial->backend, DKI_LANE_MAIN, &trial->update));
    return DK_OK;
}

/* One update of `count` elements. Its learning rate is the state's: 0. */
static dk_status time_update(dki_backend *backend, char *memory, int64_t count, best_times *best) {
    const size_t floats = sizeof(float) * (size_t)count;
    update_trial trial = {.backend = backend,
                          .update = {.parameters = (float *)(void *)memory,
                                     .gradients = (float *)(void *)(memory + floats),
                                     .range = {0, count},
                                     .rule = {.kind = DK_SGD},
                                     .state = (dki_step_state *)(void *)(memory + 2 * floats)},
                          .repeats = SHORT_OPERATIONS};
    while (trial.repeats > 1 && (double)trial.repeats * (double)count > 1 << 20) trial.repeats /= 2;
    DKI_TRY(best_of(backend, queue_updates, &trial, best));
    best->device /= trial.repeats;
    return DK_OK;
}

/* θ and g fill the working set; 12 bytes are moved for each 8 of it. A launch is taken off; where it
 * was nearly all, the rest would be noise, so a fourth stays. */
static dk_status measure_set(dki_backend *backend, double bytes, double launch_ms, best_times *best,
                             double *gb_s) {
    const int64_t count = (int64_t)bytes / (2 * (int64_t)sizeof(float));
    char *memory = NULL;
    DKI_TRY(backend->ops->alloc(backend, DKI_MEMORY_DEVICE, (size_t)bytes + sizeof(dki_step_state),
                                (void **)&memory));
    const dk_status status = time_update(backend, memory, count, best);
    backend->ops->release(backend, memory);
    if (status) return status;
    *gb_s = 1e-6 * 1.5 * bytes / fmax(best->device - launch_ms, best->device / 4.0);
    return DK_OK;
}

static dk_status measure_memory(dki_backend *backend, dk_bench_rates *rates) {
    best_times best;
    double unused = 0.0, bytes = LEAST_SET;
    DKI_TRY(measure_set(backend, 2.0 * sizeof(float), 0.0, &best, &unused));
    rates->launch_us = 1e3 * best.device;
    for (rates->sizes = 0; rates->sizes < DK_BENCH_SIZES; ++rates->sizes) {
        if (best.host > LONG_ENOUGH_MS) break;
        dk_status status = measure_set(backend, bytes, 1e-3 * rates->launch_us, &best,
                                       &rates->bandwidth_gb_s[rates->sizes]);
        if (status == DK_E_MEMORY && rates->sizes > 0) break;
        if (status) return status;
        rates->working_set[rates->sizes] = bytes;
        bytes *= NEXT_SET;
    }
    return DK_OK;
}

dk_status dki_bench_rates(dki_backend *backend, dk_bench_rates *rates) {
    memset(rates, 0, sizeof *rates);
    DKI_TRY(measure_products(backend, &rates->matrix_gflops));
    return measure_memory(backend, rates);
}

/* Straight lines over the logarithm of the size. */
double dki_bench_bandwidth(const dk_bench_rates *rates, double bytes) {
    const double *sets = rates->working_set, *speeds = rates->bandwidth_gb_s;
    int i = 0;
    while (i + 1 < rates->sizes && sets[i + 1] < bytes) ++i;
    if (bytes <= sets[0] || i + 1 >= rates->sizes) return 1e9 * speeds[i];
    const double part = log(bytes / sets[i]) / log(sets[i + 1] / sets[i]);
    return 1e9 * (speeds[i] * (1.0 - part) + speeds[i + 1] * part);
}
