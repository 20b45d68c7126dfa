/* The public face of a session: forward, gradients, backward, and the insides. */
#include "base/arithmetic.h"
#include "model/transfer.h"
#include "train/batch.h"

dk_status dk_session_create(dk_session **session, const dk_net *net, int64_t max_batch,
                            dk_session_kind kind) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(session && net, DK_E_ARGUMENT, "dk_session_create: a NULL argument");
    *session = NULL;
    DKI_REQUIRE(kind == DK_SESSION_INFERENCE || kind == DK_SESSION_GRADIENTS, DK_E_ARGUMENT,
                "unknown session kind %d", (int)kind);
    return dki_session_open(session, net, max_batch, kind == DK_SESSION_GRADIENTS, true, NULL);
}

static dk_status require_rows(const dk_session *session, int64_t rows) {
    DKI_REQUIRE(rows >= 1 && rows <= session->shape.max_batch, DK_E_SHAPE,
                "%lld rows: this session takes 1 … %lld", (long long)rows,
                (long long)session->shape.max_batch);
    return DK_OK;
}

/* A trainer's session carries its step state: what ran here would change the next step. */
static dk_status require_own(const dk_session *session) {
    DKI_REQUIRE(!session->fused, DK_E_STATE,
                "a trainer's session is for reading: create one of your own");
    return DK_OK;
}

dk_status dki_session_require(const dk_session *session, int64_t rows) {
    DKI_TRY(require_own(session));
    return require_rows(session, rows);
}

static dk_status require_gradients(const dk_session *session) {
    DKI_REQUIRE(session->shape.gradients, DK_E_STATE,
                "an inference session has no gradients: create it with DK_SESSION_GRADIENTS");
    return require_own(session);
}

static dk_status set_dropout(dk_session *session, bool on, uint64_t seed, uint64_t tick) {
    DKI_TRY(require_own(session));
    dki_backend *backend = session->net->context->backend;
    dki_step_state *state = session->tensors.state;
    session->dropout = on;
    DKI_TRY(backend->ops->upload(backend, DKI_LANE_MAIN, &state->seed, &seed, sizeof seed));
    return backend->ops->upload(backend, DKI_LANE_MAIN, &state->tick, &tick, sizeof tick);
}

dk_status dk_session_dropout(dk_session *session, bool on, uint64_t seed, uint64_t tick) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(session, DK_E_ARGUMENT, "dk_session_dropout: session is NULL");
    DKI_TRY(dki_session_enter(session));
    return dki_session_leave(session, set_dropout(session, on, seed, tick));
}

static dk_status forward(dk_session *session, const float *x, int64_t rows, float *y) {
    DKI_TRY(dki_session_require(session, rows));
    DKI_TRY(dki_rows_upload(session, x, rows));
    DKI_TRY(dki_rows_gather(session, session->tensors.features, rows));
    DKI_TRY(dki_step_forward(session, rows, 0));
    if (!y) return DK_OK;
    dki_matrix output = dki_rows(session->tensors.a[session->shape.layer_count], rows);
    return dki_activation_download(session->net->context->backend, &output, y);
}

dk_status dk_session_forward(dk_session *session, const float *x, int64_t rows, float *y) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(session && x, DK_E_ARGUMENT, "dk_session_forward: a NULL argument");
    DKI_TRY(dki_session_enter(session));
    return dki_session_leave(session, forward(session, x, rows, y));
}

static dk_status gradients(dk_session *session, const dk_batch *batch, double *loss) {
    DKI_TRY(require_gradients(session));
    DKI_TRY(dki_batch_validate(session->net, batch));
    DKI_TRY(require_rows(session, batch->rows));
    dki_targets targets = dki_batch_targets(session, batch);
    dki_pass pass = {
        .rows = batch->rows, .kind = (int)session->net->desc.loss, .targets = &targets};
    double weight = dki_batch_weight(session->net, batch);
    DKI_TRY(dki_batch_upload(session, batch, 0, batch->rows));
    DKI_TRY(dki_rows_gather(session, session->tensors.features, batch->rows));
    DKI_TRY(dki_state_normaliser(session, dki_normaliser(session->net, weight)));
    DKI_TRY(dki_step_forward(session, batch->rows, 0));
    DKI_TRY(dki_step_backward(session, &pass));
    return loss ? dki_state_loss(session, loss) : DK_OK;
}

dk_status dk_session_gradients(dk_session *session, const dk_batch *batch, double *loss) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(session, DK_E_ARGUMENT, "dk_session_gradients: session is NULL");
    DKI_TRY(dki_session_enter(session));
    return dki_session_leave(session, gradients(session, batch, loss));
}

static dk_status backward(dk_session *session, const float *dl_da, int64_t rows) {
    DKI_TRY(require_gradients(session));
    DKI_REQUIRE(session->rows, DK_E_STATE, "call dk_session_forward before dk_session_backward");
    DKI_REQUIRE(rows == session->rows, DK_E_SHAPE, "%lld rows: the last forward had %lld",
                (long long)rows, (long long)session->rows);
    dki_backend *backend = session->net->context->backend;
    size_t bytes = (size_t)rows * (size_t)dki_net_outputs(session->net) * sizeof(float);
    DKI_TRY(backend->ops->upload(backend, DKI_LANE_MAIN, session->tensors.targets, dl_da, bytes));
    dki_targets targets = {NULL, session->tensors.targets, NULL};
    dki_pass pass = {.rows = rows, .kind = DKI_LOSS_GIVEN, .targets = &targets};
    return dki_step_backward(session, &pass);
}

dk_status dk_session_backward(dk_session *session, const float *dl_da, int64_t rows) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(session && dl_da, DK_E_ARGUMENT, "dk_session_backward: a NULL argument");
    DKI_TRY(dki_session_enter(session));
    return dki_session_leave(session, backward(session, dl_da, rows));
}

static dk_status input_gradient(dk_session *session, float *dl_dx, size_t count) {
    DKI_TRY(require_gradients(session));
    DKI_REQUIRE(session->backward_done, DK_E_STATE, "there was no backward pass yet");
    dki_matrix gradient = dki_rows(session->tensors.delta[0], session->rows);
    DKI_REQUIRE(count == (size_t)(gradient.rows * gradient.cols), DK_E_SHAPE,
                "the input gradient has %lld elements, not %zu",
                (long long)(gradient.rows * gradient.cols), count);
    DKI_TRY(dki_step_input_gradient(session, session->rows));
    return dki_activation_download(session->net->context->backend, &gradient, dl_dx);
}

dk_status dk_session_input_gradient(dk_session *session, float *dl_dx, size_t count) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(session && dl_dx, DK_E_ARGUMENT, "dk_session_input_gradient: a NULL argument");
    DKI_TRY(dki_session_enter(session));
    return dki_session_leave(session, input_gradient(session, dl_dx, count));
}

/* z, a or δ of a layer, where this session keeps it. */
static dk_status find_activation(const dk_session *session, dk_tensor tensor, size_t k,
                                 dki_matrix *found) {
    const dki_tensors *t = &session->tensors;
    bool by_identity = k && session->net->layers[k - 1].activation == DK_IDENTITY &&
                       session->net->layers[k - 1].dropout == 0.0f;
    bool kept = true;
    if (tensor == DK_A) {
        *found = t->a[k];
        kept = k || !session->input_elsewhere;
    } else if (tensor == DK_Z) {
        *found = by_identity ? t->a[k] : t->z[k];
        kept = found->data != NULL;
    } else {
        *found = t->delta[k];
        kept = session->shape.keep_all;
    }
    DKI_REQUIRE(kept, DK_E_NOT_KEPT,
                "%s of layer %zu wasn't kept: set keep = DK_KEEP_ALL, or use dk_session_gradients",
                dk_tensor_name(tensor), k);
    *found = dki_rows(*found, session->rows);
    return DK_OK;
}

/* dW or db of a layer. */
static dk_status find_gradient(const dk_session *session, dk_tensor tensor, size_t k,
                               dki_matrix *found) {
    const dki_place *place = &session->net->layout.places[k - 1];
    float *gradients = session->tensors.gradients;
    DKI_REQUIRE(!session->net->layers[k - 1].frozen, DK_E_NOT_KEPT,
                "layer %zu is frozen: it has no gradients", k);
    DKI_REQUIRE(tensor == DK_BIAS_GRAD || !session->fuse_update, DK_E_NOT_KEPT,
                "%s of layer %zu wasn't kept: fuse_update puts it straight into the weights",
                dk_tensor_name(tensor), k);
    *found = tensor == DK_WEIGHT_GRAD
                 ? (dki_matrix){gradients + place->w, place->width, place->inputs, place->w_ld}
                 : (dki_matrix){gradients + place->b, 1, place->width, place->width};
    return DK_OK;
}

/* Takes the loss scale out of δ, dW or db: a power of 2, so nothing is rounded. */
static dk_status unscale(const dk_session *session, float *values, size_t count) {
    dki_backend *backend = session->net->context->backend;
    float scale = 0.0f;
    if (!backend->loss_scaling) return DK_OK;
    DKI_TRY(backend->ops->download(backend, &scale, &session->tensors.state->delta_scale,
                                   sizeof scale));
    for (size_t i = 0; i < count && scale > 0.0f; ++i) values[i] /= scale;
    return DK_OK;
}

/* Anything but W and b. */
static dk_status read_tensor(dk_session *session, dk_tensor tensor, size_t layer, float *values,
                             size_t count) {
    DKI_REQUIRE(layer <= session->shape.layer_count && (layer >= 1 || tensor == DK_A),
                DK_E_ARGUMENT, "layer %zu is outside 1 … %zu", layer, session->shape.layer_count);
    DKI_REQUIRE(session->rows, DK_E_STATE, "nothing ran yet");
    bool gradient = tensor == DK_WEIGHT_GRAD || tensor == DK_BIAS_GRAD;
    DKI_REQUIRE(session->backward_done || !(gradient || tensor == DK_DELTA), DK_E_STATE,
                "there was no backward pass yet");
    dki_matrix found;
    DKI_TRY(gradient ? find_gradient(session, tensor, layer, &found)
                     : find_activation(session, tensor, layer, &found));
    DKI_REQUIRE(count == (size_t)(found.rows * found.cols), DK_E_SHAPE,
                "%s of layer %zu has %lld × %lld elements, not %zu", dk_tensor_name(tensor), layer,
                (long long)found.rows, (long long)found.cols, count);
    dki_backend *backend = session->net->context->backend;
    DKI_TRY(gradient ? dki_matrix_download(backend, &found, values)
                     : dki_activation_download(backend, &found, values));
    return gradient || tensor == DK_DELTA ? unscale(session, values, count) : DK_OK;
}

dk_status dk_session_read(dk_session *session, dk_tensor tensor, size_t layer, float *values,
                          size_t count) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(session && values, DK_E_ARGUMENT, "dk_session_read: a NULL argument");
    DKI_REQUIRE(dk_tensor_name(tensor), DK_E_ARGUMENT, "unknown tensor %d", (int)tensor);
    if (tensor == DK_WEIGHT || tensor == DK_BIAS)
        return dk_net_get(session->net, tensor, layer, values, count);
    DKI_TRY(dki_session_enter(session));
    return dki_session_leave(session, read_tensor(session, tensor, layer, values, count));
}
