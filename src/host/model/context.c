#include "model/context.h"

#include "backend/plugin.h"
#include "base/arithmetic.h"

#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

const char *dk_version(void) {
    return TEXT(DK_VERSION_MAJOR) "." TEXT(DK_VERSION_MINOR) "." TEXT(DK_VERSION_PATCH);
}

/* As many as this process may run on, at most OMP_NUM_THREADS. */
static int default_threads(void) {
    cpu_set_t set;
    int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int wanted = omp_get_max_threads();
    int threads = wanted < allowed ? wanted : allowed;
    return threads < 1 ? 1 : threads;
}

static dk_status open_cpu(dk_context *context, const dk_context_options *options) {
    return dki_cpu_open(&context->backend, &context->services,
                        options->threads ? options->threads : default_threads(),
                        options->precision);
}

static dk_status open_cuda(dk_context *context, const dk_context_options *options, int ordinal) {
    dki_cuda_options cuda = {.ordinal = ordinal,
                             .precision = options->precision,
                             .deterministic = options->deterministic,
                             .plan_cache = !options->no_plan_cache};
    return dki_cuda_load(&context->backend, &context->services, &cuda);
}

/* A working GPU, else the CPU. What a GPU that is there can't do (a precision, enough memory) is an
 * error: it is no reason to run slowly somewhere else. */
static dk_status open_auto(dk_context *context, const dk_context_options *options) {
    dk_status status = open_cuda(context, options, 0);
    if (status != DK_E_DEVICE) return status;
    dki_log_line(&context->log, DK_LOG_INFO, "on the CPU, because: %s", dk_error_text());
    return open_cpu(context, options);
}

/* N of "cuda:N", 0 of "cuda", −1 of anything else. */
static int cuda_ordinal(const char *device) {
    if (strcmp(device, "cuda") == 0) return 0;
    const char *number = strncmp(device, "cuda:", 5) == 0 ? device + 5 : "";
    size_t digits = strspn(number, "0123456789");
    return digits && digits <= 4 && !number[digits] ? (int)strtol(number, NULL, 10) : -1;
}

static dk_status open_device(dk_context *context, const dk_context_options *options) {
    const char *device = options->device ? options->device : "auto";
    if (strcmp(device, "cpu") == 0) return open_cpu(context, options);
    if (strcmp(device, "auto") == 0) return open_auto(context, options);
    int ordinal = cuda_ordinal(device);
    DKI_REQUIRE(ordinal >= 0, DK_E_ARGUMENT,
                "unknown device \"%s\": one of \"auto\", \"cpu\", \"cuda\", \"cuda:N\"", device);
    dk_status status = open_cuda(context, options, ordinal);
    return status ? dki_fail_in(status, "%s", device) : DK_OK;
}

static const dk_allocator *chosen_allocator(const dk_context_options *options) {
    return options->allocator.alloc ? &options->allocator : &dki_libc_allocator;
}

dk_status dk_context_create(dk_context **context, const dk_context_options *options) {
    DKI_ARITHMETIC;
    static const dk_context_options defaults = DK_CONTEXT_OPTIONS_INIT;
    DKI_REQUIRE(context, DK_E_ARGUMENT, "dk_context_create: context is NULL");
    *context = NULL;
    if (!options) options = &defaults;
    DKI_REQUIRE(options->size == sizeof *options, DK_E_ARGUMENT,
                "dk_context_options.size is %zu, not %zu: start from DK_CONTEXT_OPTIONS_INIT",
                options->size, sizeof *options);
    DKI_REQUIRE(options->threads >= 0 && options->threads <= 4096, DK_E_ARGUMENT,
                "threads = %d: 0 (all) or 1 … 4096", options->threads);
    DKI_REQUIRE(!options->allocator.alloc == !options->allocator.release, DK_E_ARGUMENT,
                "allocator: alloc and release go together");
    DKI_REQUIRE(dk_precision_name(options->precision), DK_E_ARGUMENT, "unknown precision %d",
                (int)options->precision);
    dk_context *made = NULL;
    dk_status status = dki_new(chosen_allocator(options), &made, 1, "a context");
    if (status) return status;
    made->references = 1;
    made->allocator = *chosen_allocator(options);
    made->precision = options->precision;
    made->log.write = options->log;
    made->log.user = options->log_user;
    made->log.level = options->log_level;
    pthread_mutex_init(&made->log.lock, NULL);
    made->services = (dki_services){&made->allocator, &made->log};
    DKI_TRY_OUT(open_device(made, options));
    DKI_TRY_OUT(made->backend->ops->describe(made->backend, &made->info));
    *context = made;
    return DK_OK;
out:
    dk_context_destroy(made);
    return status;
}

dk_context *dki_context_hold(dk_context *context) {
    dki_count_up(&context->references);
    return context;
}

void dk_context_destroy(dk_context *context) {
    if (!context || !dki_count_down(&context->references)) return;
    if (context->backend) context->backend->ops->close(context->backend);
    pthread_mutex_destroy(&context->log.lock);
    dk_allocator allocator = context->allocator;
    dki_release(&allocator, context);
}

dk_status dk_context_describe(const dk_context *context, dk_context_info *info) {
    DKI_REQUIRE(context && info, DK_E_ARGUMENT, "dk_context_describe: a NULL argument");
    dki_backend_info now;
    DKI_TRY(context->backend->ops->describe(context->backend, &now));
    *info = (dk_context_info){.device = context->info.device,
                              .device_name = context->info.device_name,
                              .library = context->info.library,
                              .kernel = context->info.kernel,
                              .vector = context->info.vector,
                              .threads = context->info.threads,
                              .precision = context->precision,
                              .memory_total = now.memory_total,
                              .memory_free = now.memory_free};
    return DK_OK;
}
