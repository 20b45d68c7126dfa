/* What a step consists of: matrices, the step's state, and each operation with its equation. backend.h
 * has the table of functions that carry them out.
 *
 * Matrices are row-major, one sample a row; element (i, j) is data[i·ld + j]. Parameters,
 * gradients, optimizer slots and targets are fp32; A, Z and Δ have the storage type of the
 * precision that the backend was opened with. */
#ifndef DKI_OPERATIONS_H
#define DKI_OPERATIONS_H

#include "deltak/deltak.h"
#include "kernels/init.h"
#include "kernels/optimizer.h"

/** Storage type of A, Z, Δ and of the working copy of W. */
typedef enum dki_element { DKI_ELEMENT_F32, DKI_ELEMENT_BF16, DKI_ELEMENT_F16 } dki_element;

/** Bytes of an element. */
static inline size_t dki_element_bytes(dki_element element) {
    return element == DKI_ELEMENT_F32 ? 4 : 2;
}

/** Bytes of one element. */
static inline size_t dki_dtype_bytes(dk_dtype type) {
    switch (type) {
    case DK_F32:
    case DK_I32:
        return 4;
    case DK_F64:
    case DK_I64:
        return 8;
    case DK_U8:
        return 1;
    }
    return 0;
}

typedef struct dki_matrix {
    void *data; /* NULL = absent */
    int64_t rows, cols, ld;
} dki_matrix;

/** Queues: operations on one lane run in order, lanes meet at order(). A step takes two, so that
 *  what makes parameters' gradients and updates runs beside the data gradients; batches are copied
 *  to the device on the third, while steps run. */
typedef enum dki_lane { DKI_LANE_MAIN = 0, DKI_LANE_PARAMS = 1, DKI_LANE_COPY = 2 } dki_lane;
enum { DKI_LANE_COUNT = 3, DKI_STEP_LANES = 2 };

/** Where memory lies. */
typedef enum dki_memory {
    DKI_MEMORY_DEVICE, /* the device's own */
    DKI_MEMORY_SHARED  /* the host's, pinned: both read and write it */
} dki_memory;

/** g⁽ᵏ⁾ with what follows it: a = g(z) ⊙ dropout. */
typedef struct dki_nonlinearity {
    dk_activation kind;
    float alpha;
    uint32_t dropout_threshold; /* a word below it drops the element; 0 = no dropout */
    float dropout_scale;        /* 1/(1 − p) */
    uint32_t layer;     /* k, and the row of the effective batch that a micro-batch starts */
    uint32_t first_row; /* at: parts of the random counter */
} dki_nonlinearity;

/** What the host alone knows of a step beforehand. */
typedef struct dki_tick {
    float lr;
    float inverse_normaliser; /* 1/Σw of the effective batch, 1/(Σw·n_L) for means over outputs */
} dki_tick;

/** What the host wants to know of a step afterwards. */
typedef struct dki_report {
    double loss;       /* mean of the step */
    float loss_scale;  /* after the step */
    uint64_t bad_tick; /* as in dki_step_state, at the end of the step */
    uint64_t tick;     /* which step this is; written last, so that it vouches for the others */
} dki_report;

enum { DKI_RING = 256 };

/** Where host and device leave each other word, in shared memory: entry tick mod DKI_RING. The host
 *  is never more than DKI_RING/2 steps ahead. A step is reported when the next one begins, so that
 *  all of it is known; of the last one the state tells. */
typedef struct dki_mailbox {
    dki_tick announced[DKI_RING]; /* by the host, read by begin */
    dki_report reports[DKI_RING]; /* by begin, read by the host */
} dki_mailbox;

/** Where a step was latched: 0 = not known; parameter e (its gradient, or what an update would have made
 *  of it) as DKI_AT_PARAMETER + e. */
enum { DKI_AT_INPUT = -1, DKI_AT_LOSS = -2, DKI_AT_PARAMETER = 1 };

/** The state of a training run, in device memory, so that one captured step serves the whole run.
 *  All zero is the start, but for seed, the powers (1) and loss_scale. */
typedef struct dki_step_state {
    uint64_t tick;     /* steps begun: dropout, learning rate */
    uint64_t applied;  /* updates applied: Adam's t */
    uint64_t bad_tick; /* the first tick with a non-finite value, counted from 1; 0 = none. Latched:
                          later updates do nothing */
    int64_t bad_at;    /* where that tick saw it, as DKI_AT_… */
    uint64_t cursor;   /* next position in the order of samples */
    uint64_t seed;     /* of dropout */
    double loss;       /* mean loss of this tick, so far */
    double beta1_power; /* β₁ᵗ, β₂ᵗ by repeated multiplication */
    double beta2_power;
    double gradient_norm; /* 2-norm before clipping, where decide looked at it */
    dki_rate rate;        /* of the update under way */
    float inverse_normaliser;
    float loss_scale; /* Δ, dW and db are this many times δ and its gradients; 0 stands for 1 */
    float
        delta_scale; /* the loss_scale that Δ of this tick has; decide may have changed it since */
    uint32_t skip;   /* this tick's update does nothing: its scaled gradients overflowed */
    uint32_t good_ticks; /* in a row since loss_scale last changed */
    float product_scalars[2]; /* α, β of an update inside a product, W ← α Δᵀ A + β W; (0, 1) once a
                                 step is latched. Unused where a backend has no such product */
} dki_step_state;

/** Dynamic loss scaling, as PyTorch's GradScaler: halved where gradients overflow, doubled after so
 *  many updates in a row that didn't. At 1 an overflow is the network's own. */
enum { DKI_LOSS_SCALE_START = 65536, DKI_LOSS_SCALE_PATIENCE = 2000 };

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
    bool choose;    /* a session follows: choose algorithms now, by timing where that is allowed;
                    otherwise only the sizes are asked for, and they are the same */
    const dki_rule *fuse_rule;  /* updates by this rule may go along with linear_backward_params;
                                   NULL = they may not */
    const dki_rule *early_rule; /* updates by this rule run beside data gradients, if they aren't
                                   fused; NULL = none does */
} dki_plan_request;

/** Whether z⁽ᵏ⁾ needs storage of its own: to be read, or for g′, unless that is exact from a, whatever
 *  a was rounded to, because it is a step function. */
static inline bool dki_keeps_z(const dki_plan_request *request, const dki_layer_shape *layer) {
    if (request->keep_all) return layer->activation != DK_IDENTITY || layer->dropout;
    return request->gradients && layer->activation != DK_IDENTITY && layer->activation != DK_RELU;
}

/** The backend's answer; arrays are the caller's, [layer_count]. */
typedef struct dki_plan {
    bool *keep_z; /* z⁽ᵏ⁾ needs storage of its own (otherwise forward gets Z absent) */
    size_t workspace_bytes; /* for one lane; the caller gives each operation its lane's */
    bool fuse_update; /* linear_backward_params wants the update, and otherwise never gets it: this
                         backend may gain by that. Never without fuse_rule */
    bool
        one_lane; /* the main lane alone is faster than both; only known where `choose` was asked */
    int spare; /* multiprocessors, for the data gradients that an early update runs beside; known as
                  one_lane is */
} dki_plan;

/** Z = A W ᵀ + 1 bᵀ,  A′ = g(Z) ⊙ dropout. */
typedef struct dki_linear_forward {
    dki_matrix a_in;       /* [B, n_{k−1}] */
    dki_matrix w;          /* [n_k, n_{k−1}], in the storage type */
    const float *b;        /* [n_k] */
    const void *b_working; /* the same in the storage type, or NULL where that is fp32 */
    dki_matrix z;          /* [B, n_k] or absent */
    dki_matrix a_out;      /* [B, n_k] */
    dki_nonlinearity g;
    const dki_step_state *state; /* read with dropout */
    void *workspace;
} dki_linear_forward;

/** Δ_{k−1} = (Δ_k W_k) ⊙ g′(Z_{k−1}) ⊙ dropout, db_{k−1} = its column sums. */
typedef struct dki_linear_backward_data {
    dki_matrix delta;     /* Δ_k [B, n_k] */
    dki_matrix w;         /* [n_k, n_{k−1}], in the storage type */
    dki_matrix z;         /* Z_{k−1}, or absent where prepare() said so */
    dki_matrix a;         /* A_{k−1} */
    dki_nonlinearity g;   /* of layer k−1; identity for the gradient of the input */
    dki_matrix delta_out; /* Δ_{k−1} [B, n_{k−1}] */
    float *db;            /* [n_{k−1}] or NULL */
    bool accumulate;      /* db += */
    int spare; /* multiprocessors to leave to the other lane where that can be; 0 = none */
    dki_step_state
        *state; /* read with dropout; a backend may latch bad_tick where db isn't finite */
    void *workspace;
} dki_linear_backward_data;

/** A range of the parameter-shaped regions. */
typedef struct dki_range {
    int64_t first, count; /* elements */
} dki_range;

/** θ ← rule(θ, g, slots) over a range, and the working copy after it. Does nothing once bad_tick is
 *  latched, or where decide set skip. A backend that doesn't look through dW looks here: it latches
 *  bad_tick where a gradient isn't finite. Every backend latches it where a new θ or slot isn't, and
 *  leaves that element as it is. */
typedef struct dki_update_range {
    float *parameters, *gradients, *slot1, *slot2; /* region starts; slots NULL where unused */
    void *working; /* region start of the parameters in the storage type, or NULL */
    dki_range range;
    dki_rule rule;
    float decay; /* λ of this range */
    dki_step_state *state;
} dki_update_range;

/** dW_k = Δ_kᵀ A_{k−1}; with an update, W_k ← rule(W_k, dW_k) in the same breath. */
typedef struct dki_linear_backward_params {
    dki_matrix delta;      /* [B, n_k] */
    dki_matrix a_in;       /* [B, n_{k−1}] */
    dki_matrix dw;         /* [n_k, n_{k−1}] */
    bool accumulate;       /* dW += */
    dki_step_state *state; /* latches bad_tick where dW isn't finite, unless update and decide do on
                              this backend; NULL = nobody asks */
    void *workspace;
    dki_update_range update; /* of W_k's range, whose gradient is dw; parameters NULL = dW alone.
                                dw is scratch then. Nobody reads W_k or its working copy any more. A
                                gradient or a new W_k that isn't finite is latched now, or shows in
                                what is next computed from W_k, whichever element it spoils */
    bool
        lowest; /* with an update: no data gradient reads W_k, so that what isn't finite in it might
                    not show in the next step: ReLU makes 0 of NaN */
} dki_linear_backward_params;

/** X = (features[row] − shift)·scale, Y likewise, and the labels and weights of the same rows;
 * row i of the batch is order[p + i], or p + i itself, with p = state->cursor, which advances by B,
 * or p = 0. All are subtracted and scaled in double, whatever their type, and rounded to fp32 once: equal
 * numbers give equal results from every source. */
typedef struct dki_gather {
    const void *features; /* device memory; element (i, j) at i·row_stride + j·col_stride */
    dk_dtype type;
    int64_t row_stride, col_stride; /* in elements */
    const double *shift;            /* [n_0], or NULL: 0 and 1 */
    const float *scale;
    bool at_cursor;
    const int64_t *order;       /* row numbers, or NULL */
    dki_matrix x;               /* [B, n_0], out */
    const int32_t *labels_in;   /* [all rows] or NULL */
    const double *targets_in;   /* [all rows, n_L] or NULL */
    const double *target_shift; /* [n_L], or NULL: 0 and 1 */
    const float *target_scale;
    const float *weights_in; /* [all rows] or NULL */
    int64_t target_cols;
    int32_t *labels;       /* [B], out */
    float *targets;        /* [B, n_L], out */
    float *weights;        /* [B], out */
    dki_step_state *state; /* latches bad_tick where x isn't finite */
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
 * to state->loss; a non-finite one latches bad_tick. */
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

/** working = parameters in the storage type, rounded to nearest, over a range. */
typedef struct dki_cast {
    const float *parameters; /* region starts */
    void *working;
    dki_range range;
} dki_cast;

/** W of initial weights by Philox words of (seed, layer, row, element): the same bits everywhere. */
typedef struct dki_initialise {
    dki_matrix w; /* [n_k, n_{k−1}], fp32 */
    dki_init_rule rule;
    uint64_t seed;
    uint32_t layer; /* k, or another number below 4096 of the random words */
} dki_initialise;

/** The first operation of a step: reports the last tick, takes what is announced for the next one,
 *  and (unless decide will) counts the update and sets its rate. */
typedef struct dki_begin {
    dki_rule rule;
    bool decide_follows;
    dki_mailbox *mailbox;
    dki_step_state *state;
} dki_begin;

/** After the backward pass: the 2-norm over ranges of the gradients, from it the gradient's
 *  multiplier, or skip. A norm that isn't finite latches bad_tick, but for loss scaling above 1:
 *  that halves the scale and skips this update. Counts the update if it will be applied. */
typedef struct dki_decide {
    dki_rule rule;
    const float *gradients;
    const dki_range *ranges; /* host memory, read before decide returns */
    size_t range_count;
    float clip_norm;   /* 0 = off */
    bool loss_scaling; /* as in dki_backend */
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

/** An operation of a step with its argument: what cost() is asked about. */
typedef enum dki_operation_kind {
    DKI_OPERATION_GATHER,
    DKI_OPERATION_BEGIN,
    DKI_OPERATION_FORWARD,
    DKI_OPERATION_LOSS,
    DKI_OPERATION_BACKWARD_DATA,
    DKI_OPERATION_BACKWARD_PARAMS,
    DKI_OPERATION_DECIDE,
    DKI_OPERATION_UPDATE,
    DKI_OPERATION_ORDER
} dki_operation_kind;

typedef struct dki_operation {
    dki_operation_kind kind;
    dki_lane lane; /* of order: the one that is waited for */
    union {
        dki_gather gather;
        dki_begin begin;
        dki_linear_forward forward;
        dki_loss loss;
        dki_linear_backward_data backward_data;
        dki_linear_backward_params backward_params;
        dki_decide decide;
        dki_update_range update;
        dki_lane after; /* of order: the one that waits */
    } as;
} dki_operation;

/** What an operation costs by formulas of its shapes, as the backend would do it. */
typedef struct dki_cost {
    double flops;         /* of its matrix product, 2 for each multiplication and addition */
    double read, written; /* bytes: the least that its launches have to move */
    int launches;         /* kernels; on the CPU, jobs that its threads share */
} dki_cost;

#endif
