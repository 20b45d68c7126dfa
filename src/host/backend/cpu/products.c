/* The three products of a layer, each with its pointwise work done on a tile while it is in cache.
 */
#include "backend/cpu/cpu.h"
#include "backend/cpu/tiles.h"

#include <cblas.h>
#include <omp.h>

static float *at(const dki_matrix *matrix, int64_t row, int64_t col) {
    return (float *)matrix->data + row * matrix->ld + col;
}

/* Masks are needed with dropout only; without a state there is none. */
static dki_mask_origin origin_of(const dki_step_state *state, const dki_nonlinearity *g,
                                 const dki_tile *tile) {
    if (!state) return (dki_mask_origin){0, 0, 0, 0};
    return (dki_mask_origin){state->seed, state->tick, g->first_row + (uint32_t)tile->row,
                             tile->col};
}

/* z⁽ᵏ⁾ = W⁽ᵏ⁾ a⁽ᵏ⁻¹⁾ + b⁽ᵏ⁾, a⁽ᵏ⁾ = g⁽ᵏ⁾(z⁽ᵏ⁾) */
dk_status dki_cpu_forward(dki_backend *backend, dki_lane lane, const dki_linear_forward *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    const dki_matrix *z = op->z.data ? &op->z : &op->a_out;
    dki_bare_product product = {DKI_PRODUCT_FORWARD, op->a_in, op->w, *z};
    dki_grid grid = dki_grid_make(product.kind, z->rows, z->cols, op->w.cols);
    int64_t tiles = dki_grid_tiles(&grid);
#pragma omp parallel for schedule(dynamic, 1) num_threads(cpu->threads)
    for (int64_t t = 0; t < tiles; ++t) {
        dki_tile tile = dki_grid_tile(&grid, t);
        dki_tile_product(&product, &tile, 0.0f, cpu->small_products);
        dki_forward_tile work = {.rows = tile.rows,
                                 .cols = tile.cols,
                                 .z = at(z, tile.row, tile.col),
                                 .z_ld = z->ld,
                                 .a = at(&op->a_out, tile.row, tile.col),
                                 .a_ld = op->a_out.ld,
                                 .b = op->b + tile.col,
                                 .g = op->g,
                                 .origin = origin_of(op->state, &op->g, &tile)};
        cpu->loops->forward(&work);
    }
    return DK_OK;
}

/* Δ_{k−1} = (Δ_k W_k) ⊙ g′(Z_{k−1}), db_{k−1} = column sums; equation (2) over a batch. The sums of
 * each tile of rows lie in the workspace and are added in order. */
dk_status dki_cpu_backward_data(dki_backend *backend, dki_lane lane,
                                const dki_linear_backward_data *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    const dki_matrix *saved = op->z.data ? &op->z : &op->a;
    const dki_matrix *out = &op->delta_out;
    dki_bare_product product = {DKI_PRODUCT_DATA, op->delta, op->w, *out};
    dki_grid grid = dki_grid_make(product.kind, out->rows, out->cols, op->delta.cols);
    int64_t tiles = dki_grid_tiles(&grid);
    float *sums = op->db ? op->workspace : NULL;
#pragma omp parallel for schedule(dynamic, 1) num_threads(cpu->threads)
    for (int64_t t = 0; t < tiles; ++t) {
        dki_tile tile = dki_grid_tile(&grid, t);
        dki_tile_product(&product, &tile, 0.0f, cpu->small_products);
        dki_backward_tile work = {.rows = tile.rows,
                                  .cols = tile.cols,
                                  .delta = at(out, tile.row, tile.col),
                                  .delta_ld = out->ld,
                                  .saved = saved->data ? at(saved, tile.row, tile.col) : NULL,
                                  .saved_ld = saved->ld,
                                  .g = op->g,
                                  .origin = origin_of(op->state, &op->g, &tile),
                                  .sums =
                                      sums ? sums + tile.row_tile * out->cols + tile.col : NULL};
        cpu->loops->backward(&work);
    }
    if (op->db) dki_cpu_add_sums(op->db, sums, grid.row_tiles, out->cols, op->accumulate);
    return DK_OK;
}

/* dW_k = Δ_kᵀ A_{k−1}; equation (3) summed over a batch. */
dk_status dki_cpu_backward_params(dki_backend *backend, dki_lane lane,
                                  const dki_linear_backward_params *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    dki_bare_product product = {DKI_PRODUCT_PARAMS, op->delta, op->a_in, op->dw};
    dki_grid grid = dki_grid_make(product.kind, op->dw.rows, op->dw.cols, op->delta.rows);
    int64_t tiles = dki_grid_tiles(&grid);
    bool finite = true;
#pragma omp parallel for schedule(dynamic, 1) num_threads(cpu->threads) reduction(&& : finite)
    for (int64_t t = 0; t < tiles; ++t) {
        dki_tile tile = dki_grid_tile(&grid, t);
        dki_tile_product(&product, &tile, op->accumulate ? 1.0f : 0.0f, cpu->small_products);
        if (op->state)
            finite = cpu->loops->finite(at(&op->dw, tile.row, tile.col), op->dw.ld, tile.rows,
                                        tile.cols) &&
                     finite;
    }
    if (!finite) dki_cpu_latch(op->state);
    return DK_OK;
}

/* Method 0: our tiles; method 1: one call with the BLAS's own threads. */
dk_status dki_cpu_bare_product(dki_backend *backend, dki_lane lane, int method,
                               const dki_bare_product *product) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    const dki_matrix *out = &product->out;
    int64_t depth = product->kind == DKI_PRODUCT_PARAMS ? product->a.rows : product->a.cols;
    if (method == 0) {
        dki_grid grid = dki_grid_make(product->kind, out->rows, out->cols, depth);
        int64_t tiles = dki_grid_tiles(&grid);
#pragma omp parallel for schedule(dynamic, 1) num_threads(cpu->threads)
        for (int64_t t = 0; t < tiles; ++t) {
            dki_tile tile = dki_grid_tile(&grid, t);
            dki_tile_product(product, &tile, 0.0f, cpu->small_products);
        }
        return DK_OK;
    }
    if (method == 1) {
        int threads = omp_get_max_threads();
        omp_set_num_threads(cpu->threads);
        dki_tile whole = {0, 0, out->rows, out->cols, 0};
        dki_tile_product(product, &whole, 0.0f, false);
        omp_set_num_threads(threads);
        return DK_OK;
    }
    return DK_E_UNSUPPORTED;
}
