/* A row for each operation of a step: what it is, costs, should take and takes. */
#include "benchmark/benchmark.h"

#include <math.h>

static const char *name_of(dki_operation_kind kind) {
    switch (kind) {
    case DKI_OPERATION_GATHER:
        return "gather";
    case DKI_OPERATION_BEGIN:
        return "begin";
    case DKI_OPERATION_FORWARD:
        return "forward";
    case DKI_OPERATION_LOSS:
        return "loss";
    case DKI_OPERATION_BACKWARD_DATA:
        return "data gradient";
    case DKI_OPERATION_BACKWARD_PARAMS:
        return "weight gradient";
    case DKI_OPERATION_DECIDE:
        return "decide";
    case DKI_OPERATION_UPDATE:
        return "update";
    case DKI_OPERATION_ORDER:
        return "order";
    }
    return NULL;
}

/* The layer whose weights begin at an element of the parameter-shaped regions, and end before `end`;
 * 0 = more than one layer's, or biases. */
static size_t layer_at(const dki_layout *layout, int64_t first, int64_t end) {
    for (size_t k = 1; k <= layout->layer_count; ++k) {
        const int64_t next = k < layout->layer_count ? layout->places[k].w : layout->weights_end;
        if (layout->places[k - 1].w == first) return end <= next ? k : 0;
    }
    return 0;
}

static size_t layer_of(const dki_bench *bench, const dki_operation *operation) {
    const dki_layout *layout = &bench->net->layout;
    switch (operation->kind) {
    case DKI_OPERATION_FORWARD:
        return operation->as.forward.g.layer;
    case DKI_OPERATION_LOSS:
        return layout->layer_count;
    case DKI_OPERATION_BACKWARD_DATA: /* its g is that of the layer below */
        return operation->as.backward_data.g.layer + 1;
    case DKI_OPERATION_BACKWARD_PARAMS: {
        const float *dw = operation->as.backward_params.dw.data;
        const int64_t first = dw - bench->trainer->session->tensors.gradients;
        return layer_at(layout, first, first);
    }
    case DKI_OPERATION_UPDATE: {
        const dki_range range = operation->as.update.range;
        return layer_at(layout, range.first, range.first + range.count);
    }
    default:
        return 0;
    }
}

/* max(flops/rate, bytes/bandwidth) + launches·launch: the roofline (Williams, Waterman & Patterson
 * 2009), with the bandwidth of a working set of so many bytes. */
static double predict(const dki_cost *cost, const dk_bench_rates *rates) {
    const double bytes = cost->read + cost->written;
    const double compute = 1e-6 * cost->flops / rates->matrix_gflops;
    const double memory = 1e3 * bytes / dki_bench_bandwidth(rates, bytes);
    return fmax(compute, memory) + 1e-3 * rates->launch_us * cost->launches;
}

static double measured(const dki_bench *bench, size_t i) {
    const size_t rounds = bench->rounds < DKI_BENCH_TIMED ? bench->rounds : DKI_BENCH_TIMED;
    return dki_sorted_median(&bench->operations[i * DKI_BENCH_TIMED], rounds);
}

dk_status dki_bench_explain(dki_bench *bench, const dk_bench_rates *rates, dk_bench_operation *rows,
                            size_t capacity, size_t *count) {
    dki_backend *backend = dki_bench_backend(bench);
    *count = 0;
    for (size_t i = 0; i < bench->trace.count; ++i) {
        const dki_operation *operation = &bench->trace.list[i];
        if (operation->kind == DKI_OPERATION_ORDER) continue;
        dki_cost cost;
        DKI_TRY(backend->ops->cost(backend, operation, &cost));
        if (*count < capacity)
            rows[*count] = (dk_bench_operation){.operation = name_of(operation->kind),
                                                .layer = layer_of(bench, operation),
                                                .lane = (int)operation->lane,
                                                .flops = cost.flops,
                                                .bytes = cost.read + cost.written,
                                                .launches = cost.launches,
                                                .predicted_ms = predict(&cost, rates),
                                                .measured_ms = measured(bench, i)};
        ++*count;
    }
    return DK_OK;
}
