/* A session: every z, a, δ, gradient and scratch of one network, in one device allocation. */
#ifndef DKI_SESSION_H
#define DKI_SESSION_H

#include "model/net.h"

/** What a session is made for. */
typedef struct dki_session_shape {
    const dk_layer *layers;
    size_t layer_count;
    int64_t inputs;
    const dki_layout *layout;
    int64_t max_batch;
    bool gradients; /* δ and gradients too */
    bool keep_all;  /* everything readable; otherwise what the step needs */
} dki_session_shape;

/** Device addresses of a session's tensors; index k is layer k. */
typedef struct dki_tensors {
    dki_matrix *z;     /* [L + 1]; absent where not kept */
    dki_matrix *a;     /* [L + 1]; a[0] is the input */
    dki_matrix *delta; /* [L + 1]; delta[0], ∂l/∂x, with keep_all only */
    float *gradients;  /* the layout's offsets */
    int32_t *labels;   /* [max_batch] */
    float *targets;    /* [max_batch, n_L] */
    float *weights;    /* [max_batch] */
    dki_step_state *state;
    void *workspace[2]; /* one for each lane */
} dki_tensors;

/** Bytes by region. */
typedef struct dki_session_bytes {
    size_t activations, deltas, gradients, staging, workspace, total;
} dki_session_bytes;

struct dk_session {
    dk_net *net;
    dki_session_shape shape;
    dki_tensors tensors;
    dki_matrix *matrices; /* what tensors.z, .a and .delta point into */
    bool *keep_z;         /* [L] */
    void *memory;         /* the device allocation */
    int64_t rows;         /* of the last forward; 0 = none yet */
    bool backward_done;
    bool fused; /* a trainer's: only what is needed is kept */
    bool dropout;
};

/** Measures without allocating device memory. DK_E_SHAPE (overflow), DK_E_MEMORY. */
dk_status dki_session_measure(dk_context *context, const dki_session_shape *shape,
                              dki_session_bytes *bytes);

/** As dk_session_create, with the choice of what is kept. */
dk_status dki_session_open(dk_session **session, const dk_net *net, int64_t max_batch,
                           bool gradients, bool keep_all);

/** The first `rows` rows of a tensor. */
static inline dki_matrix dki_rows(dki_matrix matrix, int64_t rows) {
    matrix.rows = rows;
    return matrix;
}

#endif
