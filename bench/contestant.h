/* The parts of deltak's contestant: what is to be trained, its data, and how it gives up. */
#ifndef CONTESTANT_H
#define CONTESTANT_H

#include <deltak/deltak.h>
#include <jansson.h>

enum { MOST_WIDTHS = 64 };

/** The task file of bench/peers/README.md. Texts live as long as `json`. */
typedef struct bench_task {
    json_t *json;
    int64_t widths[MOST_WIDTHS]; /* n_0 … n_L */
    size_t count;                /* L + 1 */
    int64_t batch, batches;
    dk_optimizer optimizer;
    double lr, weight_decay;
    dk_precision precision;
    const char *device;
    int threads;
    const char *x, *y, *initial; /* files */
} bench_task;

/** Features [batches·batch, n_0] and labels, read from the task's .npy files. */
typedef struct bench_samples {
    float *x;
    int32_t *labels;
} bench_samples;

/** Ends the program with `text` on standard error. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *allocate(size_t count, size_t size);

bench_task task_read(const char *path);
dk_context *task_open(const bench_task *task);
/** The network of the task, with ReLU, softmax cross-entropy and the weights of seed 1. */
dk_net *task_net(const bench_task *task, dk_context *context);

/** Writes the three files that every contestant reads. */
void samples_write(const bench_task *task);
bench_samples samples_read(const bench_task *task);

#endif
