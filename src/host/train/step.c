/* Backpropagation. The equations are those of the public header's essay:
 *
 *     forward   z⁽ᵏ⁾ = W⁽ᵏ⁾ a⁽ᵏ⁻¹⁾ + b⁽ᵏ⁾, a⁽ᵏ⁾ = g⁽ᵏ⁾(z⁽ᵏ⁾)      linear_forward
 *     (1)       δ⁽ᴸ⁾ = ∇_a l ⊙ g⁽ᴸ⁾′(z⁽ᴸ⁾)                         loss
 *     (2)       δ⁽ᵏ⁾ = (W⁽ᵏ⁺¹⁾ᵀ δ⁽ᵏ⁺¹⁾) ⊙ g⁽ᵏ⁾′(z⁽ᵏ⁾)              linear_backward_data
 *     (3)       dW⁽ᵏ⁾ = Δ_kᵀ A_{k−1}                              linear_backward_params
 *     (4)       db⁽ᵏ⁾ = column sums of Δ_k                        by the operation that makes Δ_k
 */
#include "train/step.h"

#include "kernels/philox.h"

static const dki_backend_ops *ops_of(const dk_session *session) {
    return session->net->context->backend->ops;
}

static dki_backend *backend_of(const dk_session *session) {
    return session->net->context->backend;
}

/* Where parameters' gradients are computed, and updated. */
static dki_lane params_lane(const dk_session *session) {
    return session->one_lane ? DKI_LANE_MAIN : DKI_LANE_PARAMS;
}

/* Element `first` of the parameters' working copy; NULL where the parameters are their own. */
static void *working(const dk_session *session, int64_t first) {
    size_t size = dki_element_bytes(backend_of(session)->element);
    return session->net->working ? (char *)session->net->working + (size_t)first * size : NULL;
}

dki_matrix dki_step_weight(const dk_session *session, size_t k) {
    const dki_place *place = &session->net->layout.places[k - 1];
    void *copy = working(session, place->w);
    return (dki_matrix){copy ? copy : session->net->parameters + place->w, place->width,
                        place->inputs, place->w_ld};
}

static dki_matrix weight_gradient(const dk_session *session, size_t k) {
    const dki_place *place = &session->net->layout.places[k - 1];
    return (dki_matrix){session->tensors.gradients + place->w, place->width, place->inputs,
                        place->w_ld};
}

/* db of layer k, or NULL where the layer is frozen. */
static float *bias_gradient(const dk_session *session, size_t k) {
    if (session->net->layers[k - 1].frozen) return NULL;
    return session->tensors.gradients + session->net->layout.places[k - 1].b;
}

static dki_nonlinearity nonlinearity(const dk_session *session, size_t k, uint32_t first_row) {
    const dk_layer *layer = &session->net->layers[k - 1];
    bool dropout = session->dropout && layer->dropout > 0.0f;
    return (dki_nonlinearity){
        .kind = layer->activation,
        .alpha = layer->alpha,
        .dropout_threshold = dropout ? dki_dropout_threshold(layer->dropout) : 0,
        .dropout_scale = dropout ? dki_dropout_keep_scale(layer->dropout) : 1.0f,
        .layer = (uint32_t)k,
        .first_row = first_row};
}

dk_status dki_step_forward(dk_session *session, int64_t rows, uint32_t first_row) {
    const dki_tensors *t = &session->tensors;
    for (size_t k = 1; k <= session->shape.layer_count; ++k) {
        int64_t b = session->net->layout.places[k - 1].b;
        dki_linear_forward forward = {.a_in = dki_rows(t->a[k - 1], rows),
                                      .w = dki_step_weight(session, k),
                                      .b = session->net->parameters + b,
                                      .b_working = working(session, b),
                                      .z = dki_rows(t->z[k], rows),
                                      .a_out = dki_rows(t->a[k], rows),
                                      .g = nonlinearity(session, k, first_row),
                                      .state = t->state,
                                      .workspace = t->workspace[DKI_LANE_MAIN]};
        DKI_TRY(ops_of(session)->linear_forward(backend_of(session), DKI_LANE_MAIN, &forward));
    }
    session->rows = rows;
    session->backward_done = false;
    return DK_OK;
}

/* (1) and the loss; without `backward` the loss alone. */
static dk_status last_layer(dk_session *session, const dki_pass *pass, bool backward) {
    const dki_tensors *t = &session->tensors;
    const dk_net_desc *desc = &session->net->desc;
    const dki_targets *targets = pass->targets;
    size_t last = session->shape.layer_count;
    int64_t rows = pass->rows;
    dki_loss loss = {.rule = {pass->kind, desc->huber_delta, desc->label_smoothing,
                              session->net->device_class_weights},
                     .z = dki_rows(t->z[last], rows),
                     .a = dki_rows(t->a[last], rows),
                     .g = nonlinearity(session, last, 0),
                     .labels = targets->labels,
                     .targets = targets->targets,
                     .weights = targets->weights,
                     .delta = {NULL, 0, 0, 0},
                     .accumulate = pass->accumulate,
                     .state = t->state,
                     .workspace = t->workspace[DKI_LANE_MAIN]};
    if (backward) {
        loss.delta = dki_rows(t->delta[last], rows);
        loss.db = bias_gradient(session, last);
    }
    return ops_of(session)->loss(backend_of(session), DKI_LANE_MAIN, &loss);
}

dk_status dki_step_loss(dk_session *session, int64_t rows, const dki_targets *targets) {
    dki_pass pass = {.rows = rows, .kind = (int)session->net->desc.loss, .targets = targets};
    return last_layer(session, &pass, false);
}

/* What data gradient k leaves to the update of W⁽ᵏ⁺¹⁾, where that runs beside it. */
static int spare_beside(const dk_session *session, size_t k, const dki_pass *pass) {
    const bool updated = pass->update && k < session->shape.layer_count;
    return updated && !session->net->layers[k].frozen ? session->spare : 0;
}

/* (2): Δ_{k−1} and db_{k−1} from Δ_k. For k = 1 it is the gradient of the input, which has no g. */
static dk_status data_gradient(dk_session *session, size_t k, const dki_pass *pass) {
    const dki_tensors *t = &session->tensors;
    int64_t rows = pass->rows;
    dki_linear_backward_data backward = {.delta = dki_rows(t->delta[k], rows),
                                         .w = dki_step_weight(session, k),
                                         .z = dki_rows(t->z[k - 1], rows),
                                         .a = dki_rows(t->a[k - 1], rows),
                                         .g = {.kind = DK_IDENTITY},
                                         .delta_out = dki_rows(t->delta[k - 1], rows),
                                         .accumulate = pass->accumulate,
                                         .spare = spare_beside(session, k, pass),
                                         .state = t->state,
                                         .workspace = t->workspace[DKI_LANE_MAIN]};
    if (k > 1) {
        backward.g = nonlinearity(session, k - 1, pass->first_row);
        backward.db = bias_gradient(session, k - 1);
    }
    return ops_of(session)->linear_backward_data(backend_of(session), DKI_LANE_MAIN, &backward);
}

/* Below the lowest layer that learns no δ is needed, unless somebody wants to read it. */
static size_t lowest_layer(const dk_session *session) {
    size_t k = 1;
    if (session->shape.keep_all) return k;
    while (k < session->shape.layer_count && session->net->layers[k - 1].frozen) ++k;
    return k;
}

/* (3) as an operation. */
static dki_linear_backward_params params_of(const dk_session *session, dki_lane lane, size_t k,
                                            const dki_pass *pass) {
    const dki_tensors *t = &session->tensors;
    return (dki_linear_backward_params){.delta = dki_rows(t->delta[k], pass->rows),
                                        .a_in = dki_rows(t->a[k - 1], pass->rows),
                                        .dw = weight_gradient(session, k),
                                        .accumulate = pass->accumulate,
                                        .state = pass->check ? t->state : NULL,
                                        .workspace = t->workspace[lane],
                                        .lowest = k == lowest_layer(session)};
}

static dk_status parameter_gradient(dk_session *session, dki_lane lane, size_t k,
                                    const dki_pass *pass) {
    const dki_linear_backward_params op = params_of(session, lane, k, pass);
    if (session->net->layers[k - 1].frozen) return DK_OK;
    return ops_of(session)->linear_backward_params(backend_of(session), lane, &op);
}

/* θ ← rule(θ, g) over a range, as an operation. */
static dki_update_range update_of(const dk_session *session, const dki_optimization *optimization,
                                  dki_range range, bool decays) {
    return (dki_update_range){.parameters = session->net->parameters,
                              .gradients = session->tensors.gradients,
                              .slot1 = session->tensors.slots[0],
                              .slot2 = session->tensors.slots[1],
                              .working = session->net->working,
                              .range = range,
                              .rule = optimization->rule,
                              .decay = decays ? optimization->rule.weight_decay : 0.0f,
                              .state = session->tensors.state};
}

static dk_status update_range(dk_session *session, dki_lane lane,
                              const dki_optimization *optimization, dki_range range, bool decays) {
    const dki_update_range update = update_of(session, optimization, range, decays);
    return ops_of(session)->update(backend_of(session), lane, &update);
}

/* W⁽ᵏ⁾ in a parameter-shaped region, with the padding behind it. */
static dki_range weight_range(const dk_session *session, size_t k) {
    const dki_layout *layout = &session->net->layout;
    int64_t first = layout->places[k - 1].w;
    int64_t end = k < layout->layer_count ? layout->places[k].w : layout->weights_end;
    return (dki_range){first, end - first};
}

/* (3) and the update of W⁽ᵏ⁾ as one operation. */
static dk_status fused_update(dk_session *session, dki_lane lane, size_t k, const dki_pass *pass) {
    dki_linear_backward_params op = params_of(session, lane, k, pass);
    if (session->net->layers[k - 1].frozen) return DK_OK;
    op.update = update_of(session, pass->update, weight_range(session, k), true);
    return ops_of(session)->linear_backward_params(backend_of(session), lane, &op);
}

/* The update of W⁽ᵏ⁾ behind its gradient. */
static dk_status early_update(dk_session *session, size_t k, const dki_pass *pass) {
    if (!pass->update || !dki_step_updates_early(session->net, pass->update)) return DK_OK;
    if (session->net->layers[k - 1].frozen) return DK_OK;
    return update_range(session, params_lane(session), pass->update, weight_range(session, k),
                        true);
}

/* What the other lane does beside data gradient k: dW_k and, where updates are early, the update of
 * W⁽ᵏ⁺¹⁾; fused, dW_{k+1} and that update in one. */
static dk_status beside_data_gradient(dk_session *session, size_t k, const dki_pass *pass,
                                      bool fused) {
    const bool above = k < session->shape.layer_count;
    const dki_lane lane = params_lane(session);
    if (fused) return above ? fused_update(session, lane, k + 1, pass) : DK_OK;
    if (above) DKI_TRY(early_update(session, k + 1, pass));
    return parameter_gradient(session, lane, k, pass);
}

/* Layer k's two products run side by side, unless the backend found one lane faster: the data gradient
 * on the main lane, the parameters' on the other, and behind it (where updates are early) the update
 * of W⁽ᵏ⁺¹⁾. The order() calls are the only dependencies: Δ_k must be there before dW_k, and dX_{k+1}
 * must have read W⁽ᵏ⁺¹⁾ before its update; and Δ_{k−1} may lie where Δ_{k+1} lay, so dW_{k+1} must be
 * done with that. A fused update makes dW_{k+1} one layer later, when dX_{k+1} has read W⁽ᵏ⁺¹⁾; so
 * Δ_{k−1} may lie where Δ_{k+2} lay, and dW of the lowest layer, which nothing reads Δ or W after,
 * runs beside that of the one above. On one lane that is the order in which they are queued. */
dk_status dki_step_backward(dk_session *session, const dki_pass *pass) {
    const dki_backend_ops *ops = ops_of(session);
    dki_backend *backend = backend_of(session);
    const dki_lane params = params_lane(session);
    size_t lowest = lowest_layer(session), last = session->shape.layer_count;
    const bool fused = pass->update && session->fuse_update;
    DKI_TRY(last_layer(session, pass, true));
    for (size_t k = last; k >= lowest; --k) {
        DKI_TRY(ops->order(backend, DKI_LANE_MAIN, params));
        DKI_TRY(ops->order(backend, params, DKI_LANE_MAIN));
        DKI_TRY(beside_data_gradient(session, k, pass, fused));
        if (k > lowest) DKI_TRY(data_gradient(session, k, pass));
    }
    DKI_TRY(fused ? fused_update(session, DKI_LANE_MAIN, lowest, pass)
                  : early_update(session, lowest, pass));
    session->backward_done = true;
    return ops->order(backend, params, DKI_LANE_MAIN);
}

dk_status dki_step_input_gradient(dk_session *session, int64_t rows) {
    dki_pass pass = {.rows = rows};
    return data_gradient(session, 1, &pass);
}

dk_status dki_step_begin(dk_session *session, const dki_optimization *optimization) {
    dki_begin begin = {optimization->rule, dki_step_decides(session->net, optimization),
                       optimization->mailbox, session->tensors.state};
    return ops_of(session)->begin(backend_of(session), DKI_LANE_MAIN, &begin);
}

/* The trainable parts of one kind of tensor as ranges. Without frozen layers that is one range, so
 * that the update is one flat loop, unless the backend wants each layer's weights apart. Returns how
 * many. */
static size_t trainable(const dk_session *session, bool biases, dki_range *ranges) {
    const dki_layout *layout = &session->net->layout;
    const bool apart = !biases && backend_of(session)->updates_apart;
    int64_t end = biases ? layout->elements : layout->weights_end;
    size_t count = 0;
    for (size_t k = layout->layer_count; k > 0; --k) {
        const dki_place *place = &layout->places[k - 1];
        int64_t first = biases ? place->b : place->w;
        if (!session->net->layers[k - 1].frozen) {
            if (count && !apart && ranges[count - 1].first == end) {
                ranges[count - 1].first = first;
                ranges[count - 1].count += end - first;
            } else {
                ranges[count++] = (dki_range){first, end - first};
            }
        }
        end = first;
    }
    return count;
}

static dk_status decide(dk_session *session, const dki_optimization *optimization, size_t ranges) {
    dki_decide decide = {.rule = optimization->rule,
                         .gradients = session->tensors.gradients,
                         .ranges = optimization->ranges,
                         .range_count = ranges,
                         .clip_norm = optimization->clip_norm,
                         .loss_scaling = backend_of(session)->loss_scaling,
                         .state = session->tensors.state,
                         .workspace = session->tensors.workspace[DKI_LANE_MAIN]};
    return ops_of(session)->decide(backend_of(session), DKI_LANE_MAIN, &decide);
}

dk_status dki_step_update(dk_session *session, const dki_optimization *optimization) {
    dki_range *ranges = optimization->ranges;
    size_t weights = trainable(session, false, ranges);
    size_t all = weights + trainable(session, true, ranges + weights);
    if (dki_step_decides(session->net, optimization)) DKI_TRY(decide(session, optimization, all));
    size_t first =
        session->fuse_update || dki_step_updates_early(session->net, optimization) ? weights : 0;
    for (size_t i = first; i < all; ++i)
        DKI_TRY(update_range(session, DKI_LANE_MAIN, optimization, ranges[i],
                             i < weights || optimization->decay_biases));
    return DK_OK;
}
