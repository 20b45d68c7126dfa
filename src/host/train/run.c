#include "train/run.h"

#include <string.h>

typedef struct {
    dk_trainer *trainer;
    const dki_steps *work;
    bool uploaded; /* the host's batch lies in the session */
} step_body;

/* Where labels, targets and weights of the rows from `first` on lie, once load() has run. */
static dki_targets targets_at(const step_body *body, int64_t first) {
    const dk_session *session = body->trainer->session;
    const dk_cuda_batch *device = body->work->device;
    if (body->work->loaded) return dki_gather_targets(session, body->work->loaded);
    if (body->work->batch) return dki_batch_targets(session, body->work->batch);
    int64_t outputs = dki_net_outputs(session->net);
    return (dki_targets){device->labels ? device->labels + first : NULL,
                         device->targets ? device->targets + first * outputs : NULL,
                         device->weights ? device->weights + first : NULL};
}

/* Rows in device memory serve as a[0] where the storage type lets them. */
static dk_status load_device(dk_session *session, const float *x, int64_t rows) {
    session->input_elsewhere = dki_session_takes_in_place(session);
    if (!session->input_elsewhere) return dki_rows_gather(session, x, rows);
    session->tensors.a[0].data = (void *)(uintptr_t)x; /* only read */
    return DK_OK;
}

/* Rows first … first+rows−1 of the step into the session. */
static dk_status load(const step_body *body, int64_t first, int64_t rows) {
    dk_session *session = body->trainer->session;
    const dki_steps *work = body->work;
    if (work->loaded) return dki_gather_rows(session, work->loaded, rows);
    if (work->device)
        return load_device(session, work->device->x + first * session->net->desc.inputs, rows);
    if (!body->uploaded) DKI_TRY(dki_batch_upload(session, work->batch, first, rows));
    return dki_rows_gather(session, session->tensors.features, rows);
}

static dk_status run_step(const step_body *body) {
    dk_trainer *trainer = body->trainer;
    dk_session *session = trainer->session;
    int64_t all = body->work->rows, micro = session->shape.max_batch;
    DKI_TRY(dki_step_begin(session, &trainer->optimization));
    for (int64_t first = 0; first < all; first += micro) {
        int64_t left = all - first, rows = left < micro ? left : micro;
        dki_targets targets = targets_at(body, first);
        dki_pass pass = {.rows = rows,
                         .first_row = (uint32_t)first,
                         .kind = (int)trainer->net->desc.loss,
                         .targets = &targets,
                         .accumulate = first > 0,
                         .check = true,
                         .update = left <= micro ? &trainer->optimization : NULL};
        DKI_TRY(load(body, first, rows));
        DKI_TRY(dki_step_forward(session, rows, (uint32_t)first));
        DKI_TRY(dki_step_backward(session, &pass));
    }
    return dki_step_update(session, &trainer->optimization);
}

static dk_status run_body(void *argument) {
    const step_body *body = argument;
    for (int64_t step = 0; step < body->work->steps; ++step) DKI_TRY(run_step(body));
    return DK_OK;
}

/* Everything that a recording has in it and that may change: what it reads, how much, how often. */
static dki_captured_for captured_for(const step_body *body) {
    const dki_steps *work = body->work;
    dki_captured_for key;
    memset(&key, 0, sizeof key); /* compared as bytes */
    key.rows = work->rows;
    key.steps = work->steps;
    key.revision = body->trainer->net->revision;
    key.targets = targets_at(body, 0);
    key.features = work->device ? work->device->x : NULL;
    if (!work->loaded) return key;
    key.features = work->loaded->features;
    key.order = work->loaded->order;
    key.labels = work->loaded->labels;
    key.values = work->loaded->targets;
    key.weights = work->loaded->weights;
    return key;
}

/* Plays the recording, or makes it. A batch in the application's own memory is recorded only if it
 * comes a second time: a new address every time would mean a new recording every time. */
static dk_status play(step_body *body, dki_captured *captured) {
    dki_backend *backend = body->trainer->net->context->backend;
    dki_captured_for key = captured_for(body);
    bool known = memcmp(&captured->key, &key, sizeof key) == 0;
    if (!known) DKI_TRY(backend->ops->run(backend, &captured->recording, NULL, NULL));
    captured->key = key;
    return known || !body->work->device
               ? backend->ops->run(backend, &captured->recording, run_body, body)
               : run_body(body);
}

/* A batch of the host's is uploaded first, outside of the recording, if it is one micro-batch; else
 * uploads and computation alternate, and nothing is recorded. */
static dk_status run(step_body *body, dki_captured *captured) {
    const dk_batch *batch = body->work->batch;
    dk_session *session = body->trainer->session;
    if (batch && batch->rows > session->shape.max_batch) return run_body(body);
    if (batch) DKI_TRY(dki_batch_upload(session, batch, 0, batch->rows));
    body->uploaded = batch != NULL;
    return play(body, captured);
}

dk_status dki_run_steps(dk_trainer *trainer, const dki_steps *work, dki_captured *captured) {
    dk_session *session = trainer->session;
    step_body body = {.trainer = trainer, .work = work};
    void *input = session->tensors.a[0].data;
    dki_net_lock_write(trainer->net);
    dk_status status = run(&body, captured);
    session->tensors.a[0].data = input;
    /* What is played from a recording leaves no trace on the host by itself. */
    session->input_elsewhere = work->device && dki_session_takes_in_place(session);
    session->rows = (work->rows - 1) % session->shape.max_batch + 1;
    session->backward_done = true;
    trainer->broken = status != DK_OK;
    return dki_net_unlock(trainer->net, status);
}

dk_status dki_run_batch(dk_trainer *trainer, const dki_steps *work, double weight_sum,
                        double *loss) {
    bool wait = loss || trainer->net->context->backend->host_memory;
    DKI_TRY(dki_trainer_make_room(trainer, 1));
    DKI_TRY(dki_trainer_announce(trainer, weight_sum));
    DKI_TRY(dki_run_steps(trainer, work, &trainer->captured[DKI_CAPTURED_BATCH]));
    return dki_trainer_collect(trainer, wait, loss);
}
