/* The rounds: a burst of steps as in training, back to back; bursts of the floor by every method, and
 * of the parts. */
#include "benchmark/benchmark.h"

#include <time.h>

/* A burst takes about so long; work that takes longer needs no warming-up before each time. */
static const double BURST_MS = 10.0, LONG_MS = 100.0;
enum { LONGEST_BURST = 64, WARM_ROUNDS = 2 };

/* A BLAS with threads of its own leaves them spinning for some milliseconds after its last call;
 * they would be in the way of what is timed next. */
static const struct timespec SETTLE = {0, 10000000L};

/* A new epoch where there is no batch left. */
static dk_status train_launch(dki_bench *bench, int64_t *steps) {
    dki_trained trained;
    DKI_TRY(dki_train_next(bench->trainer, bench->feed, &trained));
    if (trained.steps == 0) {
        DKI_TRY(dki_feed_begin(bench->feed, NULL));
        DKI_TRY(dki_train_next(bench->trainer, bench->feed, &trained));
    }
    *steps += trained.steps;
    return DK_OK;
}

/* Launches back to back; the times of one step by the device's clock and by the host's. */
static dk_status run_steps(dki_bench *bench, const dki_burst *burst, double *device, double *host) {
    dki_backend *backend = dki_bench_backend(bench);
    int64_t unused = 0, steps = 0;
    for (int i = 0; i < burst->warm; ++i) DKI_TRY(train_launch(bench, &unused));
    DKI_TRY(backend->ops->mark(backend, DKI_LANE_MAIN, 0));
    const double began = dki_host_ms();
    for (int i = 0; i < burst->count; ++i) DKI_TRY(train_launch(bench, &steps));
    *host = (dki_host_ms() - began) / (double)steps;
    DKI_TRY(backend->ops->mark(backend, DKI_LANE_MAIN, 1));
    DKI_TRY(backend->ops->sync(backend));
    DKI_TRY(backend->ops->elapsed(backend, 0, 1, device));
    *device /= (double)steps;
    if (!bench->steps_a_launch) bench->steps_a_launch = steps;
    return dki_trainer_collect(bench->trainer, true, NULL);
}

dk_status dki_bench_trace(dki_bench *bench) {
    dki_backend *backend = dki_bench_backend(bench);
    dki_fed batch;
    DKI_TRY(dki_feed_next(bench->feed, &batch));
    if (batch.rows == 0) {
        DKI_TRY(dki_feed_begin(bench->feed, NULL));
        DKI_TRY(dki_feed_next(bench->feed, &batch));
    }
    dki_trace_begin(&bench->trace, backend, bench->allocator, bench->trace.timed);
    const dk_status status = dki_train_fed(bench->trainer, &batch);
    dki_trace_end(&bench->trace);
    return status;
}

/* The time of each operation of a step that follows another. */
static dk_status time_operations(dki_bench *bench, size_t round) {
    dki_backend *backend = dki_bench_backend(bench);
    DKI_TRY(dki_bench_trace(bench));
    DKI_TRY(dki_bench_trace(bench));
    DKI_TRY(backend->ops->sync(backend));
    for (size_t i = 0; i < bench->trace.count; ++i) {
        double *to = &bench->operations[i * DKI_BENCH_TIMED + round % DKI_BENCH_TIMED];
        if (bench->trace.list[i].kind != DKI_OPERATION_ORDER)
            DKI_TRY(backend->ops->elapsed(backend, 2 * (int)i, 2 * (int)i + 1, to));
    }
    return dki_trainer_collect(bench->trainer, true, NULL);
}

static dk_status run_round(dki_bench *bench, size_t round) {
    dki_backend *backend = dki_bench_backend(bench);
    const dki_burst *burst = &bench->burst;
    double **series = bench->series;
    DKI_TRY(
        run_steps(bench, burst, &series[DKI_SERIES_STEP][round], &series[DKI_SERIES_HOST][round]));
    for (int i = 0; i < DKI_PART_COUNT; ++i)
        DKI_TRY(dki_play(backend, &bench->parts[i].played, burst,
                         &series[DKI_SERIES_FORWARD + i][round]));
    if (bench->operations) DKI_TRY(time_operations(bench, round));
    for (int i = 0; i < bench->method_count; ++i)
        DKI_TRY(dki_play(backend, &bench->floors[i].played, burst,
                         &series[DKI_SERIES_FLOOR + i][round]));
    for (int i = DKI_SERIES_FORWARD; i < DKI_SERIES_FLOOR + bench->method_count; ++i)
        series[i][round] /= (double)bench->steps_a_launch;
    if (backend->host_memory && bench->method_count > 1) nanosleep(&SETTLE, NULL);
    return DK_OK;
}

/* No more steps than a trainer may have under way, so that the host never waits for the device. */
static dki_burst burst_of(const dki_bench *bench, double launch_ms) {
    const int room = (int)(DKI_RING / 2 / bench->steps_a_launch);
    dki_burst burst = {0, 1};
    if (launch_ms > LONG_MS) return burst;
    const double wanted = BURST_MS / launch_ms;
    burst.count = wanted < 1.0 ? 1 : wanted < LONGEST_BURST ? (int)wanted : LONGEST_BURST;
    if (burst.count > 3 * room / 4) burst.count = 3 * room / 4;
    burst.warm = burst.count / 4 + 1;
    return burst;
}

/* Round 0 is overwritten by the first that counts. */
dk_status dki_bench_warm_up(dki_bench *bench) {
    const dki_burst one = {0, 1};
    double step = 0.0, host = 0.0;
    DKI_TRY(run_steps(bench, &one, &step, &host));
    DKI_TRY(dki_bench_trace(bench));
    DKI_TRY(dki_bench_prepare_parts(bench));
    if (bench->trace.timed)
        DKI_TRY(dki_new(bench->allocator, &bench->operations, bench->trace.count * DKI_BENCH_TIMED,
                        "times of operations"));
    if (step * (double)bench->steps_a_launch <= LONG_MS)
        DKI_TRY(run_steps(bench, &one, &step, &host));
    const double launch = step * (double)bench->steps_a_launch;
    bench->burst = burst_of(bench, launch);
    for (int i = 0; i < WARM_ROUNDS && launch <= LONG_MS; ++i) DKI_TRY(run_round(bench, 0));
    return DK_OK;
}

dk_status dki_bench_measure(dki_bench *bench, const dk_bench_options *options) {
    DKI_TRY(dki_bench_warm_up(bench));
    const double began = dki_host_ms();
    for (bench->rounds = 0; bench->rounds < DKI_BENCH_ROUNDS; ++bench->rounds) {
        const bool enough = bench->rounds >= (size_t)options->repeats;
        if (enough && dki_host_ms() - began >= 1e3 * options->seconds) break;
        DKI_TRY(run_round(bench, bench->rounds));
    }
    return DK_OK;
}
