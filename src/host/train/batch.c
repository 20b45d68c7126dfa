#include "train/batch.h"

#include "data/loader.h"
#include "model/transfer.h"

#include <math.h>

dk_status dki_require_answers(const dk_net *net, const int32_t *labels, const float *targets) {
    DKI_REQUIRE(!labels != !targets, DK_E_ARGUMENT, "a batch has either labels or targets");
    DKI_REQUIRE(!labels || dki_loss_is_classification(net->desc.loss), DK_E_ARGUMENT,
                "the loss %s takes targets, not labels", dk_loss_name(net->desc.loss));
    return DK_OK;
}

static dk_status validate_labels(const dk_net *net, const dk_batch *batch) {
    int64_t classes = dki_net_outputs(net);
    for (int64_t i = 0; i < batch->rows; ++i)
        DKI_REQUIRE(batch->labels[i] >= 0 && batch->labels[i] < classes, DK_E_DATA,
                    "row %lld: label %d is outside 0 … %lld", (long long)i, (int)batch->labels[i],
                    (long long)classes - 1);
    return DK_OK;
}

static dk_status validate_weights(const dk_batch *batch) {
    double sum = 0.0;
    for (int64_t i = 0; i < batch->rows; ++i) {
        DKI_REQUIRE(batch->weights[i] >= 0.0f && isfinite(batch->weights[i]), DK_E_DATA,
                    "row %lld: weight %g isn't a number from 0 up", (long long)i,
                    (double)batch->weights[i]);
        sum += (double)batch->weights[i];
    }
    DKI_REQUIRE(sum > 0.0, DK_E_DATA, "the sample weights of this batch are all 0");
    return DK_OK;
}

dk_status dki_batch_validate(const dk_net *net, const dk_batch *batch) {
    DKI_REQUIRE(batch, DK_E_ARGUMENT, "the batch is NULL");
    DKI_REQUIRE(batch->size == sizeof *batch, DK_E_ARGUMENT,
                "dk_batch.size is %zu, not %zu: start from DK_BATCH_INIT", batch->size,
                sizeof *batch);
    DKI_REQUIRE(batch->rows >= 1, DK_E_SHAPE, "a batch of %lld rows", (long long)batch->rows);
    DKI_REQUIRE(batch->x, DK_E_ARGUMENT, "the batch has no features (x is NULL)");
    DKI_TRY(dki_require_answers(net, batch->labels, batch->targets));
    if (batch->labels) DKI_TRY(validate_labels(net, batch));
    if (batch->weights) DKI_TRY(validate_weights(batch));
    return DK_OK;
}

double dki_normaliser(const dk_net *net, double weight_sum) {
    return net->desc.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY
               ? weight_sum
               : weight_sum * (double)dki_net_outputs(net);
}

double dki_batch_weight(const dk_net *net, const dk_batch *batch) {
    double sum = 0.0;
    for (int64_t i = 0; i < batch->rows; ++i)
        sum += dki_row_weight(batch->weights, batch->labels, net->class_weights, i);
    return sum;
}

dk_status dki_rows_upload(dk_session *session, const float *x, int64_t rows) {
    dki_backend *backend = session->net->context->backend;
    const dki_tensors *t = &session->tensors;
    dki_matrix to = dki_rows(t->a[0], rows);
    if (!t->features) return dki_matrix_upload(backend, &to, x);
    return backend->ops->upload(backend, DKI_LANE_MAIN, t->features, x,
                                (size_t)(rows * to.cols) * sizeof *x);
}

dk_status dki_rows_gather(dk_session *session, const float *x, int64_t rows) {
    dki_backend *backend = session->net->context->backend;
    const dki_tensors *t = &session->tensors;
    if (!x) return DK_OK;
    dki_gather gather = {.features = x,
                         .type = DK_F32,
                         .row_stride = t->a[0].cols,
                         .col_stride = 1,
                         .x = dki_rows(t->a[0], rows),
                         .state = t->state};
    return backend->ops->gather(backend, DKI_LANE_MAIN, &gather);
}

dki_targets dki_batch_targets(const dk_session *session, const dk_batch *batch) {
    return dki_staged_targets(session, batch->labels, batch->targets, batch->weights);
}

dk_status dki_batch_upload(dk_session *session, const dk_batch *batch, int64_t first,
                           int64_t rows) {
    dki_backend *backend = session->net->context->backend;
    const dki_backend_ops *ops = backend->ops;
    const dki_tensors *t = &session->tensors;
    int64_t outputs = dki_net_outputs(session->net);
    DKI_TRY(dki_rows_upload(session, batch->x + first * session->net->desc.inputs, rows));
    if (batch->labels)
        DKI_TRY(ops->upload(backend, DKI_LANE_MAIN, t->labels, batch->labels + first,
                            (size_t)rows * sizeof(int32_t)));
    if (batch->targets)
        DKI_TRY(ops->upload(backend, DKI_LANE_MAIN, t->targets, batch->targets + first * outputs,
                            (size_t)(rows * outputs) * sizeof(float)));
    if (batch->weights)
        DKI_TRY(ops->upload(backend, DKI_LANE_MAIN, t->weights, batch->weights + first,
                            (size_t)rows * sizeof(float)));
    return DK_OK;
}

dk_status dki_state_normaliser(dk_session *session, double normaliser) {
    dki_backend *backend = session->net->context->backend;
    dki_step_state *state = session->tensors.state;
    const float inverse = (float)(1.0 / normaliser);
    const double zero = 0.0;
    DKI_TRY(backend->ops->upload(backend, DKI_LANE_MAIN, &state->inverse_normaliser, &inverse,
                                 sizeof inverse));
    return backend->ops->upload(backend, DKI_LANE_MAIN, &state->loss, &zero, sizeof zero);
}

dk_status dki_state_watch(dk_session *session) {
    dki_backend *backend = session->net->context->backend;
    const dki_step_state fresh = {.tick = 1}; /* 0 would be no latch */
    return backend->ops->upload(backend, DKI_LANE_MAIN, session->tensors.state, &fresh,
                                offsetof(dki_step_state, cursor));
}

dk_status dki_state_require_input(dk_session *session, const char *name) {
    dki_backend *backend = session->net->context->backend;
    dki_step_state state;
    DKI_TRY(backend->ops->download(backend, &state, session->tensors.state, sizeof state));
    DKI_REQUIRE(
        !state.bad_tick || state.bad_at != DKI_AT_INPUT, DK_E_NONFINITE,
        "%s: a feature is NaN or Inf once it is preprocessed and held in %s: it lies too far "
        "from what the network has seen",
        name, dk_precision_name(session->net->context->precision));
    return DK_OK;
}

dk_status dki_state_loss(dk_session *session, double *loss) {
    dki_backend *backend = session->net->context->backend;
    return backend->ops->download(backend, loss, &session->tensors.state->loss, sizeof *loss);
}
