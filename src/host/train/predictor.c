/* Predictions again and again. A call takes buffers that no other one uses, or makes new ones; they are
 * kept for the next call. */
#include "base/arithmetic.h"
#include "data/source.h"
#include "train/batch.h"
#include "train/evaluate.h"
#include "train/predict.h"

#include <pthread.h>

/* What one call needs for itself. */
typedef struct place {
    dk_session *session;
    struct place *next; /* among those that no call uses */
} place;

struct dk_predictor {
    dk_net *net;
    int64_t batch;
    pthread_mutex_t lock; /* for the list */
    place *idle;
};

static const dk_allocator *allocator_of(const dk_predictor *predictor) {
    return &predictor->net->context->allocator;
}

static dk_status make_place(const dk_predictor *predictor, place **made) {
    DKI_TRY(dki_new(allocator_of(predictor), made, 1, "a predictor"));
    const dk_status status =
        dki_session_open(&(*made)->session, predictor->net, predictor->batch, false, false, NULL);
    if (!status) return DK_OK;
    dki_release(allocator_of(predictor), *made);
    *made = NULL;
    return status;
}

static dk_status take_place(dk_predictor *predictor, place **taken) {
    pthread_mutex_lock(&predictor->lock);
    *taken = predictor->idle;
    if (*taken) predictor->idle = (*taken)->next;
    pthread_mutex_unlock(&predictor->lock);
    return *taken ? DK_OK : make_place(predictor, taken);
}

static void give_place(dk_predictor *predictor, place *given) {
    pthread_mutex_lock(&predictor->lock);
    given->next = predictor->idle;
    predictor->idle = given;
    pthread_mutex_unlock(&predictor->lock);
}

dk_status dk_predictor_create(dk_predictor **predictor, const dk_net *net, int64_t batch) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(predictor && net, DK_E_ARGUMENT, "dk_predictor_create: a NULL argument");
    *predictor = NULL;
    DKI_REQUIRE(batch >= 0, DK_E_ARGUMENT, "dk_predictor_create: batches of %lld rows",
                (long long)batch);
    dk_predictor *made = NULL;
    place *first = NULL;
    DKI_TRY(dki_new(&net->context->allocator, &made, 1, "a predictor"));
    made->net = dki_net_hold(net);
    made->batch = dki_inference_batch(batch, INT64_MAX);
    pthread_mutex_init(&made->lock, NULL);
    const dk_status status = take_place(made, &first);
    if (status) {
        dk_predictor_destroy(made);
        return status;
    }
    give_place(made, first);
    *predictor = made;
    return DK_OK;
}

void dk_predictor_destroy(dk_predictor *predictor) {
    if (!predictor) return;
    dk_net *net = predictor->net;
    const dk_allocator *allocator = allocator_of(predictor);
    for (place *next, *each = predictor->idle; each; each = next) {
        next = each->next;
        dk_session_destroy(each->session);
        dki_release(allocator, each);
    }
    pthread_mutex_destroy(&predictor->lock);
    dki_release(allocator, predictor);
    dk_net_destroy(net);
}

/* Rows of the caller's, preprocessed, into a[0]. A device with the host's memory reads them where they
 * are. */
static dk_status gather(dk_session *session, const float *x, int64_t rows) {
    dki_backend *backend = session->net->context->backend;
    const dki_scaling *features = &session->net->features;
    const int64_t inputs = session->net->desc.inputs;
    const float *from = backend->host_memory ? x : session->tensors.features;
    if (!backend->host_memory)
        DKI_TRY(backend->ops->upload(backend, DKI_LANE_MAIN, session->tensors.features, x,
                                     (size_t)(rows * inputs) * sizeof *x));
    const dki_gather op = {.features = from,
                           .type = DK_F32,
                           .row_stride = inputs,
                           .col_stride = 1,
                           .shift = features->device_shift,
                           .scale = features->device_scale,
                           .x = dki_rows(session->tensors.a[0], rows),
                           .state = session->tensors.state};
    return backend->ops->gather(backend, DKI_LANE_MAIN, &op);
}

static dk_status predict(dk_session *session, const float *x, int64_t rows, float *y) {
    const int64_t batch = session->shape.max_batch, inputs = session->net->desc.inputs;
    DKI_TRY(dki_state_watch(session));
    for (int64_t first = 0; first < rows; first += batch) {
        const int64_t count = rows - first < batch ? rows - first : batch;
        DKI_TRY(gather(session, x + first * inputs, count));
        DKI_TRY(dki_step_forward(session, count, 0));
        DKI_TRY(dki_predictions_read(session, first, count, y));
    }
    return dki_state_require_input(session, "x");
}

/* As dk_dataset_from_arrays looks through features: nothing is written where one isn't finite. */
static dk_status require_finite(const dk_predictor *predictor, const float *x, int64_t rows) {
    const int64_t inputs = predictor->net->desc.inputs;
    char name[] = "x";
    const dki_storage storage = {.name = name,
                                 .rows = rows,
                                 .features_count = inputs,
                                 .features = x,
                                 .type = DK_F32,
                                 .row_stride = inputs,
                                 .col_stride = 1};
    size_t bytes = 0;
    DKI_REQUIRE(dki_mul((size_t)rows, (size_t)inputs * sizeof *x, &bytes) && bytes <= PTRDIFF_MAX,
                DK_E_SHAPE, "x of %lld × %lld doesn't fit the address space", (long long)rows,
                (long long)inputs);
    return dki_storage_check_finite(&storage);
}

dk_status dk_predictor_run(dk_predictor *predictor, const float *x, int64_t rows, float *y) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(predictor && x && y, DK_E_ARGUMENT, "dk_predictor_run: a NULL argument");
    DKI_REQUIRE(rows >= 1, DK_E_ARGUMENT, "dk_predictor_run: %lld rows", (long long)rows);
    DKI_TRY(require_finite(predictor, x, rows));
    place *taken = NULL;
    DKI_TRY(take_place(predictor, &taken));
    dki_net_lock_read(predictor->net);
    const dk_status status = dki_net_unlock(predictor->net, predict(taken->session, x, rows, y));
    give_place(predictor, taken);
    return status;
}
