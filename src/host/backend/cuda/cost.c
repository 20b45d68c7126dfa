/* What the GPU's operations cost by the ways that the plans say: a product with its epilogue, or a
 * product and kernels of ours. s is the storage type's size; the state and other scalars aren't
 * counted but where nothing else moves. */
#include "backend/cost.h"
#include "backend/cuda/cuda.h"
#include "base/error.h"

enum { FLOAT = sizeof(float), DOUBLE = sizeof(double) };

static size_t size_of(const dki_cuda *cuda) {
    return dki_element_bytes(cuda->base.element);
}

/* sums.cu: db (+)= the partial sums of tiles·cols floats. */
static void add_partial_cost(dki_cost *cost, int64_t rows, int64_t cols, bool accumulate) {
    const double db = FLOAT * (double)cols;
    dki_cost_add(cost, 1, db * (double)dki_sum_tiles(rows) + (accumulate ? db : 0.0), db);
}

/* sums.cu: the matrix is read once more, a sum for each tile and column is written. */
static void sum_columns_cost(dki_cost *cost, const dki_matrix *x, size_t s, bool accumulate) {
    dki_cost_add(cost, 1, (double)s * dki_matrix_elements(x),
                 FLOAT * (double)dki_sum_tiles(x->rows) * (double)x->cols);
    add_partial_cost(cost, x->rows, x->cols, accumulate);
}

/* An epilogue adds the bias, and (GELU's) z; activation.cu reads the product again, writes a, and z
 * where that is kept. */
static dk_status forward_cost(dki_cuda *cuda, const dki_linear_forward *op, dki_cost *cost) {
    const dki_bare_product product = {DKI_PRODUCT_FORWARD, op->a_in, op->w, op->a_out};
    const size_t s = size_of(cuda);
    const double out = (double)s * dki_matrix_elements(&op->a_out);
    const double width = (double)op->a_out.cols;
    dki_way way = DKI_WAY_PLAIN;
    DKI_TRY(dki_cuda_forward_way(cuda, op, &way));
    *cost = dki_product_cost(&product, s, s, false);
    if (way == DKI_WAY_PLAIN)
        dki_cost_add(cost, 1, out + FLOAT * width, op->z.data ? 2.0 * out : out);
    else
        dki_cost_add(cost, 0, (double)s * width, op->z.data ? out : 0.0);
    return DK_OK;
}

/* delta.cu: the product and what g′ is taken from are read, δ and its partial sums written. */
static void delta_cost(const dki_linear_backward_data *op, size_t s, dki_cost *cost) {
    const double out = (double)s * dki_matrix_elements(&op->delta_out);
    const double partial =
        FLOAT * (double)dki_sum_tiles(op->delta_out.rows) * (double)op->delta_out.cols;
    dki_cost_add(cost, 1, op->g.kind == DK_IDENTITY ? out : 2.0 * out,
                 op->db ? out + partial : out);
    if (op->db) add_partial_cost(cost, op->delta_out.rows, op->delta_out.cols, op->accumulate);
}

static dk_status backward_data_cost(dki_cuda *cuda, const dki_linear_backward_data *op,
                                    dki_cost *cost) {
    const dki_bare_product product = {DKI_PRODUCT_DATA, op->delta, op->w, op->delta_out};
    const size_t s = size_of(cuda);
    const dki_matrix *out = &op->delta_out;
    dki_way way = DKI_WAY_PLAIN;
    DKI_TRY(dki_cuda_backward_data_way(cuda, op, &way));
    *cost = dki_product_cost(&product, s, s, false);
    if (way == DKI_WAY_PLAIN && !dki_cuda_is_plain_identity(&op->g)) {
        delta_cost(op, s, cost);
        return DK_OK;
    }
    if (way == DKI_WAY_FUSED)
        dki_cost_add(cost, 0, (double)s * dki_matrix_elements(out), 0.0); /* z, for GELU's g′ */
    if (op->db) sum_columns_cost(cost, out, s, op->accumulate);
    return DK_OK;
}

/* In the product, the update reads and writes W where dW would be written; what it left is read again
 * for the working copy (cast.cu). Behind the product it is update.cu's. */
static dk_status params_cost(dki_cuda *cuda, const dki_linear_backward_params *op, dki_cost *cost) {
    const dki_update_range *update = &op->update;
    const size_t s = size_of(cuda);
    const double count = (double)update->range.count;
    dki_way way = DKI_WAY_PLAIN;
    DKI_TRY(dki_cuda_backward_params_way(cuda, op, &way));
    *cost = dki_params_cost(op, s);
    if (way == DKI_WAY_FUSED) {
        dki_cost_add(cost, 0, FLOAT * dki_matrix_elements(&op->dw), 0.0);
        if (update->working) dki_cost_add(cost, 1, FLOAT * count, (double)s * count);
    } else if (update->parameters) {
        const dki_cost behind = dki_update_cost(update, s);
        dki_cost_add(cost, behind.launches, behind.read, behind.written);
    }
    return DK_OK;
}

/* loss.cu and the sum over its rows. */
static dki_cost loss_cost(const dki_loss *op, size_t s) {
    dki_cost cost = dki_loss_cost(op, s);
    dki_cost_add(&cost, 1, DOUBLE * (double)op->a.rows, 0.0);
    if (op->db) sum_columns_cost(&cost, &op->delta, s, op->accumulate);
    return cost;
}

/* norm.cu leaves a double for each piece, which state.cu adds. */
static dki_cost decide_cost(const dki_decide *op) {
    dki_cost cost = dki_decide_cost(op);
    int64_t pieces = 0;
    for (size_t i = 0; i < op->range_count; ++i)
        pieces += (op->ranges[i].count + DKI_NORM_PIECE - 1) / DKI_NORM_PIECE;
    dki_cost_add(&cost, 1, DOUBLE * (double)pieces, DOUBLE * (double)pieces);
    return cost;
}

/* At a cursor, a kernel of its own moves that on. */
static dki_cost gather_cost(const dki_gather *op, size_t s) {
    dki_cost cost = dki_gather_cost(op, s);
    if (op->at_cursor) dki_cost_add(&cost, 1, 0.0, 0.0);
    return cost;
}

static dk_status operation_cost(dki_cuda *cuda, const dki_operation *operation, dki_cost *cost) {
    const size_t s = size_of(cuda);
    *cost = dki_cost_of(0, 0.0, 0.0);
    switch (operation->kind) {
    case DKI_OPERATION_GATHER:
        *cost = gather_cost(&operation->as.gather, s);
        break;
    case DKI_OPERATION_BEGIN:
        *cost = dki_begin_cost(1);
        break;
    case DKI_OPERATION_FORWARD:
        return forward_cost(cuda, &operation->as.forward, cost);
    case DKI_OPERATION_LOSS:
        *cost = loss_cost(&operation->as.loss, s);
        break;
    case DKI_OPERATION_BACKWARD_DATA:
        return backward_data_cost(cuda, &operation->as.backward_data, cost);
    case DKI_OPERATION_BACKWARD_PARAMS:
        return params_cost(cuda, &operation->as.backward_params, cost);
    case DKI_OPERATION_DECIDE:
        *cost = decide_cost(&operation->as.decide);
        break;
    case DKI_OPERATION_UPDATE:
        *cost = dki_update_cost(&operation->as.update, s);
        break;
    case DKI_OPERATION_ORDER:
        break;
    }
    return DK_OK;
}

dk_status dki_cuda_cost(dki_backend *backend, const dki_operation *operation, dki_cost *cost) {
    dki_cuda *cuda = dki_cuda_enter(backend, "cost");
    return dki_cuda_leave(cuda, operation_cost(cuda, operation, cost));
}
