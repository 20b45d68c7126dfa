#include "backend/cpu/tiles.h"

#include <cblas.h>

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The length of a cut: as near to `wanted` as pieces of equal length, in multiples of 32, allow. */
static int64_t even_cut(int64_t length, int64_t wanted) {
    int64_t pieces = ceil_div(length, wanted);
    return min(length, ceil_div(ceil_div(length, pieces), 32) * 32);
}

dki_grid dki_grid_make(dki_product_kind kind, int64_t rows, int64_t cols, int64_t depth) {
    (void)kind;
    (void)depth;
    int64_t tile_rows = even_cut(rows, 256);
    if (ceil_div(rows, tile_rows) > DKI_MAX_ROW_TILES)
        tile_rows = ceil_div(ceil_div(rows, DKI_MAX_ROW_TILES), 32) * 32;
    int64_t tile_cols = even_cut(cols, 1024);
    return (dki_grid){.rows = rows,
                      .cols = cols,
                      .tile_rows = tile_rows,
                      .tile_cols = tile_cols,
                      .row_tiles = ceil_div(rows, tile_rows),
                      .col_tiles = ceil_div(cols, tile_cols)};
}

dki_tile dki_grid_tile(const dki_grid *grid, int64_t index) {
    int64_t row_tile = index % grid->row_tiles, col_tile = index / grid->row_tiles;
    int64_t row = row_tile * grid->tile_rows, col = col_tile * grid->tile_cols;
    return (dki_tile){.row = row,
                      .col = col,
                      .rows = min(grid->tile_rows, grid->rows - row),
                      .cols = min(grid->tile_cols, grid->cols - col),
                      .row_tile = row_tile};
}

void dki_tile_product(const dki_bare_product *p, const dki_tile *tile, float beta) {
    const float *a = p->a.data, *b = p->b.data;
    float *out = (float *)p->out.data + tile->row * p->out.ld + tile->col;
    bool transpose_a = p->kind == DKI_PRODUCT_PARAMS, transpose_b = p->kind == DKI_PRODUCT_FORWARD;
    int64_t depth = transpose_a ? p->a.rows : p->a.cols;
    a += transpose_a ? tile->row : tile->row * p->a.ld;
    b += transpose_b ? tile->col * p->b.ld : tile->col;
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, (int)tile->rows, (int)tile->cols,
                (int)depth, 1.0f, a, (int)p->a.ld, b, (int)p->b.ld, beta, out, (int)p->out.ld);
}
