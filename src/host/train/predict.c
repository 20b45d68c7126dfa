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

/* a⁽ᴸ⁾ to what dk_predict promises. */
static dk_status finish(const dk_net *net, float *y, int64_t first, int64_t rows) {
    int64_t outputs = dki_net_outputs(net);
    for (int64_t i = 0; i < rows; ++i) {
        float *row = y + i * outputs;
        if (net->desc.loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY) to_probabilities(row, outputs);
        for (int64_t j = 0; j < outputs; ++j) {
            if (net->desc.loss == DK_LOSS_SIGMOID_CROSS_ENTROPY) row[j] = dki_sigmoid(row[j]);
            if (net->targets.scale)
                row[j] =
                    (float)((double)row[j] / (double)net->targets.scale[j] + net->targets.shift[j]);
            DKI_REQUIRE(isfinite(row[j]), DK_E_NONFINITE,
                        "the prediction for row %lld, output %lld is %g", (long long)(first + i),
                        (long long)j, (double)row[j]);
        }
    }
    return DK_OK;
}

dk_status dki_predictions_read(dk_session *session, int64_t first, int64_t rows, float *y) {
    dki_matrix outputs = dki_rows(session->tensors.a[session->shape.layer_count], rows);
    float *to = y + first * outputs.cols;
    DKI_TRY(dki_activation_download(session->net->context->backend, &outputs, to));
    return finish(session->net, to, first, rows);
}

static dk_status predict_fed(dk_session *session, dki_feed *feed, const char *name, float *y) {
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
        DKI_TRY(dki_predictions_read(session, first, batch.rows, y));
        first += batch.rows;
    }
}

dk_status dk_predict_dataset(const dk_net *net, const dk_dataset *dataset, float *y) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && dataset && y, DK_E_ARGUMENT, "dk_predict_dataset: a NULL argument");
    const dki_storage *storage = dataset->storage;
    DKI_REQUIRE(storage->features_count == net->desc.inputs, DK_E_SHAPE,
                "%s has %lld features, the network takes %lld", storage->name,
                (long long)storage->features_count, (long long)net->desc.inputs);
    int64_t batch = dki_inference_batch(0, dataset->rows);
    dk_session *session = NULL;
    dki_feed *feed = NULL;
    DKI_TRY(dki_session_open(&session, net, batch, false, false, NULL));
    dk_status status = dki_feed_create(&feed, net->context, dataset, batch, NULL);
    dki_net_lock_read(net);
    if (!status) status = predict_fed(session, feed, storage->name, y);
    dki_net_unlock(net, status);
    dki_feed_destroy(feed);
    dk_session_destroy(session);
    return status;
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
