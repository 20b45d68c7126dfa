/* What `deltak bench` prints. */
#ifndef CLI_BENCH_REPORT_H
#define CLI_BENCH_REPORT_H

#include "layers.h"

/** A benchmark and its results. */
typedef struct bench_report {
    const char *workload; /* or NULL */
    const cli_layers *layers;
    const cli_network *network;
    const dk_train_options *train;
    dk_bench_result result;
    dk_bench_rates *rates; /* NULL without --explain */
    dk_bench_operation *rows;
    size_t count;
} bench_report;

void cli_bench_json(const bench_report *report, const dk_context *context);
void cli_bench_table(const bench_report *report, const dk_context *context);

#endif
