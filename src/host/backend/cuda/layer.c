/* The three products of a layer, each by the way that its plan says. */
#include "backend/cuda/cuda.h"
#include "base/error.h"

int64_t dki_cuda_processors(const dki_cuda *cuda, int spare) {
    const int all = dki_gpu_facts_of(cuda->gpu)->processors;
    return spare > 0 && spare < all ? all - spare : 0;
}

/* Multiprocessors are left free where the library can; where it can't, the product takes all. */
static dk_status find_algorithm(dki_cuda *cuda, dki_product *product, dki_algorithm *algorithm,
                                bool *found) {
    DKI_TRY(dki_plans_algorithm(cuda->plans, product, algorithm, found));
    if (*found || !product->processors) return DK_OK;
    product->processors = 0;
    return dki_plans_algorithm(cuda->plans, product, algorithm, found);
}

/* Those of a lane are in order; graph.c orders those that recordings have in them. */
static void *take_workspace(dki_cuda *cuda, dki_lane lane) {
    if (lane == DKI_LANE_PARAMS) cuda->params_multiplied = true;
    return (int)lane < (int)DKI_STEP_LANES ? cuda->product_workspace[lane] : NULL;
}

/* Queues one product by its plan. */
static dk_status multiply(dki_cuda *cuda, dki_lane lane, const dki_bare_product *bare,
                          dki_product_extras extras) {
    dki_product product;
    dki_operands operands;
    dki_algorithm algorithm;
    bool found = false;
    extras.workspace = take_workspace(cuda, lane);
    dki_product_make(&cuda->rules, bare, &extras, &product, &operands);
    DKI_TRY(dki_product_validate(&product, &operands));
    DKI_TRY(find_algorithm(cuda, &product, &algorithm, &found));
    DKI_REQUIRE(found, DK_E_UNSUPPORTED,
                "cuBLASLt has no algorithm for a product of %lld × %lld × %lld with epilogue %d on "
                "this GPU",
                (long long)product.m, (long long)product.n, (long long)product.k,
                (int)product.epilogue);
    return dki_gpu_multiply(cuda->gpu, cuda->lanes[lane], &product, &algorithm, &operands);
}

static bool is_plain_relu(const dki_nonlinearity *g) {
    return g->kind == DK_RELU && g->dropout_threshold == 0;
}

bool dki_cuda_is_plain_identity(const dki_nonlinearity *g) {
    return g->kind == DK_IDENTITY && g->dropout_threshold == 0;
}

void *dki_cuda_epilogue_bias(const dki_cuda *cuda, const dki_linear_forward *op) {
    const void *bias = cuda->base.element == DKI_ELEMENT_F32 ? op->b : op->b_working;
    return (void *)(uintptr_t)bias; /* read only */
}

/* In bf16 only: how exact the library's tanh is, it doesn't say; the GPU's own instruction for it is
 * within 2⁻¹¹, which only bf16's rounding hides. z may serve as the auxiliary matrix where its
 * leading dimension is what the library wants. */
bool dki_cuda_may_fuse_gelu(const dki_cuda *cuda, const dki_nonlinearity *g, const dki_matrix *z) {
    return cuda->base.element == DKI_ELEMENT_BF16 && g->kind == DK_GELU_TANH &&
           g->dropout_threshold == 0 && z->data && z->ld % DKI_AUX_LD_MULTIPLE == 0;
}

dki_epilogue dki_cuda_forward_epilogue(dk_activation activation) {
    if (activation == DK_GELU_TANH) return DKI_EPILOGUE_GELU_AUX_BIAS;
    return activation == DK_RELU ? DKI_EPILOGUE_RELU_BIAS : DKI_EPILOGUE_BIAS;
}

/* z⁽ᵏ⁾ = W⁽ᵏ⁾ a⁽ᵏ⁻¹⁾ + b⁽ᵏ⁾, a⁽ᵏ⁾ = g⁽ᵏ⁾(z⁽ᵏ⁾) */
dk_status dki_cuda_forward_by(dki_cuda *cuda, dki_lane lane, const dki_linear_forward *op,
                              dki_way way) {
    dki_bare_product bare = {DKI_PRODUCT_FORWARD, op->a_in, op->w, op->a_out};
    dki_product_extras extras = {.epilogue = DKI_EPILOGUE_NONE};
    if (way == DKI_WAY_PLAIN) {
        if (op->z.data) bare.out = op->z;
        DKI_TRY(multiply(cuda, lane, &bare, extras));
        return dki_gpu_launched(cuda->gpu,
                                dki_cuda_activation(cuda->lanes[lane], cuda->base.element, op),
                                "activation_kernel");
    }
    extras.epilogue = dki_cuda_forward_epilogue(op->g.kind);
    extras.bias = dki_cuda_epilogue_bias(cuda, op);
    if (dki_epilogue_has_aux(extras.epilogue)) {
        extras.aux = op->z.data;
        extras.aux_ld = op->z.ld;
    }
    return multiply(cuda, lane, &bare, extras);
}

/* Where no z is kept and g is the identity or ReLU, the epilogue may do it all; GELU's keeps z. */
dk_status dki_cuda_forward_way(dki_cuda *cuda, const dki_linear_forward *op, dki_way *way) {
    const bool relu = is_plain_relu(&op->g);
    const bool gelu = dki_cuda_may_fuse_gelu(cuda, &op->g, &op->z);
    const dki_bare_product bare = {DKI_PRODUCT_FORWARD, op->a_in, op->w, op->a_out};
    dki_product_extras extras = {
        .epilogue = dki_cuda_forward_epilogue(op->g.kind),
        .bias = dki_cuda_epilogue_bias(cuda, op),
        .workspace = cuda->product_workspace[DKI_LANE_MAIN],
    };
    dki_product product;
    dki_operands operands;
    bool fused = false;
    *way = DKI_WAY_PLAIN;
    if (!extras.bias) return DK_OK;
    if (!gelu && (op->z.data || !(relu || dki_cuda_is_plain_identity(&op->g)))) return DK_OK;
    if (gelu) {
        extras.aux = op->z.data;
        extras.aux_ld = op->z.ld;
    }
    dki_product_make(&cuda->rules, &bare, &extras, &product, &operands);
    DKI_TRY(gelu ? dki_plans_timed_fused(cuda->plans, &product, &fused)
                 : dki_plans_fused(cuda->plans, &product, DKI_QUESTION_FUSED, &fused));
    if (fused) *way = DKI_WAY_FUSED;
    return DK_OK;
}

static dk_status forward(dki_cuda *cuda, dki_lane lane, const dki_linear_forward *op) {
    dki_way way = DKI_WAY_PLAIN;
    DKI_TRY(dki_cuda_forward_way(cuda, op, &way));
    return dki_cuda_forward_by(cuda, lane, op, way);
}

dk_status dki_cuda_linear_forward(dki_backend *backend, dki_lane lane,
                                  const dki_linear_forward *op) {
    dki_cuda *cuda =
        dki_cuda_enter(backend, "forward %lldx%lld", (long long)op->w.cols, (long long)op->w.rows);
    return dki_cuda_leave(cuda, forward(cuda, lane, op));
}

dk_status dki_cuda_add_partial(dki_cuda *cuda, dki_lane lane, int64_t rows, int64_t cols, float *db,
                               bool accumulate, const float *partial) {
    return dki_gpu_launched(
        cuda->gpu,
        dki_cuda_add_sums(cuda->lanes[lane], db, partial, dki_sum_tiles(rows), cols, accumulate),
        "add_sums_kernel");
}

dk_status dki_cuda_sum_columns(dki_cuda *cuda, dki_lane lane, dki_matrix matrix, float *db,
                               bool accumulate, void *workspace) {
    DKI_TRY(dki_gpu_launched(
        cuda->gpu, dki_cuda_column_sums(cuda->lanes[lane], cuda->base.element, matrix, workspace),
        "column_sums_kernel"));
    return dki_cuda_add_partial(cuda, lane, matrix.rows, matrix.cols, db, accumulate, workspace);
}

/* The bare product, then one pass of ours for g′ and dropout, which has the column sums for little
 * more. */
static dk_status backward_data_plainly(dki_cuda *cuda, dki_lane lane,
                                       const dki_linear_backward_data *op) {
    const dki_bare_product bare = {DKI_PRODUCT_DATA, op->delta, op->w, op->delta_out};
    const dki_matrix *out = &op->delta_out;
    float *partial = op->db ? op->workspace : NULL;
    const dki_product_extras extras = {.epilogue = DKI_EPILOGUE_NONE,
                                       .processors = dki_cuda_processors(cuda, op->spare)};
    DKI_TRY(multiply(cuda, lane, &bare, extras));
    if (dki_cuda_is_plain_identity(&op->g))
        return op->db
                   ? dki_cuda_sum_columns(cuda, lane, *out, op->db, op->accumulate, op->workspace)
                   : DK_OK;
    DKI_TRY(dki_gpu_launched(cuda->gpu,
                             dki_cuda_delta(cuda->lanes[lane], cuda->base.element, op, partial),
                             "delta_kernel"));
    return op->db ? dki_cuda_add_partial(cuda, lane, out->rows, out->cols, op->db, op->accumulate,
                                         partial)
                  : DK_OK;
}

dki_epilogue dki_cuda_backward_data_epilogue(dki_way way) {
    return way == DKI_WAY_FUSED ? DKI_EPILOGUE_DGELU : DKI_EPILOGUE_NONE;
}

/* Δ_{k−1} = (Δ_k W_k) ⊙ g′(Z_{k−1}), db_{k−1} = column sums; equation (2) over a batch. */
dk_status dki_cuda_backward_data_by(dki_cuda *cuda, dki_lane lane,
                                    const dki_linear_backward_data *op, dki_way way) {
    if (way == DKI_WAY_PLAIN) return backward_data_plainly(cuda, lane, op);
    const dki_bare_product bare = {DKI_PRODUCT_DATA, op->delta, op->w, op->delta_out};
    const dki_product_extras extras = {
        .epilogue = dki_cuda_backward_data_epilogue(way),
        .aux = op->z.data,
        .aux_ld = op->z.ld,
        .processors = dki_cuda_processors(cuda, op->spare),
    };
    DKI_TRY(multiply(cuda, lane, &bare, extras));
    return op->db ? dki_cuda_sum_columns(cuda, lane, op->delta_out, op->db, op->accumulate,
                                         op->workspace)
                  : DK_OK;
}

/* DGELU reads the same z as a kernel of ours does, however forward has made it. */
dk_status dki_cuda_backward_data_way(dki_cuda *cuda, const dki_linear_backward_data *op,
                                     dki_way *way) {
    const dki_bare_product bare = {DKI_PRODUCT_DATA, op->delta, op->w, op->delta_out};
    const dki_product_extras extras = {
        .epilogue = DKI_EPILOGUE_DGELU,
        .aux = op->z.data,
        .aux_ld = op->z.ld,
        .workspace = cuda->product_workspace[DKI_LANE_MAIN],
    };
    dki_product product;
    dki_operands operands;
    bool fused = false;
    *way = DKI_WAY_PLAIN;
    if (!dki_cuda_may_fuse_gelu(cuda, &op->g, &op->z)) return DK_OK;
    dki_product_make(&cuda->rules, &bare, &extras, &product, &operands);
    DKI_TRY(dki_plans_timed_fused(cuda->plans, &product, &fused));
    if (fused) *way = DKI_WAY_FUSED;
    return DK_OK;
}

static dk_status backward_data(dki_cuda *cuda, dki_lane lane, const dki_linear_backward_data *op) {
    dki_way way = DKI_WAY_PLAIN;
    DKI_TRY(dki_cuda_backward_data_way(cuda, op, &way));
    return dki_cuda_backward_data_by(cuda, lane, op, way);
}

dk_status dki_cuda_linear_backward_data(dki_backend *backend, dki_lane lane,
                                        const dki_linear_backward_data *op) {
    dki_cuda *cuda = dki_cuda_enter(backend, "data gradient %lldx%lld", (long long)op->w.cols,
                                    (long long)op->w.rows);
    return dki_cuda_leave(cuda, backward_data(cuda, lane, op));
}

void dki_cuda_update_product(const dki_cuda *cuda, const dki_linear_backward_params *op,
                             dki_bare_product *bare, dki_product_extras *extras) {
    const dki_update_range *update = &op->update;
    dki_matrix w = op->dw;
    w.data = update->parameters + update->range.first;
    *bare = (dki_bare_product){DKI_PRODUCT_PARAMS, op->delta, op->a_in, w};
    *extras = (dki_product_extras){.accumulate = DKI_SCALE,
                                   .workspace = cuda->product_workspace[DKI_LANE_PARAMS],
                                   .scalars = update->state->product_scalars};
}

/* dW_k = Δ_kᵀ A_{k−1}; equation (3) summed over a batch. Update and decide look for what isn't
 * finite. Fused: W ← α Δᵀ A + β W at once, and the working copy behind it. */
dk_status dki_cuda_backward_params_by(dki_cuda *cuda, dki_lane lane,
                                      const dki_linear_backward_params *op, dki_way way) {
    dki_bare_product bare = {DKI_PRODUCT_PARAMS, op->delta, op->a_in, op->dw};
    dki_product_extras extras = {.accumulate = op->accumulate ? DKI_ADD : DKI_OVERWRITE};
    const bool fused = way == DKI_WAY_FUSED;
    if (fused) dki_cuda_update_product(cuda, op, &bare, &extras);
    DKI_TRY(multiply(cuda, lane, &bare, extras));
    if (!op->update.parameters || (fused && !op->update.working)) return DK_OK;
    return dki_gpu_launched(
        cuda->gpu,
        fused ? dki_cuda_settle(cuda->lanes[lane], cuda->base.element, &op->update)
              : dki_cuda_update(cuda->lanes[lane], cuda->base.element, &op->update),
        fused ? "settle_kernel" : "update_kernel");
}

/* Where a working copy is cast behind the product, that pass sees all of W. In fp32 nobody does, and
 * a NaN shows in the next step, as 0·NaN in the data gradient at the latest; which the lowest layer
 * doesn't have. */
dk_status dki_cuda_backward_params_way(dki_cuda *cuda, const dki_linear_backward_params *op,
                                       dki_way *way) {
    dki_bare_product bare;
    dki_product_extras extras;
    dki_product product;
    dki_operands operands;
    bool fused = false;
    *way = DKI_WAY_PLAIN;
    if (!op->update.parameters || op->accumulate || !dki_rule_is_linear(&op->update.rule))
        return DK_OK;
    if (op->lowest && !op->update.working) return DK_OK;
    dki_cuda_update_product(cuda, op, &bare, &extras);
    dki_product_make(&cuda->rules, &bare, &extras, &product, &operands);
    DKI_TRY(dki_plans_fused(cuda->plans, &product, DKI_QUESTION_UPDATE, &fused));
    if (fused) *way = DKI_WAY_FUSED;
    return DK_OK;
}

static dk_status backward_params(dki_cuda *cuda, dki_lane lane,
                                 const dki_linear_backward_params *op) {
    dki_way way = DKI_WAY_PLAIN;
    DKI_TRY(dki_cuda_backward_params_way(cuda, op, &way));
    return dki_cuda_backward_params_by(cuda, lane, op, way);
}

dk_status dki_cuda_linear_backward_params(dki_backend *backend, dki_lane lane,
                                          const dki_linear_backward_params *op) {
    dki_cuda *cuda = dki_cuda_enter(backend, "weight gradient %lldx%lld", (long long)op->dw.cols,
                                    (long long)op->dw.rows);
    return dki_cuda_leave(cuda, backward_params(cuda, lane, op));
}

static dk_status multiply_as_guessed(dki_cuda *cuda, dki_lane lane, const dki_bare_product *bare) {
    const dki_product_extras extras = {.workspace = take_workspace(cuda, lane)};
    dki_product product;
    dki_operands operands;
    dki_algorithm algorithm;
    int count = 0;
    dki_product_make(&cuda->rules, bare, &extras, &product, &operands);
    DKI_TRY(dki_product_validate(&product, &operands));
    DKI_TRY(dki_gpu_algorithms(cuda->gpu, &product, &algorithm, 1, &count));
    DKI_REQUIRE(count > 0, DK_E_UNSUPPORTED, "cuBLASLt has no algorithm for this product");
    return dki_gpu_multiply(cuda->gpu, cuda->lanes[lane], &product, &algorithm, &operands);
}

/* Method 0: the algorithm that a step takes; method 1: the library's first guess. */
dk_status dki_cuda_bare_product(dki_backend *backend, dki_lane lane, int method,
                                const dki_bare_product *product) {
    if (method > 1) return DK_E_UNSUPPORTED;
    dki_cuda *cuda = dki_cuda_enter(backend, "product");
    const dki_product_extras none = {.epilogue = DKI_EPILOGUE_NONE};
    return dki_cuda_leave(cuda, method == 0 ? multiply(cuda, lane, product, none)
                                            : multiply_as_guessed(cuda, lane, product));
}
