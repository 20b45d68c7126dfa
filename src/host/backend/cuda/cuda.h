/* The CUDA backend's own state, and its operations by file.
 *
 * Several threads may use one backend: every operation holds its lock, and run() holds it over a
 * whole capture. All of them share the lanes. */
#ifndef DKI_CUDA_H
#define DKI_CUDA_H

#include "backend/cuda/plans.h"

/** Pinned memory that copies from and to the program's own go through, in two halves that fill one
 *  after the other. A half is used again when what each lane copied last from it is over. */
enum { DKI_STAGING_HALVES = 2, DKI_STAGING_BYTES = 4 << 20 };
typedef struct dki_staging {
    char *halves[DKI_STAGING_HALVES];
    dki_event over[DKI_STAGING_HALVES][DKI_LANE_COUNT];
    int half;    /* being filled */
    size_t used; /* bytes of it */
} dki_staging;

/** A block of memory: where it lies, and how much it is, release() must know. */
typedef struct dki_block {
    void *memory;
    size_t bytes;
    dki_memory where;
    struct dki_block *next;
} dki_block;

typedef struct dki_cuda {
    dki_backend base;
    dki_services services;
    dki_cuda_options options;
    dki_product_rules rules;
    pthread_mutex_t lock; /* recursive: a captured body calls operations */
    dki_gpu *gpu;
    dki_plans *plans;
    dki_stream lanes[DKI_LANE_COUNT];
    dki_stream own_main;               /* lanes[DKI_LANE_MAIN] may be the application's */
    bool launches_chosen, dependent;   /* launches.c: whether kernels are launched dependently */
    dki_event ordered[DKI_LANE_COUNT]; /* what order() waits for */
    dki_event synced[DKI_LANE_COUNT];  /* what sync() waits for */
    void *product_workspace[DKI_STEP_LANES];
    bool params_multiplied; /* since a graph was launched last, a product came to that lane */
    dki_staging staging;
    dki_block *blocks;
    uint64_t allocated, allocated_most; /* bytes of device memory */
    dki_event marks[DKI_MARKS];         /* made when they are first asked for */
} dki_cuda;

static inline dki_cuda *dki_cuda_of(dki_backend *backend) {
    return (dki_cuda *)backend;
}

/** Opens GPU options->ordinal. DK_E_DEVICE, DK_E_UNSUPPORTED (precision), DK_E_MEMORY. */
dk_status dki_cuda_open(dki_backend **backend, const dki_services *services,
                        const dki_cuda_options *options);

/** Takes the lock and names what follows for profilers; leave gives both back, and its status. */
dki_cuda *dki_cuda_enter(dki_backend *backend, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
dk_status dki_cuda_leave(dki_cuda *cuda, dk_status status);

extern const dki_cuda_ops dki_cuda_application_ops;
/** The main lane is the backend's own stream again. */
void dki_cuda_take_back_main(dki_cuda *cuda);

/* memory.c */
dk_status dki_cuda_staging_open(dki_cuda *cuda);
void dki_cuda_staging_close(dki_cuda *cuda);
void dki_cuda_release_blocks(dki_cuda *cuda);
/** Counts device memory that was had, or given back (negative). */
void dki_cuda_count_allocated(dki_cuda *cuda, int64_t bytes);
dk_status dki_cuda_alloc(dki_backend *, dki_memory where, size_t bytes, void **memory);
void dki_cuda_release(dki_backend *, void *memory);
dk_status dki_cuda_upload(dki_backend *, dki_lane, void *to, const void *from, size_t bytes);
dk_status dki_cuda_download(dki_backend *, void *to, const void *from, size_t bytes);
dk_status dki_cuda_sync(dki_backend *);

/* plan_keep.c */
dk_status dki_cuda_keep_plans(dki_backend *, void **bytes, size_t *count);
dk_status dki_cuda_take_plans(dki_backend *, const void *bytes, size_t count);

/* prepare.c */
dk_status dki_cuda_prepare(dki_backend *, const dki_plan_request *, dki_plan *);
/** Whether the update may be in the product of dW; plan_choose.c decides whether it is. */
bool dki_cuda_may_fuse_update(const dki_cuda *cuda, const dki_plan_request *request);
/** Whether data gradients may leave multiprocessors to early updates; plan_spare.c decides whether they
 *  do, once it is known that there are two lanes. */
bool dki_cuda_may_spare(const dki_cuda *cuda, const dki_plan_request *request);
/** Bytes of the partial sums of columns [rows, cols], for any number of rows up to that. */
size_t dki_cuda_sums_bytes(int64_t rows, int64_t cols);

/* launches.c */
/** Finds out, once, whether dependent launches pay here, and sets the lanes so. */
dk_status dki_cuda_choose_launches(dki_cuda *cuda);
void dki_cuda_set_dependent(dki_cuda *cuda, bool dependent);

/* plan_choose.c */
/** Times what isn't known yet, on memory of its own. Where that can't be had, the library's first
 *  guesses stay. */
dk_status dki_cuda_choose(dki_cuda *cuda, const dki_plan_request *request);

/* layer.c */
dk_status dki_cuda_linear_forward(dki_backend *, dki_lane, const dki_linear_forward *);
dk_status dki_cuda_linear_backward_data(dki_backend *, dki_lane, const dki_linear_backward_data *);
dk_status dki_cuda_linear_backward_params(dki_backend *, dki_lane,
                                          const dki_linear_backward_params *);
dk_status dki_cuda_bare_product(dki_backend *, dki_lane, int method, const dki_bare_product *);
/** Whether GELU and its g′ may be in the epilogue, which keeps z, or reads it. */
bool dki_cuda_may_fuse_gelu(const dki_cuda *cuda, const dki_nonlinearity *g, const dki_matrix *z);
/** The epilogue of forward, for identity, ReLU and GELU's tanh form without dropout. */
dki_epilogue dki_cuda_forward_epilogue(dk_activation activation);
/** The bias in D's type, or NULL. */
void *dki_cuda_epilogue_bias(const dki_cuda *cuda, const dki_linear_forward *op);
/** The way that the plans say. */
dk_status dki_cuda_forward_way(dki_cuda *cuda, const dki_linear_forward *op, dki_way *way);
dk_status dki_cuda_backward_data_way(dki_cuda *cuda, const dki_linear_backward_data *op,
                                     dki_way *way);
dk_status dki_cuda_backward_params_way(dki_cuda *cuda, const dki_linear_backward_params *op,
                                       dki_way *way);
/** What a product is to be fast on where so many multiprocessors are spared; 0 = all. */
int64_t dki_cuda_processors(const dki_cuda *cuda, int spare);
/** The epilogue of the data gradient's product. */
dki_epilogue dki_cuda_backward_data_epilogue(dki_way way);
/** Whether g needs no kernel of its own behind a data gradient's product. */
bool dki_cuda_is_plain_identity(const dki_nonlinearity *g);
/** The layer by a way that the caller knows to be possible. */
dk_status dki_cuda_forward_by(dki_cuda *cuda, dki_lane lane, const dki_linear_forward *op,
                              dki_way way);
dk_status dki_cuda_backward_data_by(dki_cuda *cuda, dki_lane lane,
                                    const dki_linear_backward_data *op, dki_way way);
dk_status dki_cuda_backward_params_by(dki_cuda *cuda, dki_lane lane,
                                      const dki_linear_backward_params *op, dki_way way);
/** The product that has the update in it. */
void dki_cuda_update_product(const dki_cuda *cuda, const dki_linear_backward_params *op,
                             dki_bare_product *bare, dki_product_extras *extras);
/** db (+)= the column sums of a matrix. */
dk_status dki_cuda_sum_columns(dki_cuda *cuda, dki_lane lane, dki_matrix matrix, float *db,
                               bool accumulate, void *workspace);
/** db (+)= the partial sums of [rows, cols] in the workspace. */
dk_status dki_cuda_add_partial(dki_cuda *cuda, dki_lane lane, int64_t rows, int64_t cols, float *db,
                               bool accumulate, const float *partial);

/* ends.c */
dk_status dki_cuda_gather_batch(dki_backend *, dki_lane, const dki_gather *);
dk_status dki_cuda_loss_and_delta(dki_backend *, dki_lane, const dki_loss *);
dk_status dki_cuda_update_parameters(dki_backend *, dki_lane, const dki_update_range *);
dk_status dki_cuda_cast_parameters(dki_backend *, dki_lane, const dki_cast *);
dk_status dki_cuda_initialise_weights(dki_backend *, dki_lane, const dki_initialise *);
dk_status dki_cuda_begin_step(dki_backend *, dki_lane, const dki_begin *);
dk_status dki_cuda_decide_step(dki_backend *, dki_lane, const dki_decide *);

/* cost.c */
dk_status dki_cuda_cost(dki_backend *, const dki_operation *, dki_cost *);

/* mark.c */
dk_status dki_cuda_mark(dki_backend *, dki_lane, int index);
dk_status dki_cuda_elapsed(dki_backend *, int from, int to, double *milliseconds);
void dki_cuda_marks_close(dki_cuda *cuda);

/* graph.c */
/** Another stream for the main lane; gives the one before. What is recorded, and what is timed, is on
 *  own_main. */
dki_stream dki_cuda_swap_main(dki_cuda *cuda, dki_stream stream);
dk_status dki_cuda_order(dki_backend *, dki_lane before, dki_lane after);
dk_status dki_cuda_run(dki_backend *, dki_recording **recording, dki_body body, void *argument);

#endif
