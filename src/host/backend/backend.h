/* The seam between the algorithm and the machine it runs on.
 *
 * The algorithm stands once, in train/step.c. Beneath it is this table of operations at the level
 * of a layer, so that a backend may fuse as it likes. An operation never allocates, never waits for
 * the device and never reads back: it is queued on a lane, in order, and may be captured in a
 * graph. What changes from step to step therefore lies in device memory (dki_step_state), not in
 * arguments.
 *
 * A backend sees plain matrices and numbers (operations.h), never a context, a network or a data
 * set. */
#ifndef DKI_BACKEND_H
#define DKI_BACKEND_H

#include "backend/operations.h"
#include "base/log.h"

typedef struct dki_backend dki_backend;

/** What a backend gets of its host. */
typedef struct dki_services {
    const dk_allocator *allocator;
    dki_logger *log;
} dki_services;

typedef struct dki_backend_info {
    char device[16];
    char device_name[128];
    char library[256];
    char kernel[64];
    char vector[32];
    int threads;
    uint64_t memory_total, memory_free;
    uint64_t allocated, allocated_most; /* bytes of its own device memory, now and at the most */
} dki_backend_info;

/** Times that mark() can note at once. */
enum { DKI_MARKS = 4096 };

/** A piece of work that can be captured once and replayed. */
typedef dk_status (*dki_body)(void *argument);
typedef struct dki_recording dki_recording;

typedef struct dki_backend_ops {
    /* memory, 256-byte aligned, zeroed; offsets are the caller's. upload is queued on a lane, and
     * `from` may be written again when it returns; download waits for all lanes, and so does
     * release */
    dk_status (*alloc)(dki_backend *, dki_memory where, size_t bytes, void **memory);
    void (*release)(dki_backend *, void *memory);
    dk_status (*upload)(dki_backend *, dki_lane, void *to, const void *from, size_t bytes);
    dk_status (*download)(dki_backend *, void *to, const void *from, size_t bytes);
    dk_status (*sync)(dki_backend *);

    /* the device itself; describe also reads how much memory is free now */
    dk_status (*describe)(dki_backend *, dki_backend_info *);
    void (*close)(dki_backend *);
    dk_status (*prepare)(dki_backend *, const dki_plan_request *, dki_plan *);
    /* all that prepare has chosen by timing, as bytes that the caller releases; and given to a backend
     * in another process, which then chooses the same. DK_E_STATE: it can't, this is another device, or
     * it has chosen already; DK_E_MODEL: they are damaged. NULL, both: nothing is ever timed */
    dk_status (*keep_plans)(dki_backend *, void **bytes, size_t *count);
    dk_status (*take_plans)(dki_backend *, const void *bytes, size_t count);

    /* a layer */
    dk_status (*linear_forward)(dki_backend *, dki_lane, const dki_linear_forward *);
    dk_status (*linear_backward_data)(dki_backend *, dki_lane, const dki_linear_backward_data *);
    dk_status (*linear_backward_params)(dki_backend *, dki_lane,
                                        const dki_linear_backward_params *);

    /* the ends */
    dk_status (*gather)(dki_backend *, dki_lane, const dki_gather *);
    dk_status (*loss)(dki_backend *, dki_lane, const dki_loss *);

    /* parameters; cast only where the storage type isn't fp32 */
    dk_status (*initialise)(dki_backend *, dki_lane, const dki_initialise *);
    dk_status (*update)(dki_backend *, dki_lane, const dki_update_range *);
    dk_status (*cast)(dki_backend *, dki_lane, const dki_cast *);

    /* the step state */
    dk_status (*begin)(dki_backend *, dki_lane, const dki_begin *);
    dk_status (*decide)(dki_backend *, dki_lane, const dki_decide *);

    /* time: `after` waits for all that is queued on `before`; run captures `body` when *recording
     * is empty, and then plays what was captured (the CPU just calls it); a NULL body forgets the
     * recording. A body begins and ends on the main lane, and uses the step's lanes only; where it
     * couldn't be recorded it may be called again */
    dk_status (*order)(dki_backend *, dki_lane before, dki_lane after);
    dk_status (*run)(dki_backend *, dki_recording **recording, dki_body body, void *argument);

    /* measure: one bare matrix product by the method `method` = 0, 1, …; DK_E_UNSUPPORTED past the
     * last. The floor that a step is compared with */
    dk_status (*bare_product)(dki_backend *, dki_lane, int method, const dki_bare_product *);
    /* notes the device's time when the lane gets there, under an index below DKI_MARKS; captured with
     * a body, at each replay. elapsed is between two such times, after sync */
    dk_status (*mark)(dki_backend *, dki_lane, int index);
    dk_status (*elapsed)(dki_backend *, int from, int to, double *milliseconds);
    /* by the plans as they are; queues nothing */
    dk_status (*cost)(dki_backend *, const dki_operation *, dki_cost *);
} dki_backend_ops;

/** What a GPU can do beside: for applications that use it themselves. */
typedef struct dki_cuda_ops {
    /* the main lane is the caller's stream from now on, by CUDA's handle, which may be 0; or the
     * backend's own again. Forgets nothing; the caller keeps the stream alive. Waits for what is
     * queued */
    dk_status (*use_stream)(dki_backend *, void *handle);
    dk_status (*use_own_stream)(dki_backend *);
    /* DK_E_ARGUMENT, with `what` in the text, where [p, p + bytes) isn't memory of this GPU or p
     * isn't a multiple of `alignment` */
    dk_status (*require_resident)(dki_backend *, const void *p, size_t bytes, size_t alignment,
                                  const char *what);
    /* to [rows, cols], dense fp32 in device memory = from, of the storage type */
    dk_status (*unpack)(dki_backend *, dki_lane, dki_matrix from, float *to);
} dki_cuda_ops;

struct dki_backend {
    const dki_backend_ops *ops;
    const dki_cuda_ops *cuda; /* NULL: not a GPU */
    dki_element element; /* storage type of A, Z and Δ; where it isn't fp32, products take a working
                            copy of W in it */
    int64_t ld_multiple; /* leading dimensions of W, A, Z, Δ are multiples of this, */
    int64_t ld_avoid;    /* but not of this; 0 = any */
    bool host_memory;    /* device pointers may be read and written by the host */
    bool loss_scaling;   /* scaled gradients may overflow: every step needs decide */
    bool early_updates;  /* a layer's update runs beside the data gradients of those below */
    bool updates_apart;  /* each layer's weights are updated by an operation of their own */
};

/** The leading dimension of a matrix that the core lays out. */
static inline int64_t dki_leading(const dki_backend *backend, int64_t cols) {
    const int64_t multiple = backend->ld_multiple, ld = (cols + multiple - 1) / multiple * multiple;
    return backend->ld_avoid && ld % backend->ld_avoid == 0 ? ld + multiple : ld;
}

/** Opens the CPU backend. threads ≥ 1. DK_E_UNSUPPORTED (precision), DK_E_MEMORY. */
dk_status dki_cpu_open(dki_backend **backend, const dki_services *services, int threads,
                       dk_precision precision);

/** How a GPU is opened. */
typedef struct dki_cuda_options {
    int ordinal;
    dk_precision precision;
    bool deterministic; /* the library's first choice; nothing is timed */
    bool plan_cache;    /* remember on disk what was timed */
} dki_cuda_options;

#endif
