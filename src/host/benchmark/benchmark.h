/* The parts of dk_benchmark. All of it is measured in rounds: in each, everything has its turn, so
 * that a machine that is slower for a while is so for all. */
#ifndef DKI_BENCHMARK_H
#define DKI_BENCHMARK_H

#include "benchmark/trace.h"
#include "train/epoch.h"

/** Most ways of a backend to do a bare product; most rounds; of so many, the last ones, the operations'
 *  times are kept. */
enum { DKI_BENCH_METHODS = 4, DKI_BENCH_ROUNDS = 10000, DKI_BENCH_TIMED = 64 };

/** The times that are kept of each round, in ms; the host's, too. */
typedef enum dki_series {
    DKI_SERIES_STEP,
    DKI_SERIES_HOST,
    DKI_SERIES_FORWARD,
    DKI_SERIES_BACKWARD,
    DKI_SERIES_UPDATE,
    DKI_SERIES_FLOOR, /* by method 0, 1, … */
    DKI_SERIES_COUNT = DKI_SERIES_FLOOR + DKI_BENCH_METHODS
} dki_series;
enum { DKI_PART_COUNT = DKI_SERIES_FLOOR - DKI_SERIES_FORWARD };

/** Work that is recorded once and played often. */
typedef struct dki_played {
    dki_recording *recording;
    dki_body body;
    void *argument;
} dki_played;

typedef struct dki_bench dki_bench;

/** What is played: the products by one method, or the step's operations of some kinds. */
typedef struct dki_bench_part {
    const dki_bench *bench;
    int method;
    unsigned kinds;
    dki_played played;
} dki_bench_part;

/** So many times in a row, the first ones uncounted. */
typedef struct dki_burst {
    int warm, count;
} dki_burst;

struct dki_bench {
    dk_net *net;
    dk_trainer *trainer;
    const dk_allocator *allocator;
    int64_t rows, batches; /* of a batch; of the data set */
    dk_dataset *data;
    dki_feed *feed;
    float *x, *targets; /* the data set's, which borrows x */
    int32_t *labels;
    dki_bare_product *products; /* of one step: forward, data, parameters of every layer */
    size_t product_count;
    int method_count;
    dki_trace trace; /* of one step */
    dki_bench_part floors[DKI_BENCH_METHODS], parts[DKI_PART_COUNT];
    int64_t steps_a_launch;
    dki_burst burst;                  /* of launches */
    double *series[DKI_SERIES_COUNT]; /* [DKI_BENCH_ROUNDS] each */
    size_t rounds;
    double *operations; /* [trace.count, DKI_BENCH_TIMED] in ms, where they are timed, else NULL */
};

static inline dki_backend *dki_bench_backend(const dki_bench *bench) {
    return bench->net->context->backend;
}

/** benchmark.c: all that is measured, with random data; closed also where opening it failed. */
dk_status dki_bench_open(dki_bench *bench, dk_context *context, const dk_net_desc *desc,
                         const dk_train_options *options);
void dki_bench_close(dki_bench *bench, dki_backend *backend);

/** data.c: random features; labels in range, or targets; enough batches that the next one isn't in
 *  the caches. */
dk_status dki_bench_data(dki_bench *bench);

/** floor.c: the products of a step, with the step's own buffers as operands. */
dk_status dki_bench_products(dki_bench *bench);
/** Of all of them. */
double dki_bench_flops(const dki_bench *bench);
/** Prepares the floor by every method that the backend has, and the parts. The step has been
 *  traced. */
dk_status dki_bench_prepare_parts(dki_bench *bench);

/** time.c: plays it burst->warm times, then burst->count times: the milliseconds of one of these. */
dk_status dki_play(dki_backend *backend, dki_played *played, const dki_burst *burst,
                   double *milliseconds);
void dki_play_forget(dki_backend *backend, dki_played *played);
double dki_host_ms(void);
/** Sorts them. */
double dki_sorted_median(double *values, size_t count);
/** The q-quantile of sorted values. */
double dki_quantile(const double *sorted, size_t count, double q);

/** measure.c: the first steps, the trace, the floor and the parts, and how long a burst is. */
dk_status dki_bench_warm_up(dki_bench *bench);
/** Rounds until both the count and the time asked for are reached. */
dk_status dki_bench_measure(dki_bench *bench, const dk_bench_options *options);
/** One step with the trace in the backend's place. */
dk_status dki_bench_trace(dki_bench *bench);

/** rates.c: what the device can reach, through the seam's own operations. */
dk_status dki_bench_rates(dki_backend *backend, dk_bench_rates *rates);
/** Bytes a second, from working sets that were measured to one of `bytes`. */
double dki_bench_bandwidth(const dk_bench_rates *rates, double bytes);

/** explain.c: a row for each traced operation, of which operations sorts the times. */
dk_status dki_bench_explain(dki_bench *bench, const dk_bench_rates *rates, dk_bench_operation *rows,
                            size_t capacity, size_t *count);

#endif
