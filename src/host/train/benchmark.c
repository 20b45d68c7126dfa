/* dk_benchmark: a training step and its bare products, in turn, in one run. */
#include "kernels/philox.h"
#include "kernels/scalar.h"
#include "train/epoch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* So many batches of data, so that the next batch isn't already in the caches. */
enum { BATCHES = 4, MAX_METHODS = 4, WARM_UP = 3, MAX_REPEATS = 10000 };

/* A BLAS with threads of its own leaves them spinning for some milliseconds after its last call;
 * they would be in the way of what is timed next. */
static const struct timespec SETTLE = {0, 10 * 1000 * 1000};

typedef struct {
    dk_net *net;
    dk_trainer *trainer;
    const dk_allocator *allocator;
    int64_t rows;
    dk_dataset *data; /* BATCHES·rows of it */
    dki_feed *feed;
    uint64_t epochs;
    dki_bare_product *products; /* of one step: forward, data, parameters of every layer */
    size_t product_count;
    int method_count; /* ways of the backend to do a bare product */
    dki_recording *recordings[MAX_METHODS];
    double *steps;               /* milliseconds, [MAX_REPEATS] */
    double *floors[MAX_METHODS]; /* the bare products by each method */
    double *ratios;
} benchmark;

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e3 * (double)time.tv_sec + 1e-6 * (double)time.tv_nsec;
}

static dki_backend *backend_of(const benchmark *b) {
    return b->net->context->backend;
}

/* Host arrays of the data, until the data set has them. */
typedef struct {
    float *x;        /* [BATCHES·rows, n_0] */
    float *targets;  /* [BATCHES·rows, n_L], or NULL with labels */
    int32_t *labels; /* [BATCHES·rows] */
} random_data;

static void fill_row(const benchmark *b, const random_data *to, int64_t i) {
    int64_t inputs = b->net->desc.inputs, outputs = dki_net_outputs(b->net);
    for (int64_t j = 0; j < inputs; j += 4) {
        dki_words words = dki_random_block(1, DKI_FOR_SYNTH, 0, 0, (uint32_t)i, (uint32_t)(j / 4));
        for (int64_t e = 0; e < 4 && j + e < inputs; ++e)
            to->x[i * inputs + j + e] = dki_normal(words.v[e]);
    }
    if (to->labels)
        to->labels[i] =
            (int32_t)(dki_random_word(1, DKI_FOR_SYNTH, 1, 0, (uint32_t)i, 0) % (uint64_t)outputs);
    for (int64_t j = 0; j < outputs && to->targets; ++j)
        to->targets[i * outputs + j] =
            0.5f +
            0.5f * dki_uniform(dki_random_word(1, DKI_FOR_SYNTH, 2, 0, (uint32_t)i, (uint64_t)j));
}

/* Random features; labels in range, or targets. The set borrows the features from `data`. */
static dk_status make_data(benchmark *b, random_data *data) {
    int64_t rows = b->rows * BATCHES, outputs = dki_net_outputs(b->net);
    dk_arrays arrays = DK_ARRAYS_INIT;
    DKI_TRY(dki_new(b->allocator, &data->x, (size_t)(rows * b->net->desc.inputs), "random data"));
    if (b->net->desc.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY)
        DKI_TRY(dki_new(b->allocator, &data->labels, (size_t)rows, "random labels"));
    else
        DKI_TRY(dki_new(b->allocator, &data->targets, (size_t)(rows * outputs), "random targets"));
    for (int64_t i = 0; i < rows; ++i) fill_row(b, data, i);
    arrays.rows = rows;
    arrays.features = b->net->desc.inputs;
    arrays.x = data->x;
    arrays.labels = data->labels;
    arrays.classes = data->labels ? outputs : 0;
    arrays.targets = data->targets;
    arrays.target_count = data->targets ? outputs : 0;
    DKI_TRY(dk_dataset_from_arrays(&b->data, b->net->context, &arrays));
    return dki_feed_create(&b->feed, b->net->context, b->data, b->rows, NULL);
}

/* The products of a step, with the step's own buffers as operands. */
static dk_status list_products(benchmark *b) {
    const dki_tensors *t = &b->trainer->session->tensors;
    size_t layers = b->net->desc.layer_count;
    DKI_TRY(dki_new(b->allocator, &b->products, 3 * layers, "products"));
    for (size_t k = 1; k <= layers; ++k) {
        const dki_place *place = &b->net->layout.places[k - 1];
        dki_matrix w = dki_step_weight(b->trainer->session, k);
        dki_matrix dw = w;
        dw.data = t->gradients + place->w;
        b->products[b->product_count++] =
            (dki_bare_product){DKI_PRODUCT_FORWARD, t->a[k - 1], w, t->a[k]};
        b->products[b->product_count++] =
            (dki_bare_product){DKI_PRODUCT_PARAMS, t->delta[k], t->a[k - 1], dw};
        if (k > 1)
            b->products[b->product_count++] =
                (dki_bare_product){DKI_PRODUCT_DATA, t->delta[k], w, t->delta[k - 1]};
    }
    return DK_OK;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The q-quantile of sorted values. */
static double quantile(const double *sorted, size_t count, double q) {
    double place = q * (double)(count - 1);
    size_t below = (size_t)place;
    if (below + 1 >= count) return sorted[count - 1];
    double part = place - (double)below;
    return sorted[below] * (1.0 - part) + sorted[below + 1] * part;
}

/* What one method is captured for. */
typedef struct {
    const benchmark *b;
    int method;
} floor_body;

static dk_status queue_products(void *argument) {
    const floor_body *body = argument;
    dki_backend *backend = backend_of(body->b);
    for (size_t i = 0; i < body->b->product_count; ++i)
        DKI_TRY(backend->ops->bare_product(backend, DKI_LANE_MAIN, body->method,
                                           &body->b->products[i]));
    return DK_OK;
}

/* All products of a step by one method; recorded, as the step is, or the host's time would be a part
 * of the floor. */
static dk_status run_floor(benchmark *b, int method, double *ms) {
    dki_backend *backend = backend_of(b);
    floor_body body = {b, method};
    double begin = now_ms();
    DKI_TRY(backend->ops->run(backend, &b->recordings[method], queue_products, &body));
    DKI_TRY(backend->ops->sync(backend));
    *ms = now_ms() - begin;
    return DK_OK;
}

/* The next batch; a new epoch where there is none. */
static dk_status next_batch(benchmark *b, dki_fed *batch) {
    DKI_TRY(dki_feed_next(b->feed, batch));
    if (batch->rows) return DK_OK;
    DKI_TRY(dki_feed_begin(b->feed, false, 0, ++b->epochs));
    return dki_feed_next(b->feed, batch);
}

static dk_status run_step(benchmark *b, double *ms) {
    dki_backend *backend = backend_of(b);
    dki_fed batch;
    DKI_TRY(next_batch(b, &batch));
    double begin = now_ms();
    DKI_TRY(dki_train_fed(b->trainer, &batch));
    DKI_TRY(backend->ops->sync(backend));
    *ms = now_ms() - begin;
    return dki_trainer_collect(b->trainer, true, NULL);
}

/* One round: the step, then the floor by every method. In training a step follows a step, so one
 * that doesn't count goes first. */
static dk_status run_round(benchmark *b, size_t round) {
    double unused = 0.0;
    DKI_TRY(run_step(b, &unused));
    DKI_TRY(run_step(b, &b->steps[round]));
    for (int method = 0; method < b->method_count; ++method)
        DKI_TRY(run_floor(b, method, &b->floors[method][round]));
    if (b->method_count > 1) nanosleep(&SETTLE, NULL);
    return DK_OK;
}

static dk_status count_methods(benchmark *b) {
    double unused = 0.0;
    while (b->method_count < MAX_METHODS) {
        dk_status status = run_floor(b, b->method_count, &unused);
        if (status == DK_E_UNSUPPORTED) break;
        if (status) return status;
        ++b->method_count;
    }
    return DK_OK;
}

/* Rounds until both the count and the time asked for are reached; round 0 is overwritten by the
 * warm-up and then by the first that counts. */
static dk_status measure(benchmark *b, const dk_bench_options *options, size_t *count) {
    double unused = 0.0;
    DKI_TRY(run_step(b, &unused));
    DKI_TRY(count_methods(b));
    for (int i = 0; i < WARM_UP; ++i) DKI_TRY(run_round(b, 0));
    double began = now_ms();
    for (*count = 0; *count < MAX_REPEATS; ++*count) {
        bool enough = *count >= (size_t)options->repeats;
        if (enough && now_ms() - began >= 1e3 * options->seconds) break;
        DKI_TRY(run_round(b, *count));
    }
    return DK_OK;
}

static double sorted_median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare_doubles);
    return quantile(values, count, 0.5);
}

/* The floor is the method with the lower median; ratios are taken round by round. */
static dk_status choose_floor(benchmark *b, size_t count, double **floor) {
    double *scratch = NULL, best = INFINITY;
    DKI_TRY(dki_new(b->allocator, &scratch, count, "times"));
    for (int method = 0; method < b->method_count; ++method) {
        memcpy(scratch, b->floors[method], count * sizeof *scratch);
        double median = sorted_median(scratch, count);
        if (median < best) *floor = b->floors[method];
        best = fmin(best, median);
    }
    for (size_t i = 0; i < count; ++i) b->ratios[i] = b->steps[i] / (*floor)[i];
    dki_release(b->allocator, scratch);
    return DK_OK;
}

static dk_status summarise(benchmark *b, size_t count, dk_bench_result *result) {
    double flops = 0.0, *floor = NULL;
    DKI_TRY(choose_floor(b, count, &floor));
    for (size_t i = 0; i < b->product_count; ++i) {
        const dki_bare_product *p = &b->products[i];
        int64_t depth = p->kind == DKI_PRODUCT_PARAMS ? p->a.rows : p->a.cols;
        flops += 2.0 * (double)p->out.rows * (double)p->out.cols * (double)depth;
    }
    double step = sorted_median(b->steps, count);
    double floor_median = sorted_median(floor, count), ratio = sorted_median(b->ratios, count);
    *result = (dk_bench_result){.repeats = (int)count,
                                .step_ms = step,
                                .step_ms_low = quantile(b->steps, count, 0.25),
                                .step_ms_high = quantile(b->steps, count, 0.75),
                                .floor_ms = floor_median,
                                .floor_ms_low = quantile(floor, count, 0.25),
                                .floor_ms_high = quantile(floor, count, 0.75),
                                .ratio = ratio,
                                .ratio_low = quantile(b->ratios, count, 0.25),
                                .ratio_high = quantile(b->ratios, count, 0.75),
                                .samples_per_s = 1e3 * (double)b->rows / step,
                                .gflops = flops / step * 1e-6,
                                .flops = flops,
                                .floor_library = b->net->context->info.library};
    return DK_OK;
}

static dk_status open_benchmark(benchmark *b, random_data *data, dk_context *context,
                                const dk_net_desc *desc, const dk_train_options *options) {
    dk_train_options o;
    DKI_TRY(dki_train_options_resolve(options, &o));
    if (o.total_steps == 0) o.schedule = DK_SCHEDULE_CONSTANT;
    if (o.warmup < 1.0) o.warmup = 0.0;
    o.accumulate = 1;
    DKI_TRY(dk_net_create(&b->net, context, desc));
    DKI_TRY(dk_trainer_create(&b->trainer, b->net, &o));
    b->rows = o.batch;
    DKI_TRY(dki_new(b->allocator, &b->steps, MAX_REPEATS, "times"));
    DKI_TRY(dki_new(b->allocator, &b->ratios, MAX_REPEATS, "times"));
    for (int method = 0; method < MAX_METHODS; ++method)
        DKI_TRY(dki_new(b->allocator, &b->floors[method], MAX_REPEATS, "times"));
    DKI_TRY(make_data(b, data));
    DKI_TRY(dki_feed_begin(b->feed, false, 0, 0));
    return list_products(b);
}

dk_status dk_benchmark(dk_context *context, const dk_net_desc *desc,
                       const dk_train_options *options, const dk_bench_options *bench,
                       dk_bench_result *result) {
    static const dk_bench_options defaults = DK_BENCH_OPTIONS_INIT;
    DKI_REQUIRE(context && result, DK_E_ARGUMENT, "dk_benchmark: a NULL argument");
    if (!bench) bench = &defaults;
    DKI_REQUIRE(bench->size == sizeof *bench && bench->repeats >= 1 &&
                    bench->repeats <= MAX_REPEATS && bench->seconds >= 0.0,
                DK_E_ARGUMENT, "dk_bench_options: repeats is 1 … %d, seconds from 0 up",
                MAX_REPEATS);
    benchmark b = {.allocator = &context->allocator};
    size_t count = 0;
    random_data data = {NULL, NULL, NULL};
    dk_status status = open_benchmark(&b, &data, context, desc, options);
    if (!status) status = measure(&b, bench, &count);
    if (!status) status = summarise(&b, count, result);
    for (int method = 0; method < MAX_METHODS; ++method)
        context->backend->ops->run(context->backend, &b.recordings[method], NULL, NULL);
    dki_feed_destroy(b.feed);
    dk_dataset_destroy(b.data);
    void *const owned[] = {data.x, data.labels, data.targets, b.products, b.steps, b.ratios};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; ++i) dki_release(b.allocator, owned[i]);
    for (int method = 0; method < MAX_METHODS; ++method) dki_release(b.allocator, b.floors[method]);
    dk_trainer_destroy(b.trainer);
    dk_net_destroy(b.net);
    return status;
}
