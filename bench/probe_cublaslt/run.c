/* Every precision, every layer, every question. */
#include "base/memory.h"
#include "probe.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const probe_precision probe_precisions[PROBE_PRECISIONS] = {
    {"bf16", DK_BF16}, {"tf32", DK_TF32}, {"fp16", DK_FP16}, {"fp32", DK_FP32}};

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static dk_status ask(probe *it) {
    static dk_status (*const questions[PROBE_QUESTIONS])(probe *) = {
        [PROBE_EPILOGUE] = probe_epilogues,
        [PROBE_SCALARS] = probe_scalars,
        [PROBE_LANES] = probe_lanes,
        [PROBE_CARVE_OUT] = probe_carve_outs,
    };
    for (int i = 0; i < PROBE_QUESTIONS; ++i)
        if (it->options->questions[i]) DKI_TRY(questions[i](it));
    return DK_OK;
}

/* The layout has room for z, which GELU's epilogues want. */
static dk_status ask_layer(probe *it, const probe_shape *shape) {
    it->shape = *shape;
    it->layer = (dki_layer_shape){shape->inputs, shape->width, DK_GELU_TANH, false};
    it->below = (dki_layer_shape){shape->inputs, shape->inputs, DK_GELU_TANH, false};
    const dki_trial_shape trial = {&it->layer, &it->below, shape->rows};
    DKI_TRY(dki_trial_lay_out(&it->trial, it->cuda, &trial));
    dk_status status = dki_trial_allocate(&it->trial);
    if (!status) status = ask(it);
    dki_trial_close(&it->trial);
    return status;
}

/* A layer that doesn't fit into this GPU's memory is left out, aloud. */
static dk_status ask_layers(probe *it, double deadline) {
    for (size_t i = 0; i < it->options->shape_count; ++i) {
        const probe_shape *shape = &it->options->shapes[i];
        if (deadline > 0 && seconds_now() > deadline) {
            it->result->complete = false;
            return DK_OK;
        }
        const dk_status status = ask_layer(it, shape);
        if (status != DK_E_MEMORY) DKI_TRY(status);
        if (!status) continue;
        it->result->complete = false;
        fprintf(stderr, "probe_cublaslt: %s, %lld > %lld in %s is left out: %s\n", shape->workload,
                (long long)shape->inputs, (long long)shape->width, it->precision, dk_error_text());
    }
    return DK_OK;
}

/* α = 1, with β = 0 and with β = 1. */
static dk_status put_scalars(probe *it) {
    dki_gpu *gpu = it->cuda->gpu;
    const dki_stream stream = it->timer.stream;
    static const float values[] = {1.0f, 0.0f, 1.0f, 1.0f};
    void *pinned = NULL;
    DKI_TRY(dki_gpu_alloc(gpu, sizeof values, (void **)&it->scalars));
    DKI_TRY(dki_gpu_alloc_host(gpu, sizeof values, &pinned));
    memcpy(pinned, values, sizeof values);
    const dk_status status = dki_gpu_copy(gpu, stream, it->scalars, pinned, sizeof values);
    const dk_status synced = dki_gpu_stream_sync(gpu, stream);
    dki_gpu_free_host(gpu, pinned);
    return status ? status : synced;
}

static dk_status open_tools(probe *it) {
    dki_gpu *gpu = it->cuda->gpu;
    DKI_TRY(dki_timer_open(&it->timer, gpu, it->cuda->lanes[DKI_LANE_PARAMS]));
    DKI_TRY(dki_gpu_event_create(gpu, false, &it->forked));
    DKI_TRY(dki_gpu_event_create(gpu, false, &it->joined));
    return put_scalars(it);
}

static void close_tools(probe *it) {
    dki_gpu *gpu = it->cuda->gpu;
    if (it->scalars) dki_gpu_free(gpu, it->scalars);
    if (it->joined) dki_gpu_event_destroy(gpu, it->joined);
    if (it->forked) dki_gpu_event_destroy(gpu, it->forked);
    if (it->timer.gpu) dki_timer_close(&it->timer);
}

static dk_status ask_precision(const probe_options *options, probe_result *result,
                               const probe_precision *precision, double deadline) {
    dki_logger silence = {.write = NULL};
    const dki_services services = {&dki_libc_allocator, &silence};
    const dki_cuda_options cuda = {.ordinal = options->ordinal, .precision = precision->precision};
    dki_backend *backend = NULL;
    DKI_TRY(dki_cuda_open(&backend, &services, &cuda));
    probe it = {.options = options, .result = result, .precision = precision->name};
    it.cuda = dki_cuda_enter(backend, "probe");
    dk_status status = open_tools(&it);
    if (!status) status = ask_layers(&it, deadline);
    close_tools(&it);
    (void)dki_cuda_leave(it.cuda, status);
    backend->ops->close(backend);
    return status;
}

/* Only to know what it is before the first row. */
static dk_status describe_gpu(const probe_options *options, probe_result *result) {
    dki_logger silence = {.write = NULL};
    const dki_services services = {&dki_libc_allocator, &silence};
    dki_gpu *gpu = NULL;
    DKI_TRY(dki_gpu_open(&gpu, &services, options->ordinal));
    result->facts = *dki_gpu_facts_of(gpu);
    dki_gpu_close(gpu);
    return DK_OK;
}

dk_status probe_run(const probe_options *options, probe_result *result) {
    const double deadline = options->budget > 0 ? seconds_now() + options->budget : 0;
    *result = (probe_result){.complete = true};
    DKI_TRY(describe_gpu(options, result));
    if (options->tell) probe_print_head(&result->facts);
    for (int i = 0; i < PROBE_PRECISIONS; ++i) {
        if (!options->precisions[i]) continue;
        const dk_status status = ask_precision(options, result, &probe_precisions[i], deadline);
        if (status == DK_E_UNSUPPORTED)
            fprintf(stderr, "probe_cublaslt: %s\n", dk_error_text());
        else if (status)
            return status;
    }
    return DK_OK;
}

void probe_release(probe_result *result) {
    dki_release(&dki_libc_allocator, result->rows);
    *result = (probe_result){.rows = NULL};
}
