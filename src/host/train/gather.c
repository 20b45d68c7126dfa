#include "train/gather.h"

dk_status dki_set_cursor(dk_session *session, uint64_t position) {
    dki_backend *backend = session->net->context->backend;
    if (session->cursor == position) return DK_OK;
    DKI_TRY(backend->ops->upload(backend, DKI_LANE_MAIN, &session->tensors.state->cursor, &position,
                                 sizeof position));
    session->cursor = position;
    return DK_OK;
}

dki_targets dki_gather_targets(const dk_session *session, const dki_loaded *from) {
    return dki_staged_targets(session, from->labels, from->targets, from->weights);
}

dk_status dki_gather_rows(dk_session *session, const dki_loaded *loaded, int64_t rows) {
    dki_backend *backend = session->net->context->backend;
    const dki_tensors *t = &session->tensors;
    const dk_net *net = session->net;
    dki_gather gather = {.features = loaded->features,
                         .type = loaded->type,
                         .row_stride = loaded->row_stride,
                         .col_stride = loaded->col_stride,
                         .shift = net->features.device_shift,
                         .scale = net->features.device_scale,
                         .at_cursor = true,
                         .order = loaded->order,
                         .x = dki_rows(t->a[0], rows),
                         .labels_in = loaded->labels,
                         .targets_in = loaded->targets,
                         .target_shift = net->targets.device_shift,
                         .target_scale = net->targets.device_scale,
                         .weights_in = loaded->weights,
                         .target_cols = dki_net_outputs(net),
                         .labels = t->labels,
                         .targets = t->targets,
                         .weights = t->weights,
                         .state = t->state};
    return backend->ops->gather(backend, DKI_LANE_MAIN, &gather);
}

dk_status dki_gather_batch(dk_session *session, const dki_fed *batch, dki_targets *targets) {
    DKI_TRY(dki_set_cursor(session, batch->position));
    *targets = dki_gather_targets(session, &batch->from);
    DKI_TRY(dki_gather_rows(session, &batch->from, batch->rows));
    session->cursor += (uint64_t)batch->rows;
    return DK_OK;
}
