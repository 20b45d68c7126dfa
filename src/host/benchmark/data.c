/* The data of a benchmark: random, since zeros would draw less power, and run faster, than what people
 * train on. */
#include "benchmark/benchmark.h"
#include "kernels/philox.h"
#include "kernels/scalar.h"

/* Past the caches of an H100 (50 MB) and of most processors; not so many batches that small ones take
 * long to make. A launch has up to 8 steps, so the number of batches is a multiple of 8 where that is
 * cheap. */
static const int64_t PAST_CACHES = INT64_C(64) << 20;
enum { FEWEST_BATCHES = 4, MOST_BATCHES = 256, BATCHES_ALIKE = 8 };

static int64_t batches_of(int64_t bytes_of_batch) {
    int64_t batches = PAST_CACHES / bytes_of_batch;
    if (batches <= FEWEST_BATCHES) return FEWEST_BATCHES;
    batches = (batches + BATCHES_ALIKE - 1) / BATCHES_ALIKE * BATCHES_ALIKE;
    return batches < MOST_BATCHES ? batches : MOST_BATCHES;
}

static void fill_row(const dki_bench *bench, int64_t i) {
    const int64_t inputs = bench->net->desc.inputs, outputs = dki_net_outputs(bench->net);
    for (int64_t j = 0; j < inputs; j += 4) {
        dki_words words = dki_random_block(1, DKI_FOR_SYNTH, 0, 0, (uint32_t)i, (uint32_t)(j / 4));
        for (int64_t e = 0; e < 4 && j + e < inputs; ++e)
            bench->x[i * inputs + j + e] = dki_normal(words.v[e]);
    }
    if (bench->labels)
        bench->labels[i] =
            (int32_t)(dki_random_word(1, DKI_FOR_SYNTH, 1, 0, (uint32_t)i, 0) % (uint64_t)outputs);
    for (int64_t j = 0; j < outputs && bench->targets; ++j)
        bench->targets[i * outputs + j] =
            0.5f +
            0.5f * dki_uniform(dki_random_word(1, DKI_FOR_SYNTH, 2, 0, (uint32_t)i, (uint64_t)j));
}

dk_status dki_bench_data(dki_bench *bench) {
    const int64_t inputs = bench->net->desc.inputs, outputs = dki_net_outputs(bench->net);
    bench->batches = batches_of(bench->rows * inputs * (int64_t)sizeof(float));
    const int64_t rows = bench->rows * bench->batches;
    dk_arrays arrays = DK_ARRAYS_INIT;
    DKI_TRY(dki_new(bench->allocator, &bench->x, (size_t)(rows * inputs), "random data"));
    if (bench->net->desc.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY)
        DKI_TRY(dki_new(bench->allocator, &bench->labels, (size_t)rows, "random labels"));
    else
        DKI_TRY(
            dki_new(bench->allocator, &bench->targets, (size_t)(rows * outputs), "random targets"));
    for (int64_t i = 0; i < rows; ++i) fill_row(bench, i);
    arrays.rows = rows;
    arrays.features = inputs;
    arrays.x = bench->x;
    arrays.labels = bench->labels;
    arrays.classes = bench->labels ? outputs : 0;
    arrays.targets = bench->targets;
    arrays.target_count = bench->targets ? outputs : 0;
    DKI_TRY(dk_dataset_from_arrays(&bench->data, bench->net->context, &arrays));
    DKI_TRY(dki_feed_create(&bench->feed, bench->net->context, bench->data, bench->rows, NULL));
    return dki_feed_begin(bench->feed, NULL);
}
