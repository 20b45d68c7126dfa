/* Predictions in the caller's units: probabilities of classes, targets unscaled. */
#include "kernels/scalar.h"
#include "model/transfer.h"
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
            if (net->targets.scale) row[j] = row[j] / net->targets.scale[j] + net->targets.shift[j];
            DKI_REQUIRE(isfinite(row[j]), DK_E_NONFINITE,
                        "the prediction for row %lld, output %lld is %g", (long long)(first + i),
                        (long long)j, (double)row[j]);
        }
    }
    return DK_OK;
}

static dk_status read_outputs(dk_session *session, int64_t first, int64_t rows, float *y) {
    dki_matrix outputs = dki_rows(session->tensors.a[session->shape.layer_count], rows);
    float *to = y + first * outputs.cols;
    DKI_TRY(dki_matrix_download(session->net->context->backend, &outputs, to));
    return finish(session->net, to, first, rows);
}

/* x′ = (x − shift)·scale of some rows into `scaled`, as the gather operation does it. */
static dk_status scale_rows(const dk_net *net, const float *x, int64_t first, int64_t rows,
                            float *scaled) {
    int64_t inputs = net->desc.inputs;
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < inputs; ++j) {
            float value = x[(first + i) * inputs + j];
            DKI_REQUIRE(isfinite(value), DK_E_NONFINITE, "row %lld, column %lld is %g",
                        (long long)(first + i), (long long)j, (double)value);
            if (net->features.scale)
                value = (value - net->features.shift[j]) * net->features.scale[j];
            scaled[i * inputs + j] = value;
        }
    return DK_OK;
}

static dk_status predict_rows(dk_session *session, const float *x, int64_t rows, float *scaled,
                              float *y) {
    dki_backend *backend = session->net->context->backend;
    int64_t batch = session->shape.max_batch;
    for (int64_t first = 0; first < rows; first += batch) {
        int64_t count = rows - first < batch ? rows - first : batch;
        dki_matrix input = dki_rows(session->tensors.a[0], count);
        DKI_TRY(scale_rows(session->net, x, first, count, scaled));
        DKI_TRY(dki_matrix_upload(backend, &input, scaled));
        DKI_TRY(dki_step_forward(session, count, 0));
        DKI_TRY(read_outputs(session, first, count, y));
    }
    return DK_OK;
}

dk_status dk_predict(const dk_net *net, const float *x, int64_t rows, float *y) {
    DKI_REQUIRE(net && x && y, DK_E_ARGUMENT, "dk_predict: a NULL argument");
    DKI_REQUIRE(rows >= 1, DK_E_ARGUMENT, "dk_predict: %lld rows", (long long)rows);
    const dk_allocator *allocator = &net->context->allocator;
    int64_t batch = dki_inference_batch(0, rows);
    dk_session *session = NULL;
    float *scaled = NULL;
    DKI_TRY(dki_session_open(&session, net, batch, false, false));
    dk_status status = dki_new(allocator, &scaled, (size_t)(batch * net->desc.inputs), "a batch");
    if (!status) status = predict_rows(session, x, rows, scaled, y);
    dki_release(allocator, scaled);
    dk_session_destroy(session);
    return status;
}

static dk_status predict_loaded(dk_session *session, dki_loader *loader, float *y) {
    DKI_TRY(dki_loader_begin(loader, false, 0, 0));
    for (int64_t first = 0;;) {
        dki_loaded loaded;
        dki_targets targets;
        DKI_TRY(dki_loader_next(loader, &loaded));
        if (loaded.rows == 0) return DK_OK;
        loaded.labels = NULL;
        loaded.targets = NULL;
        loaded.weights = NULL;
        DKI_TRY(dki_gather_batch(session, &loaded, 0, loaded.rows, &targets));
        DKI_TRY(dki_step_forward(session, loaded.rows, 0));
        DKI_TRY(read_outputs(session, first, loaded.rows, y));
        first += loaded.rows;
    }
}

dk_status dk_predict_dataset(const dk_net *net, const dk_dataset *dataset, float *y) {
    DKI_REQUIRE(net && dataset && y, DK_E_ARGUMENT, "dk_predict_dataset: a NULL argument");
    const dki_storage *storage = dataset->storage;
    DKI_REQUIRE(storage->features_count == net->desc.inputs, DK_E_SHAPE,
                "%s has %lld features, the network takes %lld", storage->name,
                (long long)storage->features_count, (long long)net->desc.inputs);
    int64_t batch = dki_inference_batch(0, dataset->rows);
    dk_session *session = NULL;
    dki_loader *loader = NULL;
    DKI_TRY(dki_session_open(&session, net, batch, false, false));
    dk_status status = dki_loader_create(&loader, dataset, batch);
    if (!status) status = predict_loaded(session, loader, y);
    dki_loader_destroy(loader);
    dk_session_destroy(session);
    return status;
}
