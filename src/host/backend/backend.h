/* The seam between the algorithm and the machine it runs on.
 *
 * The algorithm stands once, in train/step.c. Beneath it is this table of operations at the level
 * of a layer, so that a backend may fuse as it likes. An operation never allocates, never waits for
 * the device and never reads back: it is queued on a lane, in order, and may be captured in a
 * graph. What changes from step to step therefore lies in device memory (dki_step_state), not in
 * arguments.
 *
 * A backend sees plain matrices and numbers, never a context, a network or a data set.
 *
 * Matrices are row-major, one sample a row; element (i, j) is data[i·ld + j]. Parameters,
 * gradients, optimizer slots and targets are fp32; A, Z and Δ have the storage type of the
 * precision that the backend was opened with. */
#ifndef DKI_BACKEND_H
#define DKI_BACKEND_H

#include "base/log.h"
#include "kernels/optimizer.h"

typedef struct dki_backend dki_backend;

/** What a backend gets of its host. */
typedef struct dki_services {
    const dk_allocator *allocator;
    dki_logger *log;
} dki_services;

typedef struct dki_matrix {
    void *data; /* NULL = absent */
    int64_t rows, cols, ld;
} dki_matrix;

/** Queues of a step; operations on one lane run in order, lanes meet at order(). */
typedef enum dki_lane { DKI_LANE_MAIN = 0, DKI_LANE_PARAMS = 1 } dki_lane;

/** g⁽ᵏ⁾ with what follows it: a = g(z) ⊙ dropout. */
typedef struct dki_nonlinearity {
    dk_activation kind;
    float alpha;
    uint32_t dropout_threshold; /* a word below it drops the element; 0 = no dropout */
    float dropout_scale;        /* 1/(1 − p) */
    uint32_t layer;     /* k, and the row of the effective batch that a micro-batch starts */
    uint32_t first_row; /* at: parts of the random counter */
} dki_nonlinearity;

/** One entry of the ring that tells a step what the host alone knows beforehand. */
typedef struct dki_tick {
    float lr;
    float inverse_normaliser; /* 1/Σw of the effective batch, 1/(Σw·n_L) for means over outputs */
} dki_tick;

enum { DKI_RING = 256 };

/** The state of a training run, in device memory, so that one captured step serves the whole run.
 *  The host writes `ring` ahead and reads `loss`, `applied` and `bad_tick` behind. */
typedef struct dki_step_state {
    uint64_t tick;     /* steps begun: data position, dropout, learning rate */
    uint64_t applied;  /* updates applied: Adam's t */
    uint64_t bad_tick; /* the first tick with a non-finite value, counted from 1; 0 = none. Latched:
                          later updates do nothing */
    uint64_t cursor;   /* next position in the order of samples */
    uint64_t row;      /* rows of the effective batch that earlier micro-batches had: dropout */
    uint64_t seed;     /* of dropout */
    double beta1_power; /* β₁ᵗ, β₂ᵗ by repeated multiplication */
    double beta2_power;
    double gradient_norm; /* 2-norm before clipping, where decide looked at it */
    dki_rate rate;        /* of the update under way */
    float inverse_normaliser;
    dki_tick ring[DKI_RING]; /* entry tick mod DKI_RING */
    double loss[DKI_RING];   /* mean loss of a step, same index */
} dki_step_state;

/** A layer as prepare() sees it. */
typedef struct dki_layer_shape {
    int64_t inputs, width;
    dk_activation activation;
    bool dropout;
} dki_layer_shape;

typedef struct dki_plan_request {
    const dki_layer_shape *layers; /* [layer_count] */
    size_t layer_count;
    int64_t max_batch;
    bool gradients; /* a backward pass will follow */
    bool keep_all;  /* every z, a, δ must be readable */
} dki_plan_request;

/** The backend's answer; arrays are the caller's, [layer_count]. */
typedef struct dki_plan {
    bool *keep_z;        /* z⁽ᵏ⁾ needs storage of its own (otherwise forward gets Z absent) */
    size_t alignment;    /* every tensor starts on a multiple of so many bytes */
    int64_t ld_multiple; /* leading dimensions of A, Z, Δ are multiples of this */
    size_t element;      /* bytes of an element of A, Z, Δ */
    size_t workspace_bytes; /* for one lane; the caller gives each operation its lane's */
} dki_plan;

/** Z = A W ᵀ + 1 bᵀ,  A′ = g(Z) ⊙ dropout. */
typedef struct dki_linear_forward {
    dki_matrix a_in;  /* [B, n_{k−1}] */
    dki_matrix w;     /* [n_k, n_{k−1}] */
    const float *b;   /* [n_k] */
    dki_matrix z;     /* [B, n_k] or absent */
    dki_matrix a_out; /* [B, n_k] */
    dki_nonlinearity g;
    const dki_step_state *state; /* read with dropout */
    void *workspace;
} dki_linear_forward;

/** Δ_{k−1} = (Δ_k W_k) ⊙ g′(Z_{k−1}) ⊙ dropout, db_{k−1} = its column sums. */
typedef struct dki_linear_backward_data {
    dki_matrix delta;     /* Δ_k [B, n_k] */
    dki_matrix w;         /* [n_k, n_{k−1}] */
    dki_matrix z;         /* Z_{k−1}, or absent where prepare() said so */
    dki_matrix a;         /* A_{k−1} */
    dki_nonlinearity g;   /* of layer k−1; identity for the gradient of the input */
    dki_matrix delta_out; /* Δ_{k−1} [B, n_{k−1}] */
    float *db;            /* [n_{k−1}] or NULL */
    bool accumulate;      /* db += */
    const dki_step_state *state;
    void *workspace;
} dki_linear_backward_data;

/** dW_k = Δ_kᵀ A_{k−1}. */
typedef struct dki_linear_backward_params {
    dki_matrix delta;      /* [B, n_k] */
    dki_matrix a_in;       /* [B, n_{k−1}] */
    dki_matrix dw;         /* [n_k, n_{k−1}] */
    bool accumulate;       /* dW += */
    dki_step_state *state; /* latches bad_tick where dW isn't finite; NULL = nobody asks */
    void *workspace;
} dki_linear_backward_params;

/** X = (features[order[cursor + i]] − shift)·scale, Y likewise, and the labels and weights of the
 * same rows; advances the cursor by B. f64 features are subtracted and scaled in double. */
typedef struct dki_gather {
    const void *features; /* device memory; element (i, j) at i·row_stride + j·col_stride */
    dk_dtype type;
    int64_t row_stride, col_stride; /* in elements */
    const double *shift;            /* [n_0], or NULL: 0 and 1 */
    const float *scale;
    const int64_t *order;       /* row numbers; NULL = cursor + i itself */
    int64_t order_rows;         /* how many it holds */
    dki_matrix x;               /* [B, n_0], out */
    const int32_t *labels_in;   /* [all rows] or NULL */
    const float *targets_in;    /* [all rows, n_L] or NULL */
    const double *target_shift; /* [n_L], or NULL: 0 and 1 */
    const float *target_scale;
    const float *weights_in; /* [all rows] or NULL */
    int64_t target_cols;
    int32_t *labels; /* [B], out */
    float *targets;  /* [B, n_L], out */
    float *weights;  /* [B], out */
    dki_step_state *state;
} dki_gather;

/** What the loss operation computes beside the public kinds: Δ_L from a given ∂l/∂a⁽ᴸ⁾. */
enum { DKI_LOSS_GIVEN = 100 };

typedef struct dki_loss_rule {
    int kind; /* dk_loss or DKI_LOSS_GIVEN */
    float huber_delta;
    float smoothing;
    const float *class_weights; /* device memory, [n_L] or NULL */
} dki_loss_rule;

/** Loss and Δ_L in one pass; db_L = its column sums. The loss, times inverse_normaliser, is added
 * to state->loss of this tick; a non-finite one latches bad_tick. */
typedef struct dki_loss {
    dki_loss_rule rule;
    dki_matrix z, a;       /* of layer L; z may be absent where g is the identity */
    dki_nonlinearity g;    /* no dropout here */
    const int32_t *labels; /* [B] or NULL */
    const float *targets;  /* [B, n_L], ld n_L, or NULL; DKI_LOSS_GIVEN: ∂l/∂a */
    const float *weights;  /* [B] or NULL */
    dki_matrix delta;      /* Δ_L, or absent: the loss only */
    float *db;             /* [n_L] or NULL */
    bool accumulate;       /* db += */
    dki_step_state *state;
    void *workspace;
} dki_loss;

/** A range of the parameter-shaped regions. */
typedef struct dki_range {
    int64_t first, count; /* elements */
} dki_range;

/** θ ← rule(θ, g, slots) over a range. Does nothing once bad_tick is latched. */
typedef struct dki_update_range {
    float *parameters, *gradients, *slot1, *slot2; /* region starts; slots NULL where unused */
    dki_range range;
    dki_rule rule;
    float decay; /* λ of this range */
    dki_step_state *state;
} dki_update_range;

/** The first operation of a step: takes the ring entry of the next tick, and (unless decide will)
 *  counts the update and sets its rate. */
typedef struct dki_begin {
    dki_rule rule;
    bool decide_follows;
    dki_step_state *state;
} dki_begin;

/** After the backward pass: the finite flag and the 2-norm over ranges of the gradients, skip and
 *  the gradient's multiplier. */
typedef struct dki_decide {
    dki_rule rule;
    const float *gradients;
    const dki_range *ranges; /* host memory */
    size_t range_count;
    float clip_norm; /* 0 = off */
    dki_step_state *state;
    void *workspace;
} dki_decide;

typedef enum dki_product_kind {
    DKI_PRODUCT_FORWARD, /* [rows, cols] = A [rows, depth] · B [cols, depth]ᵀ */
    DKI_PRODUCT_DATA,    /* [rows, cols] = A [rows, depth] · B [depth, cols]  */
    DKI_PRODUCT_PARAMS   /* [rows, cols] = A [depth, rows]ᵀ · B [depth, cols] */
} dki_product_kind;

typedef struct dki_bare_product {
    dki_product_kind kind;
    dki_matrix a, b, out;
} dki_bare_product;

typedef struct dki_backend_info {
    char device[16];
    char device_name[128];
    char library[256];
    char kernel[64];
    char vector[32];
    int threads;
    uint64_t memory_total, memory_free;
} dki_backend_info;

/** A piece of work that can be captured once and replayed. */
typedef dk_status (*dki_body)(void *argument);
typedef struct dki_recording dki_recording;

typedef struct dki_backend_ops {
    /* memory: on the device, 256-byte aligned, zeroed; upload and download block, offsets are the
     * caller's */
    dk_status (*alloc)(dki_backend *, size_t bytes, void **memory);
    void (*release)(dki_backend *, void *memory);
    dk_status (*upload)(dki_backend *, void *to, const void *from, size_t bytes);
    dk_status (*download)(dki_backend *, void *to, const void *from, size_t bytes);
    dk_status (*sync)(dki_backend *);

    /* the device itself; describe also reads how much memory is free now */
    dk_status (*describe)(dki_backend *, dki_backend_info *);
    void (*close)(dki_backend *);
    dk_status (*prepare)(dki_backend *, const dki_plan_request *, dki_plan *);

    /* a layer */
    dk_status (*linear_forward)(dki_backend *, dki_lane, const dki_linear_forward *);
    dk_status (*linear_backward_data)(dki_backend *, dki_lane, const dki_linear_backward_data *);
    dk_status (*linear_backward_params)(dki_backend *, dki_lane,
                                        const dki_linear_backward_params *);

    /* the ends */
    dk_status (*gather)(dki_backend *, dki_lane, const dki_gather *);
    dk_status (*loss)(dki_backend *, dki_lane, const dki_loss *);
    dk_status (*update)(dki_backend *, dki_lane, const dki_update_range *);

    /* the step state */
    dk_status (*begin)(dki_backend *, dki_lane, const dki_begin *);
    dk_status (*decide)(dki_backend *, dki_lane, const dki_decide *);

    /* time: `after` waits for all that is queued on `before`; run captures `body` when *recording
     * is empty, and replays it otherwise (the CPU just calls it); a NULL body forgets the recording
     */
    dk_status (*order)(dki_backend *, dki_lane before, dki_lane after);
    dk_status (*run)(dki_backend *, dki_recording **recording, dki_body body, void *argument);

    /* measure: one bare matrix product by the method `method` = 0, 1, …; DK_E_UNSUPPORTED past the
     * last. The floor that a step is compared with */
    dk_status (*bare_product)(dki_backend *, dki_lane, int method, const dki_bare_product *);
} dki_backend_ops;

struct dki_backend {
    const dki_backend_ops *ops;
    bool host_memory; /* device pointers may be read and written by the host */
};

/** Opens the CPU backend. threads ≥ 1. DK_E_UNSUPPORTED (precision), DK_E_MEMORY. */
dk_status dki_cpu_open(dki_backend **backend, const dki_services *services, int threads,
                       dk_precision precision);

#endif
