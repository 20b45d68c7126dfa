#include "train/epoch.h"

#include <stddef.h>

/* The rows of the batch from `first` on start the order anew: the cursor counts from there. */
static dk_status set_cursor(dk_session *session, uint64_t cursor) {
    dki_backend *backend = session->net->context->backend;
    return backend->ops->upload(backend, &session->tensors.state->cursor, &cursor, sizeof cursor);
}

static dki_targets staging_of(const dk_session *session, const dki_loaded *loaded) {
    const dki_tensors *t = &session->tensors;
    return (dki_targets){loaded->labels ? t->labels : NULL, loaded->targets ? t->targets : NULL,
                         loaded->weights ? t->weights : NULL};
}

static dk_status gather(dk_session *session, const dki_loaded *loaded, int64_t rows) {
    dki_backend *backend = session->net->context->backend;
    const dki_tensors *t = &session->tensors;
    const dk_net *net = session->net;
    dki_gather gather = {.features = loaded->features,
                         .type = loaded->type,
                         .row_stride = loaded->row_stride,
                         .col_stride = loaded->col_stride,
                         .shift = net->features.device_shift,
                         .scale = net->features.device_scale,
                         .order = loaded->order,
                         .order_rows = loaded->rows,
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

dk_status dki_gather_batch(dk_session *session, const dki_loaded *loaded, int64_t first,
                           int64_t rows, dki_targets *targets) {
    DKI_TRY(set_cursor(session, (uint64_t)first));
    *targets = staging_of(session, loaded);
    return gather(session, loaded, rows);
}

/* What is captured once and replayed: a whole step, gather and update included. */
typedef struct {
    dk_trainer *trainer;
    const dki_loaded *loaded;
} step_body;

static dk_status run_step(void *argument) {
    const step_body *body = argument;
    dk_trainer *trainer = body->trainer;
    dk_session *session = trainer->session;
    dki_targets targets = staging_of(session, body->loaded);
    int kind = (int)trainer->net->desc.loss;
    int64_t micro = session->shape.max_batch;
    DKI_TRY(dki_step_begin(session, &trainer->optimization));
    for (int64_t first = 0; first < body->loaded->rows; first += micro) {
        int64_t left = body->loaded->rows - first, rows = left < micro ? left : micro;
        DKI_TRY(gather(session, body->loaded, rows));
        DKI_TRY(dki_step_forward(session, rows, (uint32_t)first));
        DKI_TRY(dki_step_backward(session, rows, (uint32_t)first, kind, &targets, first > 0, true));
    }
    return dki_step_update(session, &trainer->optimization);
}

/* The recording for this batch's shape: the full batch has one, the tail batch the other. */
static dki_recording **recording_for(dk_trainer *trainer, const dki_loaded *loaded) {
    bool full = loaded->rows == trainer->options.batch * trainer->options.accumulate;
    dki_captured *captured = &trainer->captured[full ? 0 : 1];
    dki_backend *backend = trainer->net->context->backend;
    if (captured->rows != loaded->rows || captured->features != loaded->features ||
        captured->order != loaded->order) {
        backend->ops->run(backend, &captured->recording, NULL, NULL);
        captured->rows = loaded->rows;
        captured->features = loaded->features;
        captured->order = loaded->order;
    }
    return &captured->recording;
}

dk_status dki_train_loaded(dk_trainer *trainer, const dki_loaded *loaded) {
    dki_backend *backend = trainer->net->context->backend;
    step_body body = {trainer, loaded};
    DKI_TRY(dki_trainer_announce(trainer, dki_loaded_weight(loaded, trainer->net->class_weights)));
    DKI_TRY(set_cursor(trainer->session, 0));
    return backend->ops->run(backend, recording_for(trainer, loaded), run_step, &body);
}
