#include "backend/cpu/tiles.h"

#include <oneapi/dnnl/dnnl.h>

#if DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_OMP && DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_SEQ
#error                                                                                             \
    "oneDNN's threads must be OpenMP's, or none: others would fight with libdeltak's for the cores"
#endif

/* So many tiles that some threads can share them. */
enum { ENOUGH_TILES = 8 };

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The length of a cut: as near to `wanted` as pieces of equal length, in multiples of 16, allow. */
static int64_t even_cut(int64_t length, int64_t wanted) {
    int64_t pieces = ceil_div(length, wanted);
    return min(length, ceil_div(ceil_div(length, pieces), 16) * 16);
}

typedef struct {
    int64_t rows, cols;
} tile_size;

/* Of the sizes tried (32 … 1024 each way), the smallest that oneDNN multiplies at full speed, and
 * how far they may shrink to make enough tiles. Forward packs W transposed for each tile, which
 * pays off over many rows; the others hardly mind. */
static tile_size wanted_tile(dki_product_kind kind) {
    switch (kind) {
    case DKI_PRODUCT_FORWARD:
        return (tile_size){512, 128};
    case DKI_PRODUCT_DATA:
        return (tile_size){128, 512};
    case DKI_PRODUCT_PARAMS:
    default:
        return (tile_size){256, 512};
    }
}

static tile_size least_tile(dki_product_kind kind) {
    return kind == DKI_PRODUCT_PARAMS ? (tile_size){16, 128} : (tile_size){64, 128};
}

dki_grid dki_grid_make(dki_product_kind kind, int64_t rows, int64_t cols) {
    tile_size wanted = wanted_tile(kind);
    const tile_size least = least_tile(kind);
    while (ceil_div(rows, wanted.rows) * ceil_div(cols, wanted.cols) < ENOUGH_TILES) {
        bool rows_left = wanted.rows > least.rows, cols_left = wanted.cols > least.cols;
        if (cols_left && (!rows_left || min(cols, wanted.cols) > min(rows, wanted.rows)))
            wanted.cols /= 2;
        else if (rows_left)
            wanted.rows /= 2;
        else
            break;
    }
    int64_t tile_rows = even_cut(rows, wanted.rows), tile_cols = even_cut(cols, wanted.cols);
    if (ceil_div(rows, tile_rows) > DKI_MAX_ROW_TILES)
        tile_rows = ceil_div(ceil_div(rows, DKI_MAX_ROW_TILES), 16) * 16;
    return (dki_grid){.rows = rows,
                      .cols = cols,
                      .tile_rows = tile_rows,
                      .tile_cols = tile_cols,
                      .row_tiles = ceil_div(rows, tile_rows),
                      .col_tiles = ceil_div(cols, tile_cols),
                      .by_rows = kind == DKI_PRODUCT_PARAMS};
}

dki_tile dki_grid_tile(const dki_grid *grid, int64_t index) {
    const int64_t row_tile = grid->by_rows ? index / grid->col_tiles : index % grid->row_tiles;
    const int64_t col_tile = grid->by_rows ? index % grid->col_tiles : index / grid->row_tiles;
    int64_t row = row_tile * grid->tile_rows, col = col_tile * grid->tile_cols;
    return (dki_tile){.row = row,
                      .col = col,
                      .rows = min(grid->tile_rows, grid->rows - row),
                      .cols = min(grid->tile_cols, grid->cols - col),
                      .row_tile = row_tile};
}

bool dki_tile_product(const dki_bare_product *p, const dki_tile *tile, float beta) {
    const bool transpose_a = p->kind == DKI_PRODUCT_PARAMS;
    const bool transpose_b = p->kind == DKI_PRODUCT_FORWARD;
    const float *a = (const float *)p->a.data + dki_tile_in_a(p, tile);
    const float *b = (const float *)p->b.data + dki_tile_in_b(p, tile);
    float *out = (float *)p->out.data + dki_tile_in_out(p, tile);
    return dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', tile->rows, tile->cols,
                      dki_product_depth(p), 1.0f, a, p->a.ld, b, p->b.ld, beta, out,
                      p->out.ld) == dnnl_success;
}
