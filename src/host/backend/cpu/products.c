/* The three products of a layer, each with its pointwise work done on a tile while it is in cache;
 * where tiles are bf16, in bf16.c.
 */
#include "backend/cpu/bf16.h"
#include "base/error.h"
#include "base/thread.h"

#include <omp.h>

static float *at(const dki_matrix *matrix, int64_t row, int64_t col) {
    return (float *)matrix->data + row * matrix->ld + col;
}

static bool is_bf16(const dki_product_job *job) {
    return job->cpu->base.element == DKI_ELEMENT_BF16;
}

static dk_status require_done(bool done, const dki_bare_product *product) {
    DKI_REQUIRE(done, DK_E_MEMORY,
                "oneDNN found no memory to pack a product of %lld × %lld by %lld × %lld",
                (long long)product->a.rows, (long long)product->a.cols, (long long)product->b.rows,
                (long long)product->b.cols);
    return DK_OK;
}

/* oneDNN's kernels of deep products point the stack pointer into their scratch memory: the frame of a signal
 * that is handled meanwhile would be written over whatever lies below that in the heap. The pool's own
 * threads take none. */
static dk_status run_tiles(dki_product_job *job, dki_piece piece) {
    sigset_t signals;
    dki_signals_hold(&signals);
    dki_pool_run(job->cpu->pool, piece, job, dki_grid_tiles(&job->grid));
    dki_signals_release(&signals);
    return require_done(!atomic_load(&job->failed), &job->product);
}

/* The bare product of one tile, which is then still in cache. */
static dki_tile multiply(dki_product_job *job, int64_t index) {
    dki_tile tile = dki_grid_tile(&job->grid, index);
    const bool done = is_bf16(job) ? dki_bf16_product(job, &tile)
                                   : dki_tile_product(&job->product, &tile, job->beta);
    if (!done) atomic_store(&job->failed, true);
    return tile;
}

static void forward_tile(void *argument, int64_t index) {
    dki_product_job *job = argument;
    const dki_linear_forward *op = job->op;
    const dki_matrix *z = &job->product.out;
    dki_tile tile = multiply(job, index);
    dki_forward_tile work = {.rows = tile.rows,
                             .cols = tile.cols,
                             .z = at(z, tile.row, tile.col),
                             .z_ld = z->ld,
                             .a = at(&op->a_out, tile.row, tile.col),
                             .a_ld = op->a_out.ld,
                             .b = op->b + tile.col,
                             .g = op->g,
                             .origin = dki_mask_origin_of(op->state, &op->g, &tile)};
    job->cpu->loops->forward(&work);
}

/* z⁽ᵏ⁾ = W⁽ᵏ⁾ a⁽ᵏ⁻¹⁾ + b⁽ᵏ⁾, a⁽ᵏ⁾ = g⁽ᵏ⁾(z⁽ᵏ⁾) */
dk_status dki_cpu_forward(dki_backend *backend, dki_lane lane, const dki_linear_forward *op) {
    (void)lane;
    dki_matrix z = op->z.data ? op->z : op->a_out;
    dki_bare_product product = {DKI_PRODUCT_FORWARD, op->a_in, op->w, z};
    dki_product_job job = dki_product_job_of(dki_cpu_of(backend), product, op);
    if (!is_bf16(&job)) return run_tiles(&job, forward_tile);
    DKI_TRY(dki_bf16_plan(&job, DKI_INTO_SCRATCH));
    return run_tiles(&job, dki_bf16_forward_tile);
}

static void data_tile(void *argument, int64_t index) {
    dki_product_job *job = argument;
    const dki_linear_backward_data *op = job->op;
    const dki_matrix *saved = op->z.data ? &op->z : &op->a, *out = &op->delta_out;
    dki_tile tile = multiply(job, index);
    float *sums = job->sums ? job->sums + tile.row_tile * out->cols + tile.col : NULL;
    dki_backward_tile work = {.rows = tile.rows,
                              .cols = tile.cols,
                              .delta = at(out, tile.row, tile.col),
                              .delta_ld = out->ld,
                              .saved = saved->data ? at(saved, tile.row, tile.col) : NULL,
                              .saved_ld = saved->ld,
                              .g = op->g,
                              .origin = dki_mask_origin_of(op->state, &op->g, &tile),
                              .sums = sums};
    job->cpu->loops->backward(&work);
}

/* Δ_{k−1} = (Δ_k W_k) ⊙ g′(Z_{k−1}), db_{k−1} = column sums; equation (2) over a batch. The sums of
 * each tile of rows lie in the workspace and are added in order. */
dk_status dki_cpu_backward_data(dki_backend *backend, dki_lane lane,
                                const dki_linear_backward_data *op) {
    (void)lane;
    dki_bare_product product = {DKI_PRODUCT_DATA, op->delta, op->w, op->delta_out};
    dki_product_job job = dki_product_job_of(dki_cpu_of(backend), product, op);
    job.sums = op->db ? op->workspace : NULL;
    if (is_bf16(&job)) DKI_TRY(dki_bf16_plan(&job, DKI_INTO_SCRATCH));
    DKI_TRY(run_tiles(&job, is_bf16(&job) ? dki_bf16_data_tile : data_tile));
    if (op->db && !dki_cpu_add_sums(job.cpu->loops, op->db, job.sums, job.grid.row_tiles,
                                    op->delta_out.cols, op->accumulate))
        dki_cpu_latch(op->state, 0);
    return DK_OK;
}

static void params_tile(void *argument, int64_t index) {
    dki_product_job *job = argument;
    const dki_linear_backward_params *op = job->op;
    dki_tile tile = multiply(job, index);
    const float *dw = at(&op->dw, tile.row, tile.col);
    if (op->state && !job->cpu->loops->finite(dw, op->dw.ld, tile.rows, tile.cols))
        atomic_store(&job->finite, false);
}

/* dW_k = Δ_kᵀ A_{k−1}; equation (3) summed over a batch. */
dk_status dki_cpu_backward_params(dki_backend *backend, dki_lane lane,
                                  const dki_linear_backward_params *op) {
    (void)lane;
    dki_bare_product product = {DKI_PRODUCT_PARAMS, op->delta, op->a_in, op->dw};
    dki_product_job job = dki_product_job_of(dki_cpu_of(backend), product, op);
    job.beta = op->accumulate ? 1.0f : 0.0f;
    if (is_bf16(&job)) DKI_TRY(dki_bf16_plan(&job, DKI_INTO_OUTPUT));
    DKI_TRY(run_tiles(&job, params_tile));
    if (!atomic_load(&job.finite)) dki_cpu_latch(op->state, 0);
    return DK_OK;
}

static void bare_tile(void *argument, int64_t index) {
    multiply(argument, index);
}

/* Method 0: our tiles; method 1: one call with oneDNN's own threads. */
dk_status dki_cpu_bare_product(dki_backend *backend, dki_lane lane, int method,
                               const dki_bare_product *product) {
    (void)lane;
    dki_product_job job = dki_product_job_of(dki_cpu_of(backend), *product, NULL);
    if (method > 1) return DK_E_UNSUPPORTED;
    if (method == 1) {
        job.grid = dki_grid_whole(product->out.rows, product->out.cols);
        job.threads = job.cpu->threads;
    }
    if (is_bf16(&job)) DKI_TRY(dki_bf16_plan(&job, DKI_INTO_OUTPUT));
    if (method == 0) return run_tiles(&job, bare_tile);
    const int threads = omp_get_max_threads();
    omp_set_num_threads(job.threads);
    multiply(&job, 0);
    omp_set_num_threads(threads);
    return require_done(!atomic_load(&job.failed), product);
}
