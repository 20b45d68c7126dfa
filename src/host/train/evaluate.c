#include "train/evaluate.h"

#include "base/arithmetic.h"
#include "data/dataset.h"
#include "kernels/scalar.h"
#include "model/transfer.h"
#include "train/batch.h"

#include <float.h>
#include <math.h>

/* Running sums of one target column: Welford's, so that a large mean costs no digits. */
typedef struct {
    double mean, spread; /* Σ(y − ȳ)² */
    double square_error, absolute_error;
} column_sums;

struct dki_evaluator {
    dk_context *context;
    dk_dataset *dataset;
    dk_session *session;
    dki_feed *feed;
    float *outputs;       /* [batch, n_L] */
    float *targets;       /* [batch, n_L] as the session has them */
    int32_t *labels;      /* [batch] */
    column_sums *columns; /* [n_L] */
};

enum { DEFAULT_BATCH = 1024 };

int64_t dki_inference_batch(int64_t wanted, int64_t rows) {
    int64_t batch = wanted > 0 ? wanted : DEFAULT_BATCH;
    return batch < rows ? batch : rows;
}

static dk_status build(dki_evaluator *evaluator, const dk_net *net, int64_t batch) {
    const dk_allocator *allocator = &net->context->allocator;
    size_t outputs = (size_t)dki_net_outputs(net), count = (size_t)batch * outputs;
    DKI_TRY(dki_new(allocator, &evaluator->outputs, count, "outputs"));
    DKI_TRY(dki_new(allocator, &evaluator->targets, count, "targets"));
    DKI_TRY(dki_new(allocator, &evaluator->labels, (size_t)batch, "labels"));
    DKI_TRY(dki_new(allocator, &evaluator->columns, outputs, "metrics"));
    DKI_TRY(dki_session_open(&evaluator->session, net, batch, false, false, NULL));
    return dki_feed_create(&evaluator->feed, evaluator->context, evaluator->dataset, batch,
                           evaluator->session->net->class_weights);
}

dk_status dki_evaluator_create(dki_evaluator **evaluator, const dk_net *net,
                               const dk_dataset *dataset, int64_t batch) {
    *evaluator = NULL;
    DKI_REQUIRE(batch >= 0, DK_E_ARGUMENT, "a batch of %lld rows", (long long)batch);
    DKI_TRY(dki_dataset_fits(dataset, net));
    dki_evaluator *made = NULL;
    DKI_TRY(dki_new(&net->context->allocator, &made, 1, "an evaluation"));
    made->context = dki_context_hold(net->context);
    made->dataset = dki_dataset_hold(dataset);
    dk_status status = build(made, net, dki_inference_batch(batch, dataset->rows));
    if (status) {
        dki_evaluator_destroy(made);
        return status;
    }
    *evaluator = made;
    return DK_OK;
}

void dki_evaluator_destroy(dki_evaluator *evaluator) {
    if (!evaluator) return;
    dk_context *context = evaluator->context;
    const dk_allocator *allocator = &context->allocator;
    dki_feed_destroy(evaluator->feed);
    dk_session_destroy(evaluator->session);
    dki_release(allocator, evaluator->columns);
    dki_release(allocator, evaluator->labels);
    dki_release(allocator, evaluator->targets);
    dki_release(allocator, evaluator->outputs);
    dk_dataset_destroy(evaluator->dataset);
    dki_release(allocator, evaluator);
    dk_context_destroy(context);
}

/* argmax, the lower index among equals. */
static int64_t largest(const float *values, int64_t count) {
    int64_t best = 0;
    for (int64_t c = 1; c < count; ++c)
        if (values[c] > values[best]) best = c;
    return best;
}

static int64_t count_correct(const dki_evaluator *evaluator, int64_t rows, int64_t outputs) {
    int64_t correct = 0;
    for (int64_t i = 0; i < rows; ++i)
        correct += largest(evaluator->outputs + i * outputs, outputs) == evaluator->labels[i];
    return correct;
}

/* Adds a batch to the columns' sums, in original units: y = y′/scale + shift. What the sigmoid
 * cross-entropy predicts is σ of its logits. */
static void add_regression(dki_evaluator *evaluator, int64_t seen, int64_t rows, int64_t outputs) {
    const dk_net *net = evaluator->session->net;
    const dki_scaling *scaling = &net->targets;
    const bool sigmoid = net->desc.loss == DK_LOSS_SIGMOID_CROSS_ENTROPY;
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < outputs; ++j) {
            double unit = scaling->scale ? 1.0 / (double)scaling->scale[j] : 1.0;
            double y = (double)evaluator->targets[i * outputs + j];
            float output = evaluator->outputs[i * outputs + j];
            if (sigmoid) output = dki_sigmoid(output);
            double error = ((double)output - y) * unit;
            column_sums *column = &evaluator->columns[j];
            double change = y * unit - column->mean;
            column->mean += change / (double)(seen + i + 1);
            column->spread += change * (y * unit - column->mean);
            column->square_error += error * error;
            column->absolute_error += fabs(error);
        }
}

static void finish_regression(const dki_evaluator *evaluator, int64_t outputs,
                              dk_metrics *metrics) {
    const double *shift = evaluator->session->net->targets.shift, rows = (double)metrics->samples;
    double square = 0.0, absolute = 0.0, r2 = 0.0, count = (double)(metrics->samples * outputs);
    int64_t spread_columns = 0;
    for (int64_t j = 0; j < outputs; ++j) {
        const column_sums *column = &evaluator->columns[j];
        square += column->square_error;
        absolute += column->absolute_error;
        const double mean = column->mean + (shift ? shift[j] : 0.0);
        if (!dki_is_rounding(sqrt(column->spread / rows), mean, DBL_EPSILON)) {
            r2 += 1.0 - column->square_error / column->spread;
            ++spread_columns;
        }
    }
    metrics->rmse = sqrt(square / count);
    metrics->mae = absolute / count;
    metrics->r2 = spread_columns ? r2 / (double)spread_columns : NAN;
}

/* Copies what the metrics need of a batch to the host. */
static dk_status fetch(dki_evaluator *evaluator, int64_t rows, bool classes) {
    dk_session *session = evaluator->session;
    dki_backend *backend = evaluator->context->backend;
    dki_matrix outputs = dki_rows(session->tensors.a[session->shape.layer_count], rows);
    DKI_TRY(dki_activation_download(backend, &outputs, evaluator->outputs));
    if (classes)
        return backend->ops->download(backend, evaluator->labels, session->tensors.labels,
                                      (size_t)rows * sizeof(int32_t));
    return backend->ops->download(backend, evaluator->targets, session->tensors.targets,
                                  (size_t)(rows * outputs.cols) * sizeof(float));
}

static dk_status run(dki_evaluator *evaluator, dk_metrics *metrics) {
    dk_session *session = evaluator->session;
    const dk_net *net = session->net;
    int64_t outputs = dki_net_outputs(net), correct = 0;
    bool classes = evaluator->dataset->storage->task == DK_TASK_CLASSIFICATION;
    double weight = 0.0, loss = 0.0;
    *metrics = (dk_metrics){.task = evaluator->dataset->storage->task,
                            .accuracy = NAN,
                            .rmse = NAN,
                            .mae = NAN,
                            .r2 = NAN};
    for (int64_t j = 0; j < outputs; ++j) evaluator->columns[j] = (column_sums){0};
    DKI_TRY(dki_feed_begin(evaluator->feed, NULL));
    DKI_TRY(dki_state_watch(session));
    DKI_TRY(dki_state_normaliser(session, 1.0));
    for (;;) {
        dki_fed batch;
        dki_targets targets;
        DKI_TRY(dki_feed_next(evaluator->feed, &batch));
        if (batch.rows == 0) break;
        DKI_TRY(dki_gather_batch(session, &batch, &targets));
        DKI_TRY(dki_step_forward(session, batch.rows, 0));
        DKI_TRY(dki_step_loss(session, batch.rows, &targets));
        DKI_TRY(fetch(evaluator, batch.rows, classes));
        weight += batch.weight;
        if (classes)
            correct += count_correct(evaluator, batch.rows, outputs);
        else
            add_regression(evaluator, metrics->samples, batch.rows, outputs);
        metrics->samples += batch.rows;
    }
    DKI_TRY(dki_state_require_input(session, evaluator->dataset->storage->name));
    DKI_REQUIRE(weight > 0.0, DK_E_DATA,
                "the sample weights of %s are all 0: there is no mean loss",
                evaluator->dataset->storage->name);
    DKI_TRY(dki_state_loss(session, &loss));
    metrics->loss = loss / dki_normaliser(net, weight);
    if (classes)
        metrics->accuracy = (double)correct / (double)metrics->samples;
    else
        finish_regression(evaluator, outputs, metrics);
    DKI_REQUIRE(isfinite(metrics->loss), DK_E_NONFINITE,
                "the loss on %s is %g: the network's outputs aren't finite",
                evaluator->dataset->storage->name, metrics->loss);
    return DK_OK;
}

dk_status dki_evaluator_run(dki_evaluator *evaluator, dk_metrics *metrics) {
    const dk_net *net = evaluator->session->net;
    dki_net_lock_read(net);
    return dki_net_unlock(net, run(evaluator, metrics));
}

dk_status dk_evaluate(const dk_net *net, const dk_dataset *dataset, int64_t batch,
                      dk_metrics *metrics) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net && dataset && metrics, DK_E_ARGUMENT, "dk_evaluate: a NULL argument");
    dki_evaluator *evaluator = NULL;
    DKI_TRY(dki_evaluator_create(&evaluator, net, dataset, batch));
    dk_status status = dki_evaluator_run(evaluator, metrics);
    dki_evaluator_destroy(evaluator);
    return status;
}
