/* A session: every z, a, δ, gradient and scratch of one network, in one device allocation. */
#ifndef DKI_SESSION_H
#define DKI_SESSION_H

#include "base/turn.h"
#include "model/net.h"

/** What a session is made for. */
typedef struct dki_session_shape {
    const dk_layer *layers;
    size_t layer_count;
    int64_t inputs;
    const dki_layout *layout;
    int64_t max_batch;
    int slots;                 /* parameter-shaped regions for an optimizer: 0, 1 or 2 */
    bool gradients;            /* δ and gradients too */
    bool keep_all;             /* everything readable; otherwise what the step needs */
    const dki_rule *fuse_rule; /* updates by this rule may go along with their gradients, or NULL */
    const dki_rule *early_rule; /* updates by this rule follow their gradients, or NULL */
} dki_session_shape;

/** Device addresses of a session's tensors; index k is layer k. */
typedef struct dki_tensors {
    dki_matrix *z;     /* [L + 1]; absent where not kept */
    dki_matrix *a;     /* [L + 1]; a[0] is the input */
    dki_matrix *delta; /* [L + 1]; delta[0], ∂l/∂x, with keep_all only */
    float *gradients;  /* the layout's offsets */
    float *slots[2];   /* the same; or NULL */
    float *features; /* [max_batch, n_0]: rows on their way into a[0], through the gather operation,
                        which looks for NaN; NULL where the device has the host's memory */
    int32_t *labels; /* [max_batch] */
    float *targets;  /* [max_batch, n_L] */
    float *weights;  /* [max_batch] */
    dki_step_state *state;
    void *workspace[DKI_STEP_LANES];
} dki_tensors;

/** Bytes by region. */
typedef struct dki_session_bytes {
    size_t activations, deltas, gradients, slots, staging, workspace, total;
} dki_session_bytes;

struct dk_session {
    dk_net *net;
    dki_turn turn;
    dki_session_shape shape;
    dki_tensors tensors;
    dki_matrix *matrices; /* what tensors.z, .a and .delta point into */
    bool *keep_z;         /* [L] */
    void *memory;         /* the device allocation */
    uint64_t cursor;      /* what the state's is once all that is queued has run */
    int64_t rows;         /* of the last forward; 0 = none yet */
    bool backward_done;
    bool fused;           /* a trainer's: only what is needed is kept */
    bool input_elsewhere; /* a[0] of the last batch lay in the caller's memory */
    bool dropout;
    bool
        fuse_update; /* updates of weights go along with their gradients, as the backend wants it */
    bool one_lane; /* parameters' gradients and updates on the main lane, as the backend wants it */
    int spare;     /* the plan's: for the data gradients that an early update runs beside */
};

/** Measures without allocating device memory. DK_E_SHAPE (overflow), DK_E_MEMORY. */
dk_status dki_session_measure(dk_context *context, const dki_session_shape *shape,
                              dki_session_bytes *bytes);

/** What a trainer's session knows of its optimizer: all 0 for others. The rules live as long as the
 *  session. */
typedef struct dki_session_updates {
    int slots;
    const dki_rule *fuse_rule, *early_rule; /* as in dki_session_shape */
} dki_session_updates;

/** As dk_session_create, with the choice of what is kept, and of how updates are made (NULL: they
 *  aren't). DK_E_MEMORY says what is needed, what is free, and what would fit. */
dk_status dki_session_open(dk_session **session, const dk_net *net, int64_t max_batch,
                           bool gradients, bool keep_all, const dki_session_updates *updates);

/** Whether a caller may run so many rows: not in a trainer's session (DK_E_STATE), which carries its
 *  step state, and at most max_batch (DK_E_SHAPE). */
dk_status dki_session_require(const dk_session *session, int64_t rows);

/** One call at a time, and while nobody writes the network: DK_E_STATE. leave returns `status`. */
static inline dk_status dki_session_enter(dk_session *session) {
    DKI_TRY(dki_turn_take(&session->turn, "this session"));
    dki_net_lock_read(session->net);
    return DK_OK;
}
static inline dk_status dki_session_leave(dk_session *session, dk_status status) {
    return dki_turn_give(&session->turn, dki_net_unlock(session->net, status));
}

/** Whether dense rows of floats in device memory can serve as a[0] where they lie. */
static inline bool dki_session_takes_in_place(const dk_session *session) {
    const dki_backend *backend = session->net->context->backend;
    return backend->element == DKI_ELEMENT_F32 &&
           dki_leading(backend, session->shape.inputs) == session->shape.inputs;
}

/** The first `rows` rows of a tensor. */
static inline dki_matrix dki_rows(dki_matrix matrix, int64_t rows) {
    matrix.rows = rows;
    return matrix;
}

#endif
