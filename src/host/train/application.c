/* Inside an application that uses the GPU itself: its stream, its memory. */
#include "train/run.h"

#include "base/arithmetic.h"

static dk_status require_gpu(const dk_context *context) {
    DKI_REQUIRE(context->backend->cuda, DK_E_STATE,
                "this context is on the %s: open one with the device \"cuda\"",
                context->info.device);
    return DK_OK;
}

dk_status dk_cuda_use_stream(dk_context *context, void *stream) {
    DKI_REQUIRE(context, DK_E_ARGUMENT, "dk_cuda_use_stream: context is NULL");
    DKI_TRY(require_gpu(context));
    return context->backend->cuda->use_stream(context->backend, stream);
}

dk_status dk_cuda_use_own_stream(dk_context *context) {
    DKI_REQUIRE(context, DK_E_ARGUMENT, "dk_cuda_use_own_stream: context is NULL");
    DKI_TRY(require_gpu(context));
    return context->backend->cuda->use_own_stream(context->backend);
}

/* An array of `count` 4-byte elements in device memory. */
static dk_status require_array(const dk_context *context, const void *array, int64_t count,
                               size_t alignment, const char *what) {
    return context->backend->cuda->require_resident(context->backend, array, 4 * (size_t)count,
                                                    alignment, what);
}

static dk_status validate_arrays(const dk_net *net, const dk_cuda_batch *batch) {
    const dk_context *context = net->context;
    int64_t rows = batch->rows, outputs = dki_net_outputs(net);
    DKI_TRY(require_array(context, batch->x, rows * net->desc.inputs, 16, "x"));
    if (batch->labels) DKI_TRY(require_array(context, batch->labels, rows, 4, "labels"));
    if (batch->targets)
        DKI_TRY(require_array(context, batch->targets, rows * outputs, 4, "targets"));
    if (batch->weights) DKI_TRY(require_array(context, batch->weights, rows, 4, "weights"));
    return DK_OK;
}

/* *weight_sum: what dki_batch_weight is for a batch of the host's. */
static dk_status validate(const dk_net *net, const dk_cuda_batch *batch, double *weight_sum) {
    DKI_REQUIRE(batch, DK_E_ARGUMENT, "the batch is NULL");
    DKI_REQUIRE(batch->size == sizeof *batch, DK_E_ARGUMENT,
                "dk_cuda_batch.size is %zu, not %zu: start from DK_CUDA_BATCH_INIT", batch->size,
                sizeof *batch);
    DKI_REQUIRE(batch->rows >= 1 && batch->rows <= UINT32_MAX, DK_E_SHAPE, "a batch of %lld rows",
                (long long)batch->rows);
    DKI_TRY(dki_require_answers(net, batch->labels, batch->targets));
    bool weighted = batch->weights || (batch->labels && net->class_weights);
    DKI_REQUIRE(!weighted || batch->weight_sum > 0.0, DK_E_ARGUMENT,
                "weight_sum = %g: with sample or class weights, set it to the sum of the rows' "
                "weights",
                batch->weight_sum);
    *weight_sum = batch->weight_sum > 0.0 ? batch->weight_sum : (double)batch->rows;
    return validate_arrays(net, batch);
}

dk_status dk_cuda_trainer_step(dk_trainer *trainer, const dk_cuda_batch *batch, double *loss) {
    DKI_ARITHMETIC;
    double weight_sum = 0.0;
    DKI_REQUIRE(trainer, DK_E_ARGUMENT, "dk_cuda_trainer_step: trainer is NULL");
    DKI_TRY(require_gpu(trainer->net->context));
    DKI_TRY(validate(trainer->net, batch, &weight_sum));
    DKI_TRY(dki_trainer_require_schedule(trainer));
    dki_steps work = {.rows = batch->rows, .steps = 1, .device = batch};
    DKI_TRY(dki_turn_take(&trainer->turn, "this trainer"));
    return dki_turn_give(&trainer->turn, dki_run_batch(trainer, &work, weight_sum, loss));
}

static dk_status forward(dk_session *session, const float *x, int64_t rows, float *y) {
    const dk_context *context = session->net->context;
    DKI_TRY(dki_session_require(session, rows));
    int64_t outputs = dki_net_outputs(session->net);
    DKI_TRY(require_array(context, x, rows * session->net->desc.inputs, 16, "x"));
    if (y) DKI_TRY(require_array(context, y, rows * outputs, 16, "y"));
    DKI_TRY(dki_rows_gather(session, x, rows));
    DKI_TRY(dki_step_forward(session, rows, 0));
    if (!y) return DK_OK;
    dki_matrix output = dki_rows(session->tensors.a[session->shape.layer_count], rows);
    return context->backend->cuda->unpack(context->backend, DKI_LANE_MAIN, output, y);
}

dk_status dk_cuda_session_forward(dk_session *session, const float *x, int64_t rows, float *y) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(session, DK_E_ARGUMENT, "dk_cuda_session_forward: session is NULL");
    DKI_TRY(require_gpu(session->net->context));
    DKI_TRY(dki_session_enter(session));
    return dki_session_leave(session, forward(session, x, rows, y));
}
