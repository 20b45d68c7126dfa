/* What the CPU's operations cost. Bias, activation, g′ and column sums are computed on a tile that is
 * in the cache anyway, so they move only what wasn't there: z where it is kept, and what g′ is taken
 * from. The partial sums of tiles stay in the cache, too. */
#include "backend/cost.h"
#include "backend/cpu/cpu.h"

enum { FLOAT = sizeof(float) };

/* z⁽ᵏ⁾ is written beside a⁽ᵏ⁾ where it is kept; the bias is read. */
static dki_cost forward_cost(const dki_linear_forward *op, size_t s) {
    const dki_bare_product product = {DKI_PRODUCT_FORWARD, op->a_in, op->w, op->a_out};
    dki_cost cost = dki_product_cost(&product, s, s, false);
    const bool separate = op->z.data && op->z.data != op->a_out.data;
    dki_cost_add(&cost, 0, FLOAT * (double)op->a_out.cols,
                 separate ? (double)s * dki_matrix_elements(&op->z) : 0.0);
    return cost;
}

/* g′ takes one matrix more; db is written, and read where it is added to. */
static dki_cost backward_data_cost(const dki_linear_backward_data *op, size_t s) {
    const dki_bare_product product = {DKI_PRODUCT_DATA, op->delta, op->w, op->delta_out};
    dki_cost cost = dki_product_cost(&product, s, s, false);
    const double saved =
        op->g.kind == DK_IDENTITY ? 0.0 : (double)s * dki_matrix_elements(&op->delta_out);
    const double db = op->db ? FLOAT * (double)op->delta_out.cols : 0.0;
    dki_cost_add(&cost, 0, saved + (op->accumulate ? db : 0.0), db);
    return cost;
}

static dki_cost loss_cost(const dki_loss *op, size_t s) {
    dki_cost cost = dki_loss_cost(op, s);
    const double db = op->db ? FLOAT * (double)op->a.cols : 0.0;
    dki_cost_add(&cost, 0, op->accumulate ? db : 0.0, db);
    return cost;
}

dk_status dki_cpu_cost(dki_backend *backend, const dki_operation *operation, dki_cost *cost) {
    const size_t s = dki_element_bytes(backend->element);
    *cost = dki_cost_of(0, 0.0, 0.0);
    switch (operation->kind) {
    case DKI_OPERATION_GATHER:
        *cost = dki_gather_cost(&operation->as.gather, s);
        break;
    case DKI_OPERATION_BEGIN:
        *cost = dki_begin_cost(0);
        break;
    case DKI_OPERATION_FORWARD:
        *cost = forward_cost(&operation->as.forward, s);
        break;
    case DKI_OPERATION_LOSS:
        *cost = loss_cost(&operation->as.loss, s);
        break;
    case DKI_OPERATION_BACKWARD_DATA:
        *cost = backward_data_cost(&operation->as.backward_data, s);
        break;
    case DKI_OPERATION_BACKWARD_PARAMS:
        *cost = dki_params_cost(&operation->as.backward_params, s);
        break;
    case DKI_OPERATION_DECIDE:
        *cost = dki_decide_cost(&operation->as.decide);
        break;
    case DKI_OPERATION_UPDATE:
        *cost = dki_update_cost(&operation->as.update, s);
        break;
    case DKI_OPERATION_ORDER:
        break;
    }
    return DK_OK;
}
