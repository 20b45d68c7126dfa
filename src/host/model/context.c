#include "model/context.h"

#include <omp.h>
#include <sched.h>
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

/* No CUDA backend is part of this build: only "auto" and "cpu" open anything. */
static dk_status open_device(dk_context *context, const char *device, int threads) {
    if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0)
        return dki_cpu_open(&context->backend, &context->services, threads, context->precision);
    const char *number = strncmp(device, "cuda:", 5) == 0 ? device + 5 : NULL;
    bool cuda = strcmp(device, "cuda") == 0 ||
                (number && *number && strspn(number, "0123456789") == strlen(number));
    DKI_REQUIRE(cuda, DK_E_ARGUMENT,
                "unknown device \"%s\": one of \"auto\", \"cpu\", \"cuda\", \"cuda:N\"", device);
    return dki_fail(DK_E_DEVICE,
                    "%s: this build of deltak has no CUDA backend; use \"cpu\" or \"auto\"",
                    device);
}

static const dk_allocator *chosen_allocator(const dk_context_options *options) {
    return options->allocator.alloc ? &options->allocator : &dki_libc_allocator;
}

dk_status dk_context_create(dk_context **context, const dk_context_options *options) {
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
    DKI_TRY_OUT(open_device(made, options->device ? options->device : "auto",
                            options->threads ? options->threads : default_threads()));
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
