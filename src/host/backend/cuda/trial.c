/* A layer on scratch memory. */
#include "backend/cuda/trial.h"
#include "base/memory.h"

/* Past this many bytes, no L2 cache holds what came first; more than a few copies would be unlike a
 * step, whose small tensors do stay in the cache. */
enum { ROTATED_BYTES = 128 << 20, MOST_COPIES = 4, ITEM_ALIGNMENT = 256 };

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static bool keeps_z(const dki_layer_shape *layer) {
    return layer && layer->activation != DK_IDENTITY && layer->activation != DK_RELU;
}

/* Lays one item behind the others. */
static bool place(dki_trial_layer *trial, dki_trial_item item, int64_t rows, int64_t ld,
                  size_t element) {
    size_t bytes = 0;
    trial->at[item] = trial->stride;
    return dki_mul((size_t)rows, (size_t)ld, &bytes) && dki_mul(bytes, element, &bytes) &&
           dki_round_up(bytes, ITEM_ALIGNMENT, &bytes) &&
           dki_add(trial->stride, bytes, &trial->stride);
}

static bool place_all(dki_trial_layer *trial) {
    const dki_cuda *cuda = trial->cuda;
    const int64_t rows = trial->shape.rows, inputs = trial->shape.layer->inputs,
                  width = trial->shape.layer->width, widest = larger(inputs, width);
    const int64_t x_ld = dki_leading(&cuda->base, inputs), y_ld = dki_leading(&cuda->base, width);
    const int64_t z_rows = keeps_z(trial->shape.layer) || keeps_z(trial->shape.below) ? rows : 0;
    const size_t element = dki_element_bytes(cuda->base.element);
    const int64_t updated = trial->shape.rule ? width : 0, states = trial->shape.rule ? 1 : 0;
    return place(trial, DKI_TRIAL_X, rows, x_ld, element) &&
           place(trial, DKI_TRIAL_W, width, x_ld, element) &&
           place(trial, DKI_TRIAL_Y, rows, y_ld, element) &&
           place(trial, DKI_TRIAL_DX, rows, x_ld, element) &&
           place(trial, DKI_TRIAL_Z, z_rows, larger(x_ld, y_ld), element) &&
           place(trial, DKI_TRIAL_DW, width, x_ld, sizeof(float)) &&
           place(trial, DKI_TRIAL_B, 1, width, sizeof(float)) &&
           place(trial, DKI_TRIAL_B_WORKING, 1, width, element) &&
           place(trial, DKI_TRIAL_DB, 1, widest, sizeof(float)) &&
           place(trial, DKI_TRIAL_MASTER, updated, x_ld, sizeof(float)) &&
           place(trial, DKI_TRIAL_MASTER_WORKING, updated, x_ld, element) &&
           place(trial, DKI_TRIAL_STATE, states, 1, sizeof(dki_step_state)) &&
           place(trial, DKI_TRIAL_WORKSPACE, 1, (int64_t)dki_cuda_sums_bytes(rows, widest), 1);
}

dk_status dki_trial_lay_out(dki_trial_layer *trial, dki_cuda *cuda, const dki_trial_shape *shape) {
    *trial = (dki_trial_layer){.cuda = cuda, .shape = *shape};
    DKI_REQUIRE(place_all(trial), DK_E_MEMORY, "memory to time a layer in: its size overflows");
    const size_t copies = ROTATED_BYTES / trial->stride + 1;
    trial->copies = copies < MOST_COPIES ? (int)copies : MOST_COPIES;
    DKI_REQUIRE(dki_mul((size_t)trial->copies, trial->stride, &trial->bytes), DK_E_MEMORY,
                "memory to time a layer in: its size overflows");
    return DK_OK;
}

/* Before memory is there, an address of the same alignment. */
static void *item(const dki_trial_layer *trial, int copy, dki_trial_item which) {
    return (void *)((uintptr_t)trial->memory + (size_t)copy * trial->stride + trial->at[which]);
}

/* A random state would be one that is latched, and its update would do nothing. The scalars stay
 * random: a β of 0 would spare the product the reading of D. */
static dk_status clear_states(const dki_trial_layer *trial) {
    dki_cuda *cuda = trial->cuda;
    for (int copy = 0; trial->shape.rule && copy < trial->copies; ++copy)
        DKI_TRY(dki_gpu_zero(cuda->gpu, cuda->lanes[DKI_LANE_PARAMS],
                             item(trial, copy, DKI_TRIAL_STATE),
                             offsetof(dki_step_state, product_scalars)));
    return DK_OK;
}

dk_status dki_trial_allocate(dki_trial_layer *trial) {
    dki_cuda *cuda = trial->cuda;
    if (trial->memory) return DK_OK;
    DKI_TRY(dki_gpu_alloc(cuda->gpu, trial->bytes, &trial->memory));
    dk_status status = dki_fill_random(cuda->gpu, cuda->lanes[DKI_LANE_PARAMS], cuda->base.element,
                                       trial->memory, trial->bytes);
    if (!status) status = clear_states(trial);
    if (status) dki_trial_close(trial);
    return status;
}

void dki_trial_close(dki_trial_layer *trial) {
    if (trial->memory) dki_gpu_free(trial->cuda->gpu, trial->memory);
    trial->memory = NULL;
}

static dki_matrix matrix(const dki_trial_layer *trial, int copy, dki_trial_item which, int64_t rows,
                         int64_t cols) {
    return (dki_matrix){item(trial, copy, which), rows, cols,
                        dki_leading(&trial->cuda->base, cols)};
}

static dki_matrix matrix_x(const dki_trial_layer *trial, int copy, dki_trial_item which) {
    return matrix(trial, copy, which, trial->shape.rows, trial->shape.layer->inputs);
}

static dki_matrix matrix_y(const dki_trial_layer *trial, int copy) {
    return matrix(trial, copy, DKI_TRIAL_Y, trial->shape.rows, trial->shape.layer->width);
}

/* Z of the layer whose output has `cols` columns; absent where its g′ needs none. */
static dki_matrix matrix_z(const dki_trial_layer *trial, int copy, const dki_layer_shape *layer,
                           int64_t cols) {
    dki_matrix z = matrix(trial, copy, DKI_TRIAL_Z, trial->shape.rows, cols);
    if (!keeps_z(layer)) z.data = NULL;
    return z;
}

static dki_matrix matrix_w(const dki_trial_layer *trial, int copy, dki_trial_item which) {
    return matrix(trial, copy, which, trial->shape.layer->width, trial->shape.layer->inputs);
}

dki_linear_forward dki_trial_forward(const dki_trial_layer *trial, int copy) {
    const bool narrow = trial->cuda->base.element != DKI_ELEMENT_F32;
    return (dki_linear_forward){
        .a_in = matrix_x(trial, copy, DKI_TRIAL_X),
        .w = matrix_w(trial, copy, DKI_TRIAL_W),
        .b = item(trial, copy, DKI_TRIAL_B),
        .b_working = narrow ? item(trial, copy, DKI_TRIAL_B_WORKING) : NULL,
        .z = matrix_z(trial, copy, trial->shape.layer, trial->shape.layer->width),
        .a_out = matrix_y(trial, copy),
        .g = {.kind = trial->shape.layer->activation},
        .workspace = item(trial, copy, DKI_TRIAL_WORKSPACE),
    };
}

dki_linear_backward_data dki_trial_backward_data(const dki_trial_layer *trial, int copy) {
    return (dki_linear_backward_data){
        .delta = matrix_y(trial, copy),
        .w = matrix_w(trial, copy, DKI_TRIAL_W),
        .z = matrix_z(trial, copy, trial->shape.below, trial->shape.layer->inputs),
        .a = matrix_x(trial, copy, DKI_TRIAL_X),
        .g = {.kind = trial->shape.below->activation},
        .delta_out = matrix_x(trial, copy, DKI_TRIAL_DX),
        .db = item(trial, copy, DKI_TRIAL_DB),
        .workspace = item(trial, copy, DKI_TRIAL_WORKSPACE),
    };
}

static dki_update_range update_of(const dki_trial_layer *trial, int copy) {
    const dki_matrix dw = matrix_w(trial, copy, DKI_TRIAL_DW);
    const bool narrow = trial->cuda->base.element != DKI_ELEMENT_F32;
    return (dki_update_range){
        .parameters = item(trial, copy, DKI_TRIAL_MASTER),
        .gradients = dw.data,
        .working = narrow ? item(trial, copy, DKI_TRIAL_MASTER_WORKING) : NULL,
        .range = {0, dw.rows * dw.ld},
        .rule = *trial->shape.rule,
        .decay = trial->shape.rule->weight_decay,
        .state = item(trial, copy, DKI_TRIAL_STATE),
    };
}

dki_linear_backward_params dki_trial_backward_params(const dki_trial_layer *trial, int copy,
                                                     bool update) {
    dki_linear_backward_params op = {
        .delta = matrix_y(trial, copy),
        .a_in = matrix_x(trial, copy, DKI_TRIAL_X),
        .dw = matrix_w(trial, copy, DKI_TRIAL_DW),
        .workspace = item(trial, copy, DKI_TRIAL_WORKSPACE),
    };
    if (update) op.update = update_of(trial, copy);
    return op;
}

static dki_bare_product bare_of(const dki_trial_layer *trial, int copy, dki_product_kind kind) {
    const dki_matrix x = matrix_x(trial, copy, DKI_TRIAL_X), y = matrix_y(trial, copy);
    const dki_matrix w = matrix_w(trial, copy, DKI_TRIAL_W);
    switch (kind) {
    case DKI_PRODUCT_FORWARD:
        return (dki_bare_product){kind, x, w, y};
    case DKI_PRODUCT_DATA:
        return (dki_bare_product){kind, y, w, matrix_x(trial, copy, DKI_TRIAL_DX)};
    default:
        return (dki_bare_product){kind, y, x, matrix_w(trial, copy, DKI_TRIAL_DW)};
    }
}

/* What an epilogue takes beside the product's operands. */
static void add_epilogue(const dki_trial_layer *trial, int copy, int64_t out_ld,
                         dki_product_extras *extras) {
    const dki_linear_forward forward = dki_trial_forward(trial, copy);
    const bool gradient = dki_epilogue_has_bias_gradient(extras->epilogue);
    if (dki_epilogue_has_bias(extras->epilogue))
        extras->bias = gradient ? item(trial, copy, DKI_TRIAL_DB)
                                : dki_cuda_epilogue_bias(trial->cuda, &forward);
    if (!dki_epilogue_has_aux(extras->epilogue)) return;
    extras->aux = item(trial, copy, DKI_TRIAL_Z);
    extras->aux_ld = out_ld;
}

void dki_trial_product(const dki_trial_layer *trial, int copy, dki_product_kind kind,
                       dki_epilogue epilogue, dki_product *product, dki_operands *operands) {
    const dki_bare_product bare = bare_of(trial, copy, kind);
    dki_product_extras extras = {
        .epilogue = epilogue,
        .workspace = trial->cuda->product_workspace[DKI_LANE_PARAMS],
    };
    add_epilogue(trial, copy, bare.out.ld, &extras);
    dki_product_make(&trial->cuda->rules, &bare, &extras, product, operands);
}

void dki_trial_update_product(const dki_trial_layer *trial, int copy, dki_product *product,
                              dki_operands *operands) {
    const dki_linear_backward_params op = dki_trial_backward_params(trial, copy, true);
    dki_bare_product bare;
    dki_product_extras extras;
    dki_cuda_update_product(trial->cuda, &op, &bare, &extras);
    dki_product_make(&trial->cuda->rules, &bare, &extras, product, operands);
}
