/* The layout of a session's memory: one walk, run twice, to measure and to bind. */
#include "train/session.h"

#include <stdio.h>
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

/* What a walk looks up: the shape, the backend's number formats, and its plan. */
typedef struct {
    const dki_session_shape *shape;
    const dki_backend *backend;
    dki_plan plan;
} blueprint;

static dki_matrix take_matrix(walker *walk, const blueprint *print, size_t k) {
    const dki_session_shape *shape = print->shape;
    int64_t width = width_of(shape, k), ld = dki_leading(print->backend, width);
    size_t elements = 0;
    if (!dki_mul((size_t)shape->max_batch, (size_t)ld, &elements)) walk->overflow = true;
    return (dki_matrix){take(walk, elements, dki_element_bytes(print->backend->element)),
                        shape->max_batch, width, ld};
}

/* z and a of every layer. Where z isn't kept it is absent. */
static void take_activations(walker *walk, const blueprint *print, dki_tensors *tensors) {
    for (size_t k = 0; k <= print->shape->layer_count; ++k) {
        tensors->a[k] = take_matrix(walk, print, k);
        tensors->z[k] = tensors->a[k];
        tensors->z[k].data = NULL;
        if (k && print->plan.keep_z[k - 1]) tensors->z[k] = take_matrix(walk, print, k);
    }
}

/* δ of every layer; or a few buffers in turn: two, since δ⁽ᵏ⁾ is done with once layer k − 1 has its
 * own; three where dW⁽ᵏ⁾ comes one layer later (dki_step_backward). */
static void take_deltas(walker *walk, const blueprint *print, dki_tensors *tensors) {
    const dki_session_shape *shape = print->shape;
    size_t last = shape->layer_count;
    memset(tensors->delta, 0, (last + 1) * sizeof *tensors->delta);
    if (!shape->gradients) return;
    if (shape->keep_all) {
        for (size_t k = 0; k <= last; ++k) tensors->delta[k] = take_matrix(walk, print, k);
        return;
    }
    void *buffers[3] = {NULL, NULL, NULL};
    const size_t turns = print->plan.fuse_update ? 3 : 2;
    for (size_t turn = 0; turn < turns; ++turn) {
        size_t widest = 0;
        for (size_t k = 1; k <= last; ++k)
            if (k % turns == turn && (!widest || width_of(shape, k) > width_of(shape, widest)))
                widest = k;
        if (widest) buffers[turn] = take_matrix(walk, print, widest).data;
    }
    for (size_t k = 1; k <= last; ++k) {
        int64_t width = width_of(shape, k);
        tensors->delta[k] = (dki_matrix){buffers[k % turns], shape->max_batch, width,
                                         dki_leading(print->backend, width)};
    }
}

/* Gradients and the optimizer's slots. */
static void take_regions(walker *walk, const dki_session_shape *shape, dki_tensors *tensors,
                         dki_session_bytes *bytes) {
    size_t elements = (size_t)shape->layout->elements, before = walk->used;
    tensors->gradients = shape->gradients ? take(walk, elements, sizeof(float)) : NULL;
    bytes->gradients = walk->used - before;
    before = walk->used;
    for (int i = 0; i < 2; ++i)
        tensors->slots[i] = i < shape->slots ? take(walk, elements, sizeof(float)) : NULL;
    bytes->slots = walk->used - before;
}

static void take_staging(walker *walk, const blueprint *print, dki_tensors *tensors) {
    const dki_session_shape *shape = print->shape;
    size_t rows = (size_t)shape->max_batch, outputs = (size_t)width_of(shape, shape->layer_count);
    size_t targets = 0, features = 0;
    if (!dki_mul(rows, outputs, &targets) || !dki_mul(rows, (size_t)shape->inputs, &features))
        walk->overflow = true;
    /* Plain fp32 in the host's memory: rows are copied to where they are used. */
    bool direct = print->backend->host_memory && print->backend->element == DKI_ELEMENT_F32;
    tensors->features = direct ? NULL : take(walk, features, sizeof(float));
    tensors->labels = take(walk, rows, sizeof(int32_t));
    tensors->targets = take(walk, targets, sizeof(float));
    tensors->weights = take(walk, rows, sizeof(float));
    tensors->state = take(walk, 1, sizeof(dki_step_state));
}

/* The whole allocation, region by region. */
static dk_status walk_session(const blueprint *print, char *base, dki_tensors *tensors,
                              dki_session_bytes *bytes) {
    walker walk = {base, 0, false};
    take_activations(&walk, print, tensors);
    bytes->activations = walk.used;
    take_deltas(&walk, print, tensors);
    bytes->deltas = walk.used - bytes->activations;
    take_regions(&walk, print->shape, tensors, bytes);
    size_t before = walk.used;
    take_staging(&walk, print, tensors);
    bytes->staging = walk.used - before;
    before = walk.used;
    for (int lane = 0; lane < DKI_STEP_LANES; ++lane)
        tensors->workspace[lane] = take(&walk, print->plan.workspace_bytes, 1);
    bytes->workspace = walk.used - before;
    bytes->total = walk.used;
    DKI_REQUIRE(!walk.overflow, DK_E_SHAPE, "a batch of %lld rows overflows the address space",
                (long long)print->shape->max_batch);
    return DK_OK;
}

/* Asks the backend what it wants of this shape. */
static dk_status ask_backend(dk_context *context, blueprint *print, bool choose) {
    const dki_session_shape *shape = print->shape;
    dki_layer_shape *layers = NULL;
    DKI_TRY(dki_new(&context->allocator, &layers, shape->layer_count, "the plan"));
    for (size_t k = 0; k < shape->layer_count; ++k)
        layers[k] = (dki_layer_shape){width_of(shape, k), shape->layers[k].width,
                                      shape->layers[k].activation, shape->layers[k].dropout > 0.0f};
    dki_plan_request request = {.layers = layers,
                                .layer_count = shape->layer_count,
                                .max_batch = shape->max_batch,
                                .gradients = shape->gradients,
                                .keep_all = shape->keep_all,
                                .choose = choose,
                                .fuse_rule = shape->fuse_rule,
                                .early_rule = shape->early_rule};
    dk_status status = context->backend->ops->prepare(context->backend, &request, &print->plan);
    dki_release(&context->allocator, layers);
    return status;
}

/* Host arrays of a session: the matrices' descriptions and the plan's answers. */
static dk_status allocate_host(dk_context *context, dk_session *session) {
    const dk_allocator *allocator = &context->allocator;
    size_t layers = session->shape.layer_count, count = layers + 1;
    dki_tensors *tensors = &session->tensors;
    DKI_TRY(dki_new(allocator, &session->matrices, 3 * count, "a session"));
    tensors->z = session->matrices;
    tensors->a = session->matrices + count;
    tensors->delta = session->matrices + 2 * count;
    return dki_new(allocator, &session->keep_z, layers, "a session");
}

static void release_host(const dk_allocator *allocator, dk_session *session) {
    dki_release(allocator, session->keep_z);
    dki_release(allocator, session->matrices);
}

static blueprint blueprint_of(const dk_context *context, const dk_session *session) {
    return (blueprint){
        .shape = &session->shape, .backend = context->backend, .plan = {.keep_z = session->keep_z}};
}

dk_status dki_session_measure(dk_context *context, const dki_session_shape *shape,
                              dki_session_bytes *bytes) {
    dk_session imagined = {.shape = *shape};
    dk_status status = allocate_host(context, &imagined);
    blueprint print = blueprint_of(context, &imagined);
    if (!status) status = ask_backend(context, &print, false);
    if (!status) status = walk_session(&print, NULL, &imagined.tensors, bytes);
    release_host(&context->allocator, &imagined);
    return status;
}

/* The largest batch, by halving, whose session fits into `room` bytes; 0 where even one row doesn't.
 */
static int64_t fitting_batch(dk_context *context, dki_session_shape shape, uint64_t room) {
    for (shape.max_batch /= 2; shape.max_batch > 0; shape.max_batch /= 2) {
        dki_session_bytes bytes;
        if (dki_session_measure(context, &shape, &bytes) != DK_OK) return 0;
        if (bytes.total <= room) break;
    }
    return shape.max_batch;
}

/* Says what the allocation was for, and what would fit. */
static dk_status explain_memory(dk_context *context, const dki_session_shape *shape,
                                const dki_session_bytes *bytes) {
    dki_backend_info info = {.memory_free = 0};
    char text[512];
    snprintf(text, sizeof text, "%s", dk_error_text());
    if (context->backend->ops->describe(context->backend, &info) != DK_OK) info.memory_free = 0;
    int64_t fits = fitting_batch(context, *shape, info.memory_free);
    const double mib = 1048576.0;
    char advice[160] = "not even a batch of one row would fit: take a smaller network or precision";
    if (fits)
        snprintf(advice, sizeof advice,
                 "a batch of %lld would fit (accumulate %lld of them for the same step)",
                 (long long)fits, (long long)((shape->max_batch + fits - 1) / fits));
    return dki_fail(DK_E_MEMORY,
                    "buffers for batches of %lld rows need %.1f MiB, %.1f MiB are free; %s (%s)",
                    (long long)shape->max_batch, (double)bytes->total / mib,
                    (double)info.memory_free / mib, advice, text);
}

/* The device allocation; it comes zeroed, and padding stays so. */
static dk_status bind(dk_session *session) {
    dk_context *context = session->net->context;
    dki_backend *backend = context->backend;
    blueprint print = blueprint_of(context, session);
    dki_session_bytes bytes;
    DKI_TRY(ask_backend(context, &print, true));
    session->fuse_update = print.plan.fuse_update;
    session->one_lane = print.plan.one_lane;
    session->spare = print.plan.spare;
    DKI_TRY(walk_session(&print, NULL, &session->tensors, &bytes));
    dki_log_line(&context->log, DK_LOG_INFO,
                 "a session for batches of %lld rows: activations %zu, deltas %zu, gradients %zu, "
                 "slots %zu, staging %zu, workspace %zu bytes",
                 (long long)session->shape.max_batch, bytes.activations, bytes.deltas,
                 bytes.gradients, bytes.slots, bytes.staging, bytes.workspace);
    dk_status status =
        backend->ops->alloc(backend, DKI_MEMORY_DEVICE, bytes.total, &session->memory);
    if (status == DK_E_MEMORY) return explain_memory(context, &session->shape, &bytes);
    DKI_TRY(status);
    return walk_session(&print, session->memory, &session->tensors, &bytes);
}

dk_status dki_session_open(dk_session **session, const dk_net *net, int64_t max_batch,
                           bool gradients, bool keep_all, const dki_session_updates *updates) {
    static const dki_session_updates none = {0, NULL, NULL};
    if (!updates) updates = &none;
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
                                      .slots = updates->slots,
                                      .gradients = gradients,
                                      .keep_all = keep_all,
                                      .fuse_rule = updates->fuse_rule,
                                      .early_rule = updates->early_rule};
    dk_status status = allocate_host(context, made);
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
    release_host(allocator, session);
    dki_release(allocator, session);
    dk_net_destroy(net);
}
