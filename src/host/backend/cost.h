/* The cost of a step's operations: the bytes that any backend has to move, operand by operand, each
 * once. What a backend does beside (a second pass over a matrix, partial sums) it adds itself. */
#ifndef DKI_COST_H
#define DKI_COST_H

#include "backend/backend.h"

static inline double dki_matrix_elements(const dki_matrix *matrix) {
    return (double)matrix->rows * (double)matrix->cols;
}

static inline void dki_cost_add(dki_cost *cost, int launches, double read, double written) {
    cost->launches += launches;
    cost->read += read;
    cost->written += written;
}

/** Of an operation without a product. */
static inline dki_cost dki_cost_of(int launches, double read, double written) {
    const dki_cost cost = {0.0, read, written, launches};
    return cost;
}

/** 2·rows·cols·depth. */
static inline double dki_product_flops(const dki_bare_product *product) {
    const int64_t depth = product->kind == DKI_PRODUCT_PARAMS ? product->a.rows : product->a.cols;
    return 2.0 * dki_matrix_elements(&product->out) * (double)depth;
}

/** One launch: A and B of s bytes an element are read, out is written (and read, where it is added
 *  to). */
static inline dki_cost dki_product_cost(const dki_bare_product *product, size_t s, size_t s_out,
                                        bool accumulate) {
    const double out = (double)s_out * dki_matrix_elements(&product->out);
    const double in =
        (double)s * (dki_matrix_elements(&product->a) + dki_matrix_elements(&product->b));
    return (dki_cost){dki_product_flops(product), accumulate ? in + out : in, out, 1};
}

/** Of a weight gradient: dW is fp32. */
static inline dki_cost dki_params_cost(const dki_linear_backward_params *op, size_t s) {
    const dki_bare_product product = {DKI_PRODUCT_PARAMS, op->delta, op->a_in, op->dw};
    return dki_product_cost(&product, s, sizeof(float), op->accumulate);
}

/** Each row of the batch: its place in the order, its features, label, targets and weight; all but
 *  the first are written again, the features in s bytes an element. */
static inline dki_cost dki_gather_cost(const dki_gather *op, size_t s) {
    const double source = (double)dki_dtype_bytes(op->type);
    const double rows = (double)op->x.rows;
    const double targets =
        op->targets_in ? (double)op->target_cols : 0.0; /* doubles in, floats out */
    const double answers = (op->labels_in ? 4.0 : 0.0) + (op->weights_in ? 4.0 : 0.0);
    const double features = dki_matrix_elements(&op->x);
    return dki_cost_of(
        1, source * features + rows * ((op->order ? 8.0 : 0.0) + answers + 8.0 * targets),
        (double)s * features + rows * (answers + 4.0 * targets));
}

/** z or a, once each, and what it is compared with; δ⁽ᴸ⁾, and a double for each row's loss. The
 *  softmax looks at z alone. */
static inline dki_cost dki_loss_cost(const dki_loss *op, size_t s) {
    const double rows = (double)op->a.rows, elements = dki_matrix_elements(&op->a);
    const bool softmax = op->rule.kind == DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    const bool both = !softmax && op->z.data && op->delta.data && op->g.kind != DK_IDENTITY;
    const double targets = op->targets ? 4.0 * elements : 4.0 * rows;
    const double weights = op->weights ? 4.0 * rows : 0.0;
    const double classes = op->rule.class_weights ? 4.0 * (double)op->a.cols : 0.0;
    return dki_cost_of(1, (both ? 2.0 : 1.0) * (double)s * elements + targets + weights + classes,
                       (op->delta.data ? (double)s * elements : 0.0) + 8.0 * rows);
}

/** θ and the slots are read and written, g is read; the working copy of s bytes is written. */
static inline dki_cost dki_update_cost(const dki_update_range *op, size_t s) {
    const double count = (double)op->range.count;
    const double both = 4.0 + (op->slot1 ? 4.0 : 0.0) + (op->slot2 ? 4.0 : 0.0);
    return dki_cost_of(op->range.count ? 1 : 0, count * (both + 4.0),
                       count * (both + (op->working ? (double)s : 0.0)));
}

/** The state is read and written; a tick is read, a report left. */
static inline dki_cost dki_begin_cost(int launches) {
    return dki_cost_of(launches, sizeof(dki_step_state) + sizeof(dki_tick),
                       sizeof(dki_step_state) + sizeof(dki_report));
}

/** Every gradient, once. */
static inline dki_cost dki_decide_cost(const dki_decide *op) {
    dki_cost cost = dki_cost_of(0, 0.0, 0.0);
    for (size_t i = 0; i < op->range_count; ++i)
        if (op->ranges[i].count) dki_cost_add(&cost, 1, 4.0 * (double)op->ranges[i].count, 0.0);
    return cost;
}

#endif
