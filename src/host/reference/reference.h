/* The reference: the same mathematics again, in double precision, slowly and plainly.
 *
 * Every function here is a transcription of the equations as they stand in deltak.h, by loops over
 * i and j, one sample after the other. It shares no formula with the kernels, so that a mistake in
 * one shows against the other; it calls libm where the kernels have their own functions. Beside the
 * values it computes how far an evaluation in single precision may lie from them (the derivation is
 * in docs/numerics.md).
 *
 * Layers are numbered k = 1 … L as in the equations; layer k is layers[k − 1] of a network, and
 * index k of the arrays of dki_ref_tensors, whose index 0 is the input. */
#ifndef DKI_REFERENCE_H
#define DKI_REFERENCE_H

#include "base/memory.h"

typedef struct dki_ref_layer {
    int64_t inputs, width; /* n_{k−1}, n_k */
    dk_activation activation;
    double alpha;                /* of leaky_relu and elu, default resolved */
    const double *W;             /* [width, inputs] */
    const double *b;             /* [width] */
    const double *dropout_scale; /* [rows, width] factors of a: 0 or 1/(1 − p); NULL = none */
} dki_ref_layer;

typedef struct dki_ref_loss {
    dk_loss kind;
    double huber_delta;
    double label_smoothing;
    const double *class_weights; /* [n_L] or NULL */
} dki_ref_loss;

typedef struct dki_ref_net {
    const dki_ref_layer *layers; /* [layer_count] */
    size_t layer_count;          /* L */
    dki_ref_loss loss;
} dki_ref_net;

typedef struct dki_ref_batch {
    int64_t rows;
    const double *x;       /* [rows, n_0] */
    const int32_t *labels; /* [rows], for the cross-entropies; or */
    const double *targets; /* [rows, n_L] */
    const double *weights; /* [rows] or NULL */
} dki_ref_batch;

/** One number for each element of everything that a pass computes: the values themselves, or their
 *  magnitudes, or their error bounds. Index k of the arrays is layer k. */
typedef struct dki_ref_tensors {
    size_t layer_count;
    int64_t rows;
    double **z;     /* [1 … L]: [rows, n_k]; z[0] is NULL */
    double **a;     /* [0 … L]: [rows, n_k], dropout applied; a[0] = x */
    double **delta; /* [0 … L]: [rows, n_k], of the batch's mean loss; delta[0] = ∂l/∂x */
    double **dW;    /* [1 … L]: [n_k, n_{k−1}]; dW[0] is NULL */
    double **db;    /* [1 … L]: [n_k]; db[0] is NULL */
    double loss;    /* mean over the batch */
    const dk_allocator *allocator;
    void *memory; /* all of the above */
} dki_ref_tensors;

/** Allocates the tensors for batches of `rows` rows, all zero. On failure *tensors is empty.
 *  DK_E_ARGUMENT, DK_E_SHAPE (overflow, or widths that don't follow on each other), DK_E_MEMORY. */
dk_status dki_ref_create(dki_ref_tensors *tensors, const dk_allocator *allocator,
                         const dki_ref_net *net, int64_t rows);

/** Releases them; an empty one (all zero) does nothing. */
void dki_ref_destroy(dki_ref_tensors *tensors);

/* --- activations -------------------------------------------------------------------------- */

double dki_ref_g(dk_activation activation, double alpha, double z);

/** g′(z); at a kink the subgradient that deltak.h names. */
double dki_ref_g_prime(dk_activation activation, double alpha, double z);

/** sup |g″| over the pieces between g's kinks. */
double dki_ref_g_curvature(dk_activation activation, double alpha);

/** The largest jump of g′ at a kink in [z − radius, z + radius]; 0 where there is none. */
double dki_ref_g_prime_jump(dk_activation activation, double alpha, double z, double radius);

/* --- a pass --------------------------------------------------------------------------------- */

/** z⁽ᵏ⁾ and a⁽ᵏ⁾ of every layer. batch->rows must be what the tensors were made for. */
void dki_ref_forward(const dki_ref_net *net, const dki_ref_batch *batch, dki_ref_tensors *pass);

/** After forward: the mean loss into pass->loss. DK_E_ARGUMENT (no labels or targets, labels for a
 *  regression loss, weights that don't have a positive sum), DK_E_DATA (a label out of range). */
dk_status dki_ref_mean_loss(const dki_ref_net *net, const dki_ref_batch *batch,
                            dki_ref_tensors *pass);

/** After forward: loss, δ, dW, db, ∂l/∂x by (1)–(4), sample by sample, and their weighted mean.
 *  Statuses of dki_ref_mean_loss. */
dk_status dki_ref_backward(const dki_ref_net *net, const dki_ref_batch *batch,
                           dki_ref_tensors *pass);

/** The same from the caller's ∂l/∂a⁽ᴸ⁾ [rows, n_L]; nothing is divided by the number of rows, and
 *  pass->loss is left alone. */
void dki_ref_backward_given(const dki_ref_net *net, const double *dl_da, dki_ref_tensors *pass);

/** Σ_j w_j over a batch with the sample weights w; with labels and class weights c Σ_j w_j c_{y_j}. */
double dki_ref_total_weight(const dki_ref_net *net, const dki_ref_batch *batch);

/** The factor of l_i in the mean loss: w_i/total. With class weights l_i contains c_{y_i} already, as
 *  PyTorch has it. */
double dki_ref_share(const dki_ref_batch *batch, double total, int64_t row);

/* --- how far single precision may be off ------------------------------------------------------ */

typedef struct dki_ref_precision {
    double unit;    /* u of the arithmetic: 2⁻²⁴ for fp32 */
    double storage; /* u of the format that W, a, z, δ are stored in where it is a narrower one,
                       else 0 */
    double tiny;    /* what storing may lose absolutely, where the format underflows */
} dki_ref_precision;

#define DKI_REF_FP32                                                                               \
    { 0x1p-24, 0.0, 0x1p-126 }

/** Of a context's precision; docs/numerics.md says where the numbers are from. */
dki_ref_precision dki_ref_precision_of(dk_precision precision);

/** What enters each quantity, taken absolutely: Σ|W||a| + |b| for z, |a| for a, Σ|W||δ| · |g′| for
 *  δ (the last: |∂l/∂a||g′|), Σ|δ||a| for dW, Σ|δ| for db, Σ share·|l| for the loss.
 *  After backward. */
void dki_ref_magnitudes(const dki_ref_net *net, const dki_ref_batch *batch,
                        const dki_ref_tensors *pass, dki_ref_tensors *magnitudes);

/** Absolute error bounds, element by element, of an evaluation in `precision` of the same network
 *  and batch (whose parameters and data it holds exactly). After backward. `dl_da` is what
 *  backward_given got, or NULL after dki_ref_backward. The loss has no bound with dl_da.
 *  DK_E_ARGUMENT, as dki_ref_mean_loss. */
dk_status dki_ref_bounds(const dki_ref_net *net, const dki_ref_batch *batch, const double *dl_da,
                         const dki_ref_tensors *pass, dki_ref_precision precision,
                         dki_ref_tensors *bounds);

typedef struct dki_ref_comparison {
    double error; /* max |x − r|; infinite if x has a NaN or Inf where r has none */
    double bound; /* max of the bounds */
    double worst; /* max of |x − r|/bound, element by element */
    bool within;  /* worst ≤ 1 */
} dki_ref_comparison;

/** x as computed in single precision against the reference r and its bounds. */
dki_ref_comparison dki_ref_compare(int64_t count, const float *x, const double *r,
                                   const double *bounds);

/* --- updates -------------------------------------------------------------------------------- */

/** An optimizer at one step, every default resolved. */
typedef struct dki_ref_rule {
    dk_optimizer optimizer;
    double lr; /* η of this step */
    double beta1, beta2, epsilon;
    double weight_decay; /* λ */
    bool decoupled;
    int64_t t; /* 1, 2, … */
} dki_ref_rule;

/** θ ← rule(θ, g, m, v). m [count] holds u of momentum and nesterov, m of adam, adamw and lion;
 *  v [count] that of rmsprop, adagrad, adam and adamw. NULL where unused. (The backends' slot 1 is
 *  the first that an optimizer has, so v for rmsprop and adagrad.) */
void dki_ref_update(const dki_ref_rule *rule, int64_t count, double *theta, const double *g,
                    double *m, double *v);

/** Absolute error bounds of θ after the update in arithmetic of unit roundoff `unit`, from θ, m and
 *  v as they were before it, held exactly. g_error [count] bounds the error of g; NULL = exact. */
void dki_ref_update_bounds(const dki_ref_rule *rule, int64_t count, const double *theta,
                           const double *g, const double *g_error, const double *m, const double *v,
                           double unit, double *bounds);

/** Scales the tensors so that their common 2-norm is at most max_norm, as PyTorch's clip_grad_norm_
 *  does: by min(1, max_norm/(norm + 10⁻⁶)). Returns the norm before. */
double dki_ref_clip_norm(double *const *tensors, const int64_t *counts, size_t tensor_count,
                         double max_norm);

/** Clamps every element to ±limit. */
void dki_ref_clip_value(double *g, int64_t count, double limit);

/* --- schedules ------------------------------------------------------------------------------ */

typedef struct dki_ref_schedule {
    dk_schedule kind;
    int64_t steps;  /* S; 0 = constant after the warm-up */
    int64_t warmup; /* w, in steps; of one_cycle the steps of its rise, 0 = 0.3 S, not rounded */
    double final_factor, gamma, power;
    int64_t period; /* 0 = ⌊S/3⌋, at least 1 */
} dki_ref_schedule;

/** The learning rate at step s ≥ 0 as a factor of its peak; past the end it stays. */
double dki_ref_schedule_factor(const dki_ref_schedule *schedule, int64_t s);

#endif
