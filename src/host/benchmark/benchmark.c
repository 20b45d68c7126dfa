/* dk_benchmark and dk_bench_explain: everything is made, measured in rounds, and summarised. */
#include "benchmark/benchmark.h"

#include "base/arithmetic.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>

/* So small that the parameters stay where they are, whatever the optimizer, and every round finds the
 * same numbers; so large that lr·g isn't denormal. */
static const double STANDSTILL = 1e-12;

dk_status dki_bench_open(dki_bench *bench, dk_context *context, const dk_net_desc *desc,
                         const dk_train_options *options) {
    *bench = (dki_bench){.allocator = &context->allocator};
    dk_train_options o;
    DKI_TRY(dki_train_options_resolve(options, NULL, &o));
    o.schedule = DK_SCHEDULE_CONSTANT;
    o.warmup = 0.0;
    o.accumulate = 1;
    o.lr = STANDSTILL;
    DKI_TRY(dk_net_create(&bench->net, context, desc));
    DKI_TRY(dk_trainer_create(&bench->trainer, bench->net, &o));
    bench->rows = o.batch;
    for (int i = 0; i < DKI_SERIES_COUNT; ++i)
        DKI_TRY(dki_new(bench->allocator, &bench->series[i], DKI_BENCH_ROUNDS, "times"));
    DKI_TRY(dki_bench_data(bench));
    return dki_bench_products(bench);
}

void dki_bench_close(dki_bench *bench, dki_backend *backend) {
    for (int i = 0; i < DKI_BENCH_METHODS; ++i) dki_play_forget(backend, &bench->floors[i].played);
    for (int i = 0; i < DKI_PART_COUNT; ++i) dki_play_forget(backend, &bench->parts[i].played);
    dki_trace_close(&bench->trace);
    dki_feed_destroy(bench->feed);
    dk_dataset_destroy(bench->data);
    void *const owned[] = {bench->x, bench->labels, bench->targets, bench->products,
                           bench->operations};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; ++i)
        dki_release(bench->allocator, owned[i]);
    for (int i = 0; i < DKI_SERIES_COUNT; ++i) dki_release(bench->allocator, bench->series[i]);
    dk_trainer_destroy(bench->trainer);
    dk_net_destroy(bench->net);
}

/* The floor is the method with the lower median. */
static dk_status choose_floor(const dki_bench *bench, double **floor) {
    double *scratch = NULL, best = INFINITY;
    DKI_TRY(dki_new(bench->allocator, &scratch, bench->rounds, "times"));
    *floor = bench->series[DKI_SERIES_FLOOR];
    for (int method = 0; method < bench->method_count; ++method) {
        double *times = bench->series[DKI_SERIES_FLOOR + method];
        memcpy(scratch, times, bench->rounds * sizeof *scratch);
        const double median = dki_sorted_median(scratch, bench->rounds);
        if (median < best) *floor = times;
        best = fmin(best, median);
    }
    dki_release(bench->allocator, scratch);
    return DK_OK;
}

static dk_status add_memory(const dki_bench *bench, dk_bench_result *result) {
    dki_backend *backend = dki_bench_backend(bench);
    dki_backend_info info;
    struct rusage usage;
    DKI_TRY(backend->ops->describe(backend, &info));
    result->device_bytes = info.allocated_most;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        result->host_peak_bytes = (uint64_t)usage.ru_maxrss * 1024; /* Linux counts in KiB */
    return DK_OK;
}

/* Median and quartiles; sorts. */
static void quartiles(double *values, size_t count, double *low, double *median, double *high) {
    *median = dki_sorted_median(values, count);
    *low = dki_quantile(values, count, 0.25);
    *high = dki_quantile(values, count, 0.75);
}

/* Ratios are taken round by round, before the rounds are sorted; they take the place of the host's
 * times, which are done with. */
static dk_status summarise(dki_bench *bench, dk_bench_result *r) {
    const size_t rounds = bench->rounds;
    double **series = bench->series, *step = series[DKI_SERIES_STEP], *floor = NULL;
    DKI_TRY(choose_floor(bench, &floor));
    *r = (dk_bench_result){.repeats = (int)rounds,
                           .host_us = 1e3 * dki_sorted_median(series[DKI_SERIES_HOST], rounds),
                           .forward_ms = dki_sorted_median(series[DKI_SERIES_FORWARD], rounds),
                           .backward_ms = dki_sorted_median(series[DKI_SERIES_BACKWARD], rounds),
                           .update_ms = dki_sorted_median(series[DKI_SERIES_UPDATE], rounds),
                           .flops = dki_bench_flops(bench),
                           .floor_library = bench->net->context->info.library};
    double *ratios = series[DKI_SERIES_HOST];
    for (size_t i = 0; i < rounds; ++i) ratios[i] = step[i] / floor[i];
    quartiles(ratios, rounds, &r->ratio_low, &r->ratio, &r->ratio_high);
    quartiles(step, rounds, &r->step_ms_low, &r->step_ms, &r->step_ms_high);
    quartiles(floor, rounds, &r->floor_ms_low, &r->floor_ms, &r->floor_ms_high);
    r->samples_per_s = 1e3 * (double)bench->rows / r->step_ms;
    r->gflops = 1e-6 * r->flops / r->step_ms;
    r->floor_fraction = r->floor_ms / r->step_ms;
    return add_memory(bench, r);
}

static dk_status require(const dk_context *context, const dk_bench_options *bench,
                         const dk_bench_result *result) {
    DKI_REQUIRE(context && result, DK_E_ARGUMENT, "dk_benchmark: a NULL argument");
    DKI_REQUIRE(bench->size == sizeof *bench && bench->repeats >= 1 &&
                    bench->repeats <= DKI_BENCH_ROUNDS && bench->seconds >= 0.0,
                DK_E_ARGUMENT, "dk_bench_options: repeats is 1 … %d, seconds from 0 up",
                DKI_BENCH_ROUNDS);
    return DK_OK;
}

/* Where the rows of dk_bench_explain go. */
typedef struct {
    dk_bench_rates *rates;
    dk_bench_operation *rows;
    size_t capacity, *count;
} explanation;

/* The rates come last: the memory that they take is none of the step's. */
static dk_status explain(dki_bench *bench, const explanation *to) {
    DKI_TRY(dki_bench_rates(dki_bench_backend(bench), to->rates));
    return dki_bench_explain(bench, to->rates, to->rows, to->capacity, to->count);
}

static dk_status run(dk_context *context, const dk_net_desc *desc, const dk_train_options *options,
                     const dk_bench_options *how, dk_bench_result *result, const explanation *to) {
    static const dk_bench_options defaults = DK_BENCH_OPTIONS_INIT;
    if (!how) how = &defaults;
    DKI_TRY(require(context, how, result));
    dki_bench bench;
    dk_status status = dki_bench_open(&bench, context, desc, options);
    bench.trace.timed = to != NULL;
    if (!status) status = dki_bench_measure(&bench, how);
    if (!status) status = summarise(&bench, result);
    if (!status && to) status = explain(&bench, to);
    dki_bench_close(&bench, context->backend);
    return status;
}

dk_status dk_benchmark(dk_context *context, const dk_net_desc *desc,
                       const dk_train_options *options, const dk_bench_options *bench,
                       dk_bench_result *result) {
    DKI_ARITHMETIC;
    return run(context, desc, options, bench, result, NULL);
}

dk_status dk_bench_explain(dk_context *context, const dk_net_desc *desc,
                           const dk_train_options *options, const dk_bench_options *bench,
                           dk_bench_result *result, dk_bench_rates *rates, dk_bench_operation *rows,
                           size_t capacity, size_t *count) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(rates && count && (rows || capacity == 0), DK_E_ARGUMENT,
                "dk_bench_explain: a NULL argument");
    *count = 0;
    const explanation to = {rates, rows, capacity, count};
    return run(context, desc, options, bench, result, &to);
}
