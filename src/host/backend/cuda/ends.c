/* What comes before, between and after the layers: one launcher or two each. */
#include "backend/cuda/cuda.h"
#include "base/error.h"

dk_status dki_cuda_gather_batch(dki_backend *backend, dki_lane lane, const dki_gather *op) {
    dki_cuda *cuda =
        dki_cuda_enter(backend, "gather %lldx%lld", (long long)op->x.rows, (long long)op->x.cols);
    const int code = dki_cuda_gather(cuda->lanes[lane], cuda->base.element, op);
    return dki_cuda_leave(cuda, dki_gpu_launched(cuda->gpu, code, "gather_kernel"));
}

/* The workspace holds the rows' losses, then the partial sums of δ⁽ᴸ⁾'s columns. */
static dk_status loss(dki_cuda *cuda, dki_lane lane, const dki_loss *op) {
    const dki_stream stream = cuda->lanes[lane];
    const int64_t rows = op->a.rows;
    double *row_loss = op->workspace;
    DKI_TRY(dki_gpu_launched(cuda->gpu, dki_cuda_loss(stream, cuda->base.element, op, row_loss),
                             "loss_kernel"));
    DKI_TRY(dki_gpu_launched(cuda->gpu, dki_cuda_loss_total(stream, op->state, row_loss, rows),
                             "loss_total_kernel"));
    return op->db ? dki_cuda_sum_columns(cuda, lane, op->delta, op->db, op->accumulate,
                                         row_loss + rows)
                  : DK_OK;
}

dk_status dki_cuda_loss_and_delta(dki_backend *backend, dki_lane lane, const dki_loss *op) {
    dki_cuda *cuda =
        dki_cuda_enter(backend, "loss %lldx%lld", (long long)op->a.rows, (long long)op->a.cols);
    return dki_cuda_leave(cuda, loss(cuda, lane, op));
}

dk_status dki_cuda_update_parameters(dki_backend *backend, dki_lane lane,
                                     const dki_update_range *op) {
    dki_cuda *cuda = dki_cuda_enter(backend, "update %lld", (long long)op->range.count);
    if (op->range.count == 0) return dki_cuda_leave(cuda, DK_OK);
    const int code = dki_cuda_update(cuda->lanes[lane], cuda->base.element, op);
    return dki_cuda_leave(cuda, dki_gpu_launched(cuda->gpu, code, "update_kernel"));
}

dk_status dki_cuda_cast_parameters(dki_backend *backend, dki_lane lane, const dki_cast *op) {
    dki_cuda *cuda = dki_cuda_enter(backend, "cast %lld", (long long)op->range.count);
    if (op->range.count == 0) return dki_cuda_leave(cuda, DK_OK);
    const size_t offset = (size_t)op->range.first * dki_element_bytes(cuda->base.element);
    const int code =
        dki_cuda_cast(cuda->lanes[lane], cuda->base.element, op->parameters + op->range.first,
                      (char *)op->working + offset, op->range.count);
    return dki_cuda_leave(cuda, dki_gpu_launched(cuda->gpu, code, "cast_kernel"));
}

dk_status dki_cuda_initialise_weights(dki_backend *backend, dki_lane lane,
                                      const dki_initialise *op) {
    dki_cuda *cuda = dki_cuda_enter(backend, "initialise %lldx%lld", (long long)op->w.rows,
                                    (long long)op->w.cols);
    const int code = dki_cuda_initialise(cuda->lanes[lane], op);
    return dki_cuda_leave(cuda, dki_gpu_launched(cuda->gpu, code, "initialise_kernel"));
}

dk_status dki_cuda_begin_step(dki_backend *backend, dki_lane lane, const dki_begin *op) {
    dki_cuda *cuda = dki_cuda_enter(backend, "begin");
    const int code = dki_cuda_begin(cuda->lanes[lane], op);
    return dki_cuda_leave(cuda, dki_gpu_launched(cuda->gpu, code, "begin_kernel"));
}

/* The partial sums of all ranges lie behind one another, and are added in that order. */
static dk_status decide(dki_cuda *cuda, dki_lane lane, const dki_decide *op) {
    const dki_stream stream = cuda->lanes[lane];
    double *partial = op->workspace;
    int64_t pieces = 0;
    for (size_t i = 0; i < op->range_count; ++i) {
        const dki_range range = op->ranges[i];
        if (range.count == 0) continue;
        DKI_TRY(dki_gpu_launched(cuda->gpu,
                                 dki_cuda_square_sums(stream, op->gradients + range.first,
                                                      range.count, partial + pieces),
                                 "square_sums_kernel"));
        pieces += (range.count + DKI_NORM_PIECE - 1) / DKI_NORM_PIECE;
    }
    return dki_gpu_launched(cuda->gpu, dki_cuda_decide(stream, op, partial, pieces),
                            "decide_kernel");
}

dk_status dki_cuda_decide_step(dki_backend *backend, dki_lane lane, const dki_decide *op) {
    dki_cuda *cuda = dki_cuda_enter(backend, "decide");
    return dki_cuda_leave(cuda, decide(cuda, lane, op));
}
