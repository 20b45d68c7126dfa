/* Opening the CUDA backend, and its table of operations. */
#include "backend/cuda/cuda.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

dki_cuda *dki_cuda_enter(dki_backend *backend, const char *format, ...) {
    dki_cuda *cuda = dki_cuda_of(backend);
    char name[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&cuda->lock);
    dki_gpu_range_begin(cuda->gpu, name);
    return cuda;
}

dk_status dki_cuda_leave(dki_cuda *cuda, dk_status status) {
    dki_gpu_range_end(cuda->gpu);
    pthread_mutex_unlock(&cuda->lock);
    return status;
}

static dk_status describe(dki_cuda *cuda, dki_backend_info *info) {
    const dki_gpu_facts *facts = dki_gpu_facts_of(cuda->gpu);
    memset(info, 0, sizeof *info);
    snprintf(info->device, sizeof info->device, "cuda:%d", facts->ordinal);
    snprintf(info->device_name, sizeof info->device_name, "%s", facts->name);
    snprintf(info->library, sizeof info->library, "%s", facts->library);
    snprintf(info->kernel, sizeof info->kernel, "sm_%d%d, %d multiprocessors", facts->major,
             facts->minor, facts->processors);
    info->allocated = cuda->allocated;
    info->allocated_most = cuda->allocated_most;
    return dki_gpu_memory(cuda->gpu, &info->memory_total, &info->memory_free);
}

static dk_status cuda_describe(dki_backend *backend, dki_backend_info *info) {
    dki_cuda *cuda = dki_cuda_enter(backend, "describe");
    return dki_cuda_leave(cuda, describe(cuda, info));
}

/* Takes a backend that isn't wholly open, too; and a lost device, whose errors have been told. */
static void cuda_close(dki_backend *backend) {
    dki_cuda *cuda = dki_cuda_of(backend);
    for (int lane = 0; cuda->gpu && lane < DKI_LANE_COUNT; ++lane)
        if (cuda->lanes[lane]) (void)dki_gpu_stream_sync(cuda->gpu, cuda->lanes[lane]);
    dki_plans_destroy(cuda->plans);
    dki_cuda_release_blocks(cuda);
    if (cuda->gpu) {
        dki_cuda_take_back_main(cuda);
        dki_cuda_staging_close(cuda);
        dki_cuda_marks_close(cuda);
        for (int lane = 0; lane < DKI_STEP_LANES; ++lane)
            if (cuda->product_workspace[lane])
                dki_gpu_free(cuda->gpu, cuda->product_workspace[lane]);
        for (int lane = 0; lane < DKI_LANE_COUNT; ++lane) {
            if (cuda->ordered[lane]) dki_gpu_event_destroy(cuda->gpu, cuda->ordered[lane]);
            if (cuda->synced[lane]) dki_gpu_event_destroy(cuda->gpu, cuda->synced[lane]);
            if (cuda->lanes[lane]) dki_gpu_stream_destroy(cuda->gpu, cuda->lanes[lane]);
        }
        dki_gpu_close(cuda->gpu);
    }
    pthread_mutex_destroy(&cuda->lock);
    const dk_allocator *allocator = cuda->services.allocator;
    dki_release(allocator, cuda);
}

static const dki_backend_ops cuda_ops = {
    .alloc = dki_cuda_alloc,
    .release = dki_cuda_release,
    .upload = dki_cuda_upload,
    .download = dki_cuda_download,
    .sync = dki_cuda_sync,
    .describe = cuda_describe,
    .close = cuda_close,
    .prepare = dki_cuda_prepare,
    .keep_plans = dki_cuda_keep_plans,
    .take_plans = dki_cuda_take_plans,
    .linear_forward = dki_cuda_linear_forward,
    .linear_backward_data = dki_cuda_linear_backward_data,
    .linear_backward_params = dki_cuda_linear_backward_params,
    .gather = dki_cuda_gather_batch,
    .loss = dki_cuda_loss_and_delta,
    .initialise = dki_cuda_initialise_weights,
    .update = dki_cuda_update_parameters,
    .cast = dki_cuda_cast_parameters,
    .begin = dki_cuda_begin_step,
    .decide = dki_cuda_decide_step,
    .order = dki_cuda_order,
    .run = dki_cuda_run,
    .bare_product = dki_cuda_bare_product,
    .mark = dki_cuda_mark,
    .elapsed = dki_cuda_elapsed,
    .cost = dki_cuda_cost,
};

/* Tensor cores take TF32 and bf16 from compute capability 8.0, fp16 from 7.5 (of those supported).
 */
static dk_status require_precision(const dki_gpu_facts *facts, dk_precision precision) {
    const int capability = 10 * facts->major + facts->minor;
    const int least = precision == DK_FP32 ? 0 : precision == DK_FP16 ? 75 : 80;
    DKI_REQUIRE(capability >= least, DK_E_UNSUPPORTED,
                "the %s (compute capability %d.%d) doesn't have %s, which needs %d.%d: ask for %s",
                facts->name, facts->major, facts->minor,
                precision == DK_BF16   ? "bf16"
                : precision == DK_TF32 ? "TF32"
                                       : "fp16",
                least / 10, least % 10, capability >= 75 ? "fp16 or fp32" : "fp32");
    return DK_OK;
}

static void set_precision(dki_cuda *cuda, dk_precision precision) {
    const dki_element element = precision == DK_BF16   ? DKI_ELEMENT_BF16
                                : precision == DK_FP16 ? DKI_ELEMENT_F16
                                                       : DKI_ELEMENT_F32;
    cuda->base = (dki_backend){.ops = &cuda_ops,
                               .cuda = &dki_cuda_application_ops,
                               .element = element,
                               /* 16 bytes: what a tensor core's loads are aligned to */
                               .ld_multiple = 16 / (int64_t)dki_element_bytes(element),
                               .loss_scaling = precision == DK_FP16,
                               .early_updates = true};
    cuda->rules =
        (dki_product_rules){.element = element,
                            .tf32 = precision == DK_TF32,
                            .workspace = (int64_t)dki_gpu_facts_of(cuda->gpu)->product_workspace};
}

static dk_status open_lanes(dki_cuda *cuda) {
    for (int lane = 0; lane < DKI_LANE_COUNT; ++lane) {
        DKI_TRY(dki_gpu_stream_create(cuda->gpu, &cuda->lanes[lane]));
        if (lane == DKI_LANE_MAIN) cuda->own_main = cuda->lanes[lane];
        DKI_TRY(dki_gpu_event_create(cuda->gpu, false, &cuda->ordered[lane]));
        DKI_TRY(dki_gpu_event_create(cuda->gpu, false, &cuda->synced[lane]));
    }
    const size_t workspace = (size_t)cuda->rules.workspace;
    for (int lane = 0; workspace && lane < DKI_STEP_LANES; ++lane) {
        DKI_TRY(dki_gpu_alloc(cuda->gpu, workspace, &cuda->product_workspace[lane]));
        dki_cuda_count_allocated(cuda, (int64_t)workspace);
    }
    return dki_cuda_staging_open(cuda);
}

static dk_status open_gpu(dki_cuda *cuda) {
    DKI_TRY(dki_gpu_open(&cuda->gpu, &cuda->services, cuda->options.ordinal));
    DKI_TRY(require_precision(dki_gpu_facts_of(cuda->gpu), cuda->options.precision));
    set_precision(cuda, cuda->options.precision);
    DKI_TRY(open_lanes(cuda));
    const dki_plans_options plans = {
        .deterministic = cuda->options.deterministic,
        .disk = cuda->options.plan_cache,
    };
    return dki_plans_create(&cuda->plans, &cuda->services, cuda->gpu, &plans);
}

static bool make_lock(pthread_mutex_t *lock) {
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0) return false;
    const bool made = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE) == 0 &&
                      pthread_mutex_init(lock, &attributes) == 0;
    pthread_mutexattr_destroy(&attributes);
    return made;
}

dk_status dki_cuda_open(dki_backend **backend, const dki_services *services,
                        const dki_cuda_options *options) {
    *backend = NULL;
    dki_cuda *cuda = NULL;
    DKI_TRY(dki_new(services->allocator, &cuda, 1, "the CUDA backend"));
    cuda->services = *services;
    cuda->options = *options;
    if (!make_lock(&cuda->lock)) {
        dki_release(services->allocator, cuda);
        return dki_fail(DK_E_MEMORY, "the system gives no lock for the CUDA backend");
    }
    const dk_status status = open_gpu(cuda);
    if (status)
        cuda_close(&cuda->base);
    else
        *backend = &cuda->base;
    return status;
}
