/* Finding, timing and counting. */
#include "base/memory.h"
#include "probe.h"

#include <math.h>
#include <stdio.h>

/* What the library is asked for one copy of the layer's tensors. */
static void describe(const probe_call *call, int copy, dki_product *product,
                     dki_operands *operands) {
    const probe *it = call->of;
    dki_trial_product(&it->trial, copy, call->kind, call->epilogue, product, operands);
    operands->workspace = it->cuda->product_workspace[call->lane];
    product->accumulate = call->beta ? DKI_ADD : DKI_OVERWRITE;
    product->processors = call->processors;
    if (!call->device_scalars) return;
    product->accumulate = DKI_SCALE;
    operands->scalars = it->scalars + (call->beta ? 2 : 0);
}

/* The library reads what it isn't given, so only what deltak could ask for is asked. (That a bias
 * gradient in 16 bits is too coarse for deltak is no reason not to measure it.) */
static bool may_ask(const dki_product *product) {
    if (!dki_epilogue_has_aux(product->epilogue)) return true;
    return product->ld_aux % DKI_AUX_LD_MULTIPLE == 0;
}

dk_status probe_queue_call(void *argument, int copy) {
    const probe_call *call = argument;
    const probe *it = call->of;
    dki_product product;
    dki_operands operands;
    describe(call, copy, &product, &operands);
    return dki_gpu_multiply(it->cuda->gpu, it->cuda->lanes[call->lane], &product, &call->algorithm,
                            &operands);
}

static int repeats_of(const probe_shape *shape) {
    const double flops = 2.0 * (double)shape->rows * (double)shape->inputs * (double)shape->width;
    return flops < 2e9 ? 16 : flops < 1e11 ? 4 : 2;
}

static dk_status time_within(probe *it, dki_trial trial, void *argument, double limit, double *ms) {
    const dk_status status = dki_timer_measure(&it->timer, trial, argument, it->trial.copies,
                                               repeats_of(&it->shape), limit, ms);
    if (!status || status == DK_E_DEVICE_LOST) return status;
    fprintf(stderr, "probe_cublaslt: passed over: %s\n", dk_error_text());
    *ms = INFINITY;
    return DK_OK;
}

dk_status probe_time(probe *it, dki_trial trial, void *argument, double *ms) {
    return time_within(it, trial, argument, INFINITY, ms);
}

dk_status probe_fastest(probe_call *call) {
    enum { MOST = 32 };
    probe *it = call->of;
    dki_algorithm candidates[MOST], best = {{0}, 0};
    dki_product product;
    dki_operands operands;
    const int wanted = it->options->candidates < MOST ? it->options->candidates : MOST;
    call->ms = INFINITY;
    describe(call, 0, &product, &operands);
    if (!may_ask(&product)) return DK_OK;
    DKI_TRY(dki_gpu_algorithms(it->cuda->gpu, &product, candidates, wanted, &call->candidates));
    for (int i = 0; i < call->candidates; ++i) {
        double ms = INFINITY;
        call->algorithm = candidates[i];
        DKI_TRY(time_within(it, probe_queue_call, call, call->ms, &ms));
        if (!(ms < call->ms)) continue;
        call->ms = ms;
        best = candidates[i];
    }
    call->algorithm = best;
    return DK_OK;
}

dk_status probe_nodes(probe *it, dki_trial trial, void *argument, int *kernels, int *others) {
    dki_gpu *gpu = it->cuda->gpu;
    dki_graph *graph = NULL;
    DKI_TRY(dki_gpu_capture_begin(gpu, it->timer.stream));
    const dk_status status = trial(argument, 0);
    const dk_status ended = dki_gpu_capture_end(gpu, it->timer.stream, &graph);
    if (graph) dki_gpu_graph_nodes(graph, kernels, others);
    dki_gpu_graph_destroy(gpu, graph);
    return status ? status : ended;
}

dk_status probe_fork(probe *it) {
    dki_gpu *gpu = it->cuda->gpu;
    DKI_TRY(dki_gpu_event_record(gpu, it->forked, it->cuda->lanes[DKI_LANE_PARAMS]));
    return dki_gpu_event_wait(gpu, it->forked, it->cuda->lanes[DKI_LANE_MAIN]);
}

dk_status probe_join(probe *it) {
    dki_gpu *gpu = it->cuda->gpu;
    DKI_TRY(dki_gpu_event_record(gpu, it->joined, it->cuda->lanes[DKI_LANE_MAIN]));
    return dki_gpu_event_wait(gpu, it->joined, it->cuda->lanes[DKI_LANE_PARAMS]);
}

probe_row probe_new_row(const probe *it, probe_question question, const char *product,
                        const char *variant) {
    probe_row row = {.question = question,
                     .shape = it->shape,
                     .precision = it->precision,
                     .product = product,
                     .ms = INFINITY,
                     .plain_ms = INFINITY,
                     .own_ms = INFINITY,
                     .alone_ms = INFINITY};
    snprintf(row.variant, sizeof row.variant, "%s", variant);
    return row;
}

dk_status probe_add_row(probe *it, const probe_row *row) {
    probe_result *result = it->result;
    DKI_TRY(dki_grow(&dki_libc_allocator, (void **)&result->rows, &result->capacity,
                     result->count + 1, sizeof *result->rows, "the rows"));
    result->rows[result->count++] = *row;
    if (it->options->tell) it->options->tell(row);
    return DK_OK;
}
