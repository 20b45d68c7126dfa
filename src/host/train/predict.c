/* Predictions in the caller's units: probabilities of classes, targets unscaled. */
#include "train/predict.h"
#include "base/arithmetic.h"
#include "kernels/scalar.h"
#include "model/transfer.h"
#include "train/batch.h"
#include "train/evaluate.h"

#include <math.h>

/* softmax, in place. */
static void to_probabilities(float *row, int64_t count) {
    float top = row[0];
    for (int64_t c = 1; c < count; ++c) top = row[c] > top ? row[c] : top;
    double sum = 0.0;
    for (int64_t c = 0; c < count; ++c) sum += (double)(row[c] = dki_exp(row[c] - top));
    for (int64_t c = 0; c < count; ++c) row[c] = (float)((double)row[c] / sum);
}

/* Output j in the caller's units: y = a/scale + shift, in double. */
static double in_units(const dk_net *net, int64_t j, float a) {
    if (net->desc.loss == DK_LOSS_SIGMOID_CROSS_ENTROPY) a = dki_sigmoid(a);
    if (!net->targets.scale) return (double)a;
    return (double)a / (double)net->targets.scale[j] + net->targets.shift[j];
}

/* a⁽ᴸ⁾ of `rows` rows to what dk_predict promises, as floats in its place or as doubles in `wide`. */
static dk_status finish(const dk_net *net, float *a, double *wide, int64_t first, int64_t rows) {
    int64_t outputs = dki_net_outputs(net);
    for (int64_t i = 0; i < rows; ++i) {
        float *row = a + i * outputs;
        if (net->desc.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY) to_probabilities(row, outputs);
        for (int64_t j = 0; j < outputs; ++j) {
            const double y = in_units(net, j, row[j]);
            if (wide)
                wide[i * outputs + j] = y;
            else
                row[j] = (float)y;
            DKI_REQUIRE(isfinite(wide ? y : (double)row[j]), DK_E_NONFINITE,
                        "the prediction for row %lld, output %lld is %g", (long long)(first + i),
                        (long long)j, wide ? y : (double)row[j]);
        }
    }
    return DK_OK;
}

static dk_status read_outputs(dk_session *session, int64_t rows, float *a) {
    dki_matrix outputs = dki_rows(session->tensors.a[session->shape.layer_count], rows);
    return dki_activation_download(session->net->context->backend, &outputs, a);
}

dk_status dki_predictions_read(dk_session *session, int64_t first, int64_t rows, float *y) {
    float *to = y + first * dki_net_outputs(session->net);
    DKI_TRY(read_outputs(session, rows, to));
    return finish(session->net, to, NULL, first, rows);
}

/* Where predictions go: floats [rows, n_L], or doubles with `part` [batch, n_L] on their way. */
typedef struct answers {
    float *y, *part;
    double *wide;
} answers;

static dk_status read_answers(dk_session *session, int64_t first, int64_t rows, const answers *to) {
    if (!to->wide) return dki_predictions_read(session, first, rows, to->y);
    DKI_TRY(read_outputs(session, rows, to->part));
    return finish(session->net, to->part, to->wide + first * dki_net_outputs(session->net), first,
                  rows);
}

static dk_status predict_fed(dk_session *session, dki_feed *feed, const char *name,
                             const answers *to) {
    DKI_TRY(dki_feed_begin(feed, NULL));
    DKI_TRY(dki_state_watch(session));
    for (int64_t first = 0;;) {
        dki_fed batch;
        dki_targets targets;
        DKI_TRY(dki_feed_next(feed, &batch));
        if (batch.rows == 0) return dki_state_require_input(session, name);
        batch.from.labels = NULL;
        batch.from.targets = NULL;
        batch.from.weights = NULL;
        DKI_TRY(dki_gather_batch(session, &batch, &targets));
        DKI_TRY(dki_step_forward(session, batch.rows, 0));
        DKI_TRY(read_answers(session, first, batch.rows, to));
        first += batch.rows;
    }
}

static dk_status predict_dataset(const dk_net *net, const dk_dataset *dataset, answers *to) {
    const dki_storage *storage = dataset->storage;
    const dk_allocator *allocator = &net->context->allocator;
    DKI_REQUIRE(storage->features_count == net->desc.inputs, DK_E_SHAPE,
                "%s has %lld features, the network takes %lld", storage->name,
                (long long)storage->features_count, (long long)net->desc.inputs);
    int64_t batch = dki_inference_batch(0, dataset->rows);
    dk_session *session = NULL;
    dki_feed *feed = NULL;
    DKI_TRY(dki_session_open(&session, net, batch, false, false, NULL));
    dk_status status = dki_feed_create(&feed, net->context, dataset, batch, NULL);
    if (!status && to->wide)
        status =
            dki_new(allocator, &to->part, (size_t)(batch * dki_net_outputs(net)), "predictions");
    dki_net_lock_read(net);
    if (!status) status = predict_fed(session, feed, storage->name, to);
    dki_net_unlock(net, status);
    dki_release(allocator, to->part);
    dki_feed_destroy(feed);
    dk_session_destroy(session);
    return status;
}

dk_status dk_predict_dataset(const dk_net *net, const dk_dataset *dataset, float *y) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && dataset && y, DK_E_ARGUMENT, "dk_predict_dataset: a NULL argument");
    return predict_dataset(net, dataset, &(answers){.y = y});
}

dk_status dk_predict_dataset_f64(const dk_net *net, const dk_dataset *dataset, double *y) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && dataset && y, DK_E_ARGUMENT, "dk_predict_dataset_f64: a NULL argument");
    return predict_dataset(net, dataset, &(answers){.wide = y});
}

dk_status dk_predict(const dk_net *net, const float *x, int64_t rows, float *y) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && x && y, DK_E_ARGUMENT, "dk_predict: a NULL argument");
    DKI_REQUIRE(rows >= 1, DK_E_ARGUMENT, "dk_predict: %lld rows", (long long)rows);
    dk_predictor *predictor = NULL;
    DKI_TRY(dk_predictor_create(&predictor, net, dki_inference_batch(0, rows)));
    dk_status status = dk_predictor_run(predictor, x, rows, y);
    dk_predictor_destroy(predictor);
    return status;
}
