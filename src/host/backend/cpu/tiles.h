/* How a product's output is cut into tiles.
 *
 * One call of oneDNN's sgemm computes one tile over the whole reduction, on one of our own threads;
 * the cut depends on the shape alone, never on the number of threads, so that any number of threads
 * gives the same bits. */
#ifndef DKI_TILES_H
#define DKI_TILES_H

#include "backend/backend.h"

/** At most so many tiles of rows: bounds the workspace of the column sums. */
enum { DKI_MAX_ROW_TILES = 256 };

typedef struct dki_grid {
    int64_t rows, cols; /* of the output */
    int64_t tile_rows,
        tile_cols; /* of a tile; tile_cols is a multiple of 4 unless it's the only one */
    int64_t row_tiles, col_tiles;
    bool by_rows; /* tiles are numbered row by row, else column by column */
} dki_grid;

typedef struct dki_tile {
    int64_t row, col;   /* of its first element */
    int64_t rows, cols; /* its size */
    int64_t row_tile;   /* which tile of rows */
} dki_tile;

/** A thread's share are tiles with consecutive numbers. Columns of Z, A and Δ are those of the units, and
 *  rows of W and dW: so numbered, most of what a thread writes is what it has written or read before (dW:
 *  in the update of the step before), and lies in its own caches. */
dki_grid dki_grid_make(dki_product_kind kind, int64_t rows, int64_t cols);

/** The grid of one tile. */
static inline dki_grid dki_grid_whole(int64_t rows, int64_t cols) {
    return (dki_grid){rows, cols, rows, cols, 1, 1, false};
}

static inline int64_t dki_grid_tiles(const dki_grid *grid) {
    return grid->row_tiles * grid->col_tiles;
}

dki_tile dki_grid_tile(const dki_grid *grid, int64_t index);

/** Where a tile's part of A, of B and of the output begins, in elements. */
static inline int64_t dki_tile_in_a(const dki_bare_product *p, const dki_tile *tile) {
    return p->kind == DKI_PRODUCT_PARAMS ? tile->row : tile->row * p->a.ld;
}
static inline int64_t dki_tile_in_b(const dki_bare_product *p, const dki_tile *tile) {
    return p->kind == DKI_PRODUCT_FORWARD ? tile->col * p->b.ld : tile->col;
}
static inline int64_t dki_tile_in_out(const dki_bare_product *p, const dki_tile *tile) {
    return tile->row * p->out.ld + tile->col;
}

/** How many products are summed up. */
static inline int64_t dki_product_depth(const dki_bare_product *p) {
    return p->kind == DKI_PRODUCT_PARAMS ? p->a.rows : p->a.cols;
}

/** One tile of a product in fp32: out = op(A) op(B) + beta·out, on as many threads as OpenMP gives the caller:
 *  one inside a piece of the pool. False where oneDNN fails: it found no memory to pack operands. */
bool dki_tile_product(const dki_bare_product *product, const dki_tile *tile, float beta);

#endif
