/* Opening the CPU backend: memory, plan, and its table of operations. */
#include "backend/cpu/bf16.h"
#include "base/clock.h"
#include "base/memory.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "MemAvailable" or another line of /proc/meminfo, in bytes; 0 where it can't be read. */
static uint64_t memory_line(const char *key) {
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file) return 0;
    char line[128];
    unsigned long long kilobytes = 0;
    size_t length = strlen(key);
    while (!kilobytes && fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && line[length] == ':')
            kilobytes = strtoull(line + length + 1, NULL, 10);
    (void)fclose(file);
    return (uint64_t)kilobytes * 1024;
}

/* Large regions are compared with what is available first: the system would promise more than it
 * has, and kill the process when the promise is called. */
enum { LARGE_BYTES = 64 << 20 };

static dk_status require_memory(size_t bytes) {
    if (bytes < LARGE_BYTES) return DK_OK;
    uint64_t available = memory_line("MemAvailable");
    DKI_REQUIRE(!available || bytes <= available, DK_E_MEMORY,
                "out of memory: %.1f MiB are needed, %.1f MiB are available",
                (double)bytes / 1048576.0, (double)available / 1048576.0);
    return DK_OK;
}

/* What lies in front of a block's first tensor. */
typedef struct {
    void *block; /* as dki_alloc gave it */
    size_t bytes;
} block_head;

static block_head *head_of(void *memory) {
    return (block_head *)memory - 1;
}

static void count_allocated(dki_cpu *cpu, size_t bytes) {
    uint64_t now = __atomic_add_fetch(&cpu->allocated, bytes, __ATOMIC_RELAXED);
    uint64_t most = __atomic_load_n(&cpu->allocated_most, __ATOMIC_RELAXED);
    while (now > most && !__atomic_compare_exchange_n(&cpu->allocated_most, &most, now, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

/* dki_alloc aligns to 64 bytes, tensors want 256; the start of the block is kept in front. */
static dk_status cpu_alloc(dki_backend *backend, dki_memory where, size_t bytes, void **memory) {
    (void)where;
    char *block = NULL;
    *memory = NULL;
    size_t total = 0;
    DKI_REQUIRE(dki_add(bytes, 2 * (size_t)DKI_CPU_ALIGNMENT, &total), DK_E_MEMORY,
                "%zu bytes overflow", bytes);
    DKI_TRY(require_memory(total));
    DKI_TRY(dki_alloc(dki_cpu_of(backend)->services.allocator, total, 1, "a tensor region",
                      (void **)&block));
    char *aligned = block + DKI_CPU_ALIGNMENT - (size_t)((uintptr_t)block % DKI_CPU_ALIGNMENT);
    *head_of(aligned) = (block_head){block, bytes};
    count_allocated(dki_cpu_of(backend), bytes);
    *memory = aligned;
    return DK_OK;
}

static void cpu_release(dki_backend *backend, void *memory) {
    if (!memory) return;
    __atomic_sub_fetch(&dki_cpu_of(backend)->allocated, head_of(memory)->bytes, __ATOMIC_RELAXED);
    dki_release(dki_cpu_of(backend)->services.allocator, head_of(memory)->block);
}

static dk_status cpu_download(dki_backend *backend, void *to, const void *from, size_t bytes) {
    (void)backend;
    if (bytes) memcpy(to, from, bytes);
    return DK_OK;
}

static dk_status cpu_upload(dki_backend *backend, dki_lane lane, void *to, const void *from,
                            size_t bytes) {
    (void)lane;
    return cpu_download(backend, to, from, bytes);
}

static dk_status cpu_sync(dki_backend *backend) {
    (void)backend;
    return DK_OK;
}

static dk_status cpu_order(dki_backend *backend, dki_lane before, dki_lane after) {
    (void)backend;
    (void)before;
    (void)after;
    return DK_OK;
}

static dk_status cpu_run(dki_backend *backend, dki_recording **recording, dki_body body,
                         void *argument) {
    (void)backend;
    (void)recording;
    return body ? body(argument) : DK_OK;
}

static dk_status cpu_mark(dki_backend *backend, dki_lane lane, int index) {
    (void)lane;
    dki_cpu_of(backend)->marks[index] = 1e3 * dki_seconds();
    return DK_OK;
}

static dk_status cpu_elapsed(dki_backend *backend, int from, int to, double *milliseconds) {
    const double *marks = dki_cpu_of(backend)->marks;
    *milliseconds = marks[to] - marks[from];
    return DK_OK;
}

static void cpu_close(dki_backend *backend) {
    dki_cpu *cpu = dki_cpu_of(backend);
    dki_pool_destroy(cpu->pool);
    dki_scratch_destroy(cpu->scratch);
    dki_matmuls_destroy(cpu->matmuls);
    dki_release(cpu->services.allocator, cpu);
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

dk_status dki_cpu_prepare(dki_backend *backend, const dki_plan_request *request, dki_plan *plan) {
    dki_cpu *cpu = dki_cpu_of(backend);
    size_t widest = 0, elements = 0;
    for (size_t k = 0; k < request->layer_count; ++k) {
        const dki_layer_shape *layer = &request->layers[k];
        plan->keep_z[k] = dki_keeps_z(request, layer);
        widest = max_size(widest, (size_t)max_size((size_t)layer->width, (size_t)layer->inputs));
        elements += (size_t)layer->width * (size_t)dki_leading(backend, layer->inputs) +
                    (size_t)layer->width +
                    2 * (DKI_CPU_ALIGNMENT / sizeof(float)); /* W and b begin aligned */
    }
    /* row losses and, for gradients, the column sums of each tile of rows; or the partial sums of the
     * norm */
    const size_t rows = (size_t)request->max_batch;
    const size_t tiles = rows < DKI_MAX_ROW_TILES ? rows : DKI_MAX_ROW_TILES;
    plan->workspace_bytes = rows * sizeof(double);
    if (request->gradients)
        plan->workspace_bytes = max_size(plan->workspace_bytes + tiles * widest * sizeof(float),
                                         (elements / DKI_CPU_PIECE + 1) * sizeof(double));
    return cpu->matmuls && request->choose ? dki_bf16_plan_layers(cpu, request) : DK_OK;
}

/* "model name" of /proc/cpuinfo; "CPU" where there is none. */
static void processor_name(char *name, size_t size) {
    snprintf(name, size, "CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!colon) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(name, size, "%.*s", (int)size - 1, colon + 2);
        break;
    }
    (void)fclose(file);
}

/* Which of its kernels oneDNN takes. */
static const char *instruction_set(void) {
    switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
        return "sse41";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core:
        return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx:
        return "avx512_core_amx";
    default:
        return "other";
    }
}

static dk_status cpu_describe(dki_backend *backend, dki_backend_info *info) {
    dki_cpu *cpu = dki_cpu_of(backend);
    memset(info, 0, sizeof *info);
    snprintf(info->device, sizeof info->device, "cpu");
    processor_name(info->device_name, sizeof info->device_name);
    const dnnl_version_t *version = dnnl_version();
    snprintf(info->library, sizeof info->library, "oneDNN %d.%d.%d", version->major, version->minor,
             version->patch);
    snprintf(info->kernel, sizeof info->kernel, "%s", instruction_set());
    snprintf(info->vector, sizeof info->vector, "%s", cpu->loops->name);
    info->threads = cpu->threads;
    info->memory_total = memory_line("MemTotal");
    info->memory_free = memory_line("MemAvailable");
    info->allocated = __atomic_load_n(&cpu->allocated, __ATOMIC_RELAXED);
    info->allocated_most = __atomic_load_n(&cpu->allocated_most, __ATOMIC_RELAXED);
    return DK_OK;
}

static const dki_backend_ops cpu_ops = {
    .alloc = cpu_alloc,
    .release = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .sync = cpu_sync,
    .describe = cpu_describe,
    .close = cpu_close,
    .prepare = dki_cpu_prepare,
    .linear_forward = dki_cpu_forward,
    .linear_backward_data = dki_cpu_backward_data,
    .linear_backward_params = dki_cpu_backward_params,
    .gather = dki_cpu_gather,
    .loss = dki_cpu_loss,
    .initialise = dki_cpu_initialise,
    .update = dki_cpu_update,
    .cast = dki_cpu_cast,
    .begin = dki_cpu_begin,
    .decide = dki_cpu_decide,
    .order = cpu_order,
    .run = cpu_run,
    .bare_product = dki_cpu_bare_product,
    .mark = cpu_mark,
    .elapsed = cpu_elapsed,
    .cost = dki_cpu_cost,
};

const dki_loops *dki_loops_choose(void) {
#if defined(DKI_X86_VARIANTS)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("bmi2");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
    if (avx2 && avx512) return &dki_loops_avx512;
    if (avx2) return &dki_loops_avx2;
#endif
    return &dki_loops_baseline;
}

static dk_status require_precision(dk_precision precision) {
    DKI_REQUIRE(precision == DK_FP32 || precision == DK_BF16, DK_E_UNSUPPORTED,
                "the CPU computes in fp32 or bf16, not in %s: ask for one of these, or for a CUDA "
                "device",
                dk_precision_name(precision));
    DKI_REQUIRE(precision == DK_FP32 || dki_matmul_available(), DK_E_UNSUPPORTED,
                "this CPU has no bf16 products: they need AVX512_BF16 or AMX, and oneDNN finds %s "
                "(ONEDNN_MAX_CPU_ISA may hold it back); ask for fp32, or for a CUDA device",
                instruction_set());
    return DK_OK;
}

/* What bf16 needs beside: primitives by shape, and scratch for tiles of fp32: a block for each thread
 * of the pool, and some for callers that come while another's job is running. */
static dk_status open_bf16(dki_cpu *cpu) {
    enum { MORE_CALLERS = 8 };
    const dk_allocator *allocator = cpu->services.allocator;
    DKI_TRY(dki_matmuls_create(&cpu->matmuls, allocator));
    return dki_scratch_create(&cpu->scratch, allocator, cpu->threads + MORE_CALLERS);
}

/* Rows start on a cache line; but not a multiple of 1 KiB apart, where the same columns of many rows
 * share few places of the caches: packing them costs products 5 to 20 %. W in bf16 shares its offsets
 * with the fp32 parameters, so that both are kept off. */
enum { LD_MULTIPLE = 16, LD_MULTIPLE_BF16 = 32, LD_AVOID = 256 };

dk_status dki_cpu_open(dki_backend **backend, const dki_services *services, int threads,
                       dk_precision precision) {
    *backend = NULL;
    DKI_TRY(require_precision(precision));
    const bool bf16 = precision == DK_BF16;
    dki_cpu *cpu = NULL;
    DKI_TRY(dki_new(services->allocator, &cpu, 1, "the CPU backend"));
    *cpu = (dki_cpu){.base = {.ops = &cpu_ops,
                              .element = bf16 ? DKI_ELEMENT_BF16 : DKI_ELEMENT_F32,
                              .ld_multiple = bf16 ? LD_MULTIPLE_BF16 : LD_MULTIPLE,
                              .ld_avoid = LD_AVOID,
                              .host_memory = true,
                              .updates_apart = true},
                     .services = *services,
                     .loops = dki_loops_choose(),
                     .threads = threads};
    dk_status status = dki_pool_create(&cpu->pool, services->allocator, threads);
    if (!status && bf16) status = open_bf16(cpu);
    if (status)
        cpu_close(&cpu->base);
    else
        *backend = &cpu->base;
    return status;
}
