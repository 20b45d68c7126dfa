/* What a network needs of this backend beside its tensors. */
#include "backend/cuda/cuda.h"
#include "base/error.h"

/* Tensors may start on this many elements, and so may ranges of them (decide). */
enum { TENSOR_ELEMENTS = 256 };

/* dki_sum_tiles never gives more. It falls where tiles begin to grow, so the tiles of fewer rows
 * may be more than those of all. */
enum { MOST_SUM_TILES = 1024 };

static size_t largest(size_t a, size_t b) {
    return a > b ? a : b;
}

size_t dki_cuda_sums_bytes(int64_t rows, int64_t cols) {
    const int64_t tiles = rows / 64 + 1;
    return (size_t)(tiles < MOST_SUM_TILES ? tiles : MOST_SUM_TILES) * (size_t)cols * sizeof(float);
}

/* Loss scaling decides about an update when all gradients are there. */
bool dki_cuda_may_fuse_update(const dki_cuda *cuda, const dki_plan_request *request) {
    return request->gradients && !cuda->base.loss_scaling && request->fuse_rule &&
           dki_rule_is_linear(request->fuse_rule);
}

/* Pieces of the norm of a layer's gradients, each tensor of which may be a range of its own. */
static int64_t norm_pieces(const dki_cuda *cuda, const dki_layer_shape *layer) {
    const int64_t weights = layer->width * dki_leading(&cuda->base, layer->inputs);
    return (weights + TENSOR_ELEMENTS) / DKI_NORM_PIECE +
           (layer->width + TENSOR_ELEMENTS) / DKI_NORM_PIECE + 2;
}

static size_t workspace_bytes(const dki_cuda *cuda, const dki_plan_request *request) {
    size_t sums = 0;
    int64_t pieces = 0;
    for (size_t k = 0; k < request->layer_count; ++k) {
        const dki_layer_shape *layer = &request->layers[k];
        const int64_t widest = layer->width > layer->inputs ? layer->width : layer->inputs;
        sums = largest(sums, dki_cuda_sums_bytes(request->max_batch, widest));
        pieces += norm_pieces(cuda, layer);
    }
    /* the loss: its rows', then the column sums of δ⁽ᴸ⁾ */
    const size_t loss = (size_t)request->max_batch * sizeof(double) + sums;
    return largest(loss, (size_t)pieces * sizeof(double));
}

/* Two where nobody has timed it. */
static bool takes_one_lane(const dki_cuda *cuda, const dki_plan_request *request) {
    const dki_plan_key key = dki_plan_key_of_lanes(&cuda->rules, request);
    dki_plan_entry entry;
    return dki_plans_know(cuda->plans, &key, &entry) && entry.answer == 1;
}

/* Beside the data gradients of the lowest and of the last layer there is no update. */
bool dki_cuda_may_spare(const dki_cuda *cuda, const dki_plan_request *request) {
    return request->gradients && request->early_rule && request->layer_count > 2 &&
           !cuda->options.deterministic && !dki_cuda_may_fuse_update(cuda, request) &&
           !takes_one_lane(cuda, request);
}

/* None where nobody has timed it. */
static int spare_of(const dki_cuda *cuda, const dki_plan_request *request) {
    dki_plan_entry entry;
    if (!dki_cuda_may_spare(cuda, request)) return 0;
    const dki_plan_key key = dki_plan_key_of_spare(&cuda->rules, request);
    return dki_plans_know(cuda->plans, &key, &entry) ? (int)entry.answer : 0;
}

static dk_status prepare(dki_cuda *cuda, const dki_plan_request *request, dki_plan *plan) {
    for (size_t k = 0; k < request->layer_count; ++k)
        plan->keep_z[k] = dki_keeps_z(request, &request->layers[k]);
    plan->workspace_bytes = workspace_bytes(cuda, request);
    plan->fuse_update = dki_cuda_may_fuse_update(cuda, request);
    if (request->choose && !cuda->options.deterministic) DKI_TRY(dki_cuda_choose(cuda, request));
    plan->one_lane = takes_one_lane(cuda, request);
    plan->spare = spare_of(cuda, request);
    return DK_OK;
}

dk_status dki_cuda_prepare(dki_backend *backend, const dki_plan_request *request, dki_plan *plan) {
    dki_cuda *cuda = dki_cuda_enter(backend, "prepare");
    return dki_cuda_leave(cuda, prepare(cuda, request, plan));
}
