/* The layout of a session's memory: one walk, run twice, to measure and to bind. */
#include "train/session.h"

#include <string.h>

/* Takes aligned pieces from `base`; with a NULL base it only counts. */
typedef struct {
    char *base;
    size_t used;
    bool overflow;
} walker;

static void *take(walker *walk, size_t count, size_t size) {
    size_t bytes = 0, rounded = 0, end = 0;
    if (!dki_mul(count, size, &bytes) || !dki_round_up(bytes, DKI_TENSOR_ALIGNMENT, &rounded) ||
        !dki_add(walk->used, rounded, &end)) {
        walk->overflow = true;
        return NULL;
    }
    void *piece = walk->base ? walk->base + walk->used : NULL;
    walk->used = end;
    return piece;
}

static int64_t width_of(const dki_session_shape *shape, size_t k) {
    return k ? shape->layers[k - 1].width : shape->inputs;
}

static int64_t padded(int64_t width, int64_t multiple) {
    return (width + multiple - 1) / multiple * multiple;
}

static dki_matrix take_matrix(walker *walk, const dki_session_shape *shape, const dki_plan *plan,
                              size_t k) {
    int64_t width = width_of(shape, k), ld = padded(width, plan->ld_multiple);
    size_t elements = 0;
    if (!dki_mul((size_t)shape->max_batch, (size_t)ld, &elements)) walk->overflow = true;
    return (dki_matrix){take(walk, elements, plan->element), shape->max_batch, width, ld};
}

/* z and a of every layer. Where z isn't kept it is absent. */
static void take_activations(walker *walk, const dki_session_shape *shape, const dki_plan *plan,
                             dki_tensors *tensors) {
    for (size_t k = 0; k <= shape->layer_count; ++k) {
        tensors->a[k] = take_matrix(walk, shape, plan, k);
        tensors->z[k] = tensors->a[k];
        tensors->z[k].data = NULL;
        if (k && plan->keep_z[k - 1]) tensors->z[k] = take_matrix(walk, shape, plan, k);
    }
}

/* δ of every layer; or two buffers in turn, since δ⁽ᵏ⁾ is done with once layer k − 1 has its own.
 */
static void take_deltas(walker *walk, const dki_session_shape *shape, const dki_plan *plan,
                        dki_tensors *tensors) {
    size_t last = shape->layer_count;
    memset(tensors->delta, 0, (last + 1) * sizeof *tensors->delta);
    if (!shape->gradients) return;
    if (shape->keep_all) {
        for (size_t k = 0; k <= last; ++k) tensors->delta[k] = take_matrix(walk, shape, plan, k);
        return;
    }
    void *buffers[2] = {NULL, NULL};
    for (size_t turn = 0; turn < 2; ++turn) {
        size_t widest = 0;
        for (size_t k = 1; k <= last; ++k)
            if (k % 2 == turn && (!widest || width_of(shape, k) > width_of(shape, widest)))
                widest = k;
        if (widest) buffers[turn] = take_matrix(walk, shape, plan, widest).data;
    }
    for (size_t k = 1; k <= last; ++k) {
        int64_t width = width_of(shape, k);
        tensors->delta[k] =
            (dki_matrix){buffers[k % 2], shape->max_batch, width, padded(width, plan->ld_multiple)};
    }
}

static void take_staging(walker *walk, const dki_session_shape *shape, dki_tensors *tensors) {
    size_t rows = (size_t)shape->max_batch, outputs = (size_t)width_of(shape, shape->layer_count);
    size_t targets = 0;
    if (!dki_mul(rows, outputs, &targets)) walk->overflow = true;
    tensors->labels = take(walk, rows, sizeof(int32_t));
    tensors->targets = take(walk, targets, sizeof(float));
    tensors->weights = take(walk, rows, sizeof(float));
    tensors->state = take(walk, 1, sizeof(dki_step_state));
}

/* The whole allocation, region by region. */
static dk_status walk_session(const dki_session_shape *shape, const dki_plan *plan, char *base,
                              dki_tensors *tensors, dki_session_bytes *bytes) {
    walker walk = {base, 0, false};
    take_activations(&walk, shape, plan, tensors);
    bytes->activations = walk.used;
    take_deltas(&walk, shape, plan, tensors);
    bytes->deltas = walk.used - bytes->activations;
    size_t before = walk.used;
    tensors->gradients =
        shape->gradients ? take(&walk, (size_t)shape->layout->elements, sizeof(float)) : NULL;
    bytes->gradients = walk.used - before;
    before = walk.used;
    take_staging(&walk, shape, tensors);
    bytes->staging = walk.used - before;
    before = walk.used;
    for (int lane = 0; lane < 2; ++lane)
        tensors->workspace[lane] = take(&walk, plan->workspace_bytes, 1);
    bytes->workspace = walk.used - before;
    bytes->total = walk.used;
    DKI_REQUIRE(!walk.overflow, DK_E_SHAPE, "a batch of %lld rows overflows the address space",
                (long long)shape->max_batch);
    return DK_OK;
}

/* Asks the backend what it wants of this shape. `keep_z` [L]. */
static dk_status make_plan(dk_context *context, const dki_session_shape *shape, bool *keep_z,
                           dki_plan *plan) {
    dki_layer_shape *layers = NULL;
    DKI_TRY(dki_new(&context->allocator, &layers, shape->layer_count, "the plan"));
    for (size_t k = 0; k < shape->layer_count; ++k)
        layers[k] = (dki_layer_shape){width_of(shape, k), shape->layers[k].width,
                                      shape->layers[k].activation, shape->layers[k].dropout > 0.0f};
    dki_plan_request request = {layers, shape->layer_count, shape->max_batch, shape->gradients,
                                shape->keep_all};
    plan->keep_z = keep_z;
    dk_status status = context->backend->ops->prepare(context->backend, &request, plan);
    dki_release(&context->allocator, layers);
    return status;
}

/* Host arrays of a session: the matrices' descriptions and the plan's answers. */
static dk_status allocate_host(dk_context *context, size_t layer_count, dki_matrix **matrices,
                               bool **keep_z, dki_tensors *tensors) {
    size_t count = layer_count + 1;
    DKI_TRY(dki_new(&context->allocator, matrices, 3 * count, "a session"));
    tensors->z = *matrices;
    tensors->a = *matrices + count;
    tensors->delta = *matrices + 2 * count;
    return dki_new(&context->allocator, keep_z, layer_count, "a session");
}

dk_status dki_session_measure(dk_context *context, const dki_session_shape *shape,
                              dki_session_bytes *bytes) {
    dki_matrix *matrices = NULL;
    bool *keep_z = NULL;
    dki_tensors tensors;
    dki_plan plan;
    dk_status status = allocate_host(context, shape->layer_count, &matrices, &keep_z, &tensors);
    if (!status) status = make_plan(context, shape, keep_z, &plan);
    if (!status) status = walk_session(shape, &plan, NULL, &tensors, bytes);
    dki_release(&context->allocator, keep_z);
    dki_release(&context->allocator, matrices);
    return status;
}

/* The device allocation; it comes zeroed, and padding stays so. */
static dk_status bind(dk_session *session) {
    dk_context *context = session->net->context;
    dki_backend *backend = context->backend;
    dki_session_bytes bytes;
    dki_plan plan;
    DKI_TRY(make_plan(context, &session->shape, session->keep_z, &plan));
    DKI_TRY(walk_session(&session->shape, &plan, NULL, &session->tensors, &bytes));
    dk_status status = backend->ops->alloc(backend, bytes.total, &session->memory);
    if (status)
        return dki_fail_in(status,
                           "buffers for batches of %lld rows (%.1f MiB; try a smaller batch)",
                           (long long)session->shape.max_batch, (double)bytes.total / 1048576.0);
    return walk_session(&session->shape, &plan, session->memory, &session->tensors, &bytes);
}

dk_status dki_session_open(dk_session **session, const dk_net *net, int64_t max_batch,
                           bool gradients, bool keep_all) {
    *session = NULL;
    dk_context *context = net->context;
    DKI_REQUIRE(max_batch >= 1 && max_batch <= 1 << 24, DK_E_ARGUMENT,
                "a batch of %lld rows is outside 1 … %d", (long long)max_batch, 1 << 24);
    dk_session *made = NULL;
    DKI_TRY(dki_new(&context->allocator, &made, 1, "a session"));
    made->net = dki_net_hold(net);
    made->fused = !keep_all;
    made->shape = (dki_session_shape){.layers = made->net->layers,
                                      .layer_count = net->desc.layer_count,
                                      .inputs = net->desc.inputs,
                                      .layout = &made->net->layout,
                                      .max_batch = max_batch,
                                      .gradients = gradients,
                                      .keep_all = keep_all};
    dk_status status = allocate_host(context, made->shape.layer_count, &made->matrices,
                                     &made->keep_z, &made->tensors);
    if (!status) status = bind(made);
    if (status) {
        dk_session_destroy(made);
        return status;
    }
    *session = made;
    return DK_OK;
}

void dk_session_destroy(dk_session *session) {
    if (!session) return;
    dk_net *net = session->net;
    dki_backend *backend = net->context->backend;
    const dk_allocator *allocator = &net->context->allocator;
    backend->ops->release(backend, session->memory);
    dki_release(allocator, session->keep_z);
    dki_release(allocator, session->matrices);
    dki_release(allocator, session);
    dk_net_destroy(net);
}
