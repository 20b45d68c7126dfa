#include "backend/cpu/bf16.h"

#include "base/error.h"

/* Elements of the rows that pointwise work handles at a time: they and their rounded copies stay in
 * the first-level cache. */
enum { BLOCK = 4096 };

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static uint16_t *at(const dki_matrix *matrix, int64_t row, int64_t col) {
    return (uint16_t *)matrix->data + row * matrix->ld + col;
}

/* Leading dimension of a tile in scratch: whole cache lines. */
static int64_t scratch_ld(const dki_grid *grid) {
    return (grid->tile_cols + 15) / 16 * 16;
}

/* --- primitives ------------------------------------------------------------------------------ */

dk_status dki_bf16_plan(dki_product_job *job, dki_bf16_target target) {
    const dki_bare_product *p = &job->product;
    const dki_grid *grid = &job->grid;
    const int64_t last_rows = grid->rows - (grid->row_tiles - 1) * grid->tile_rows;
    const int64_t last_cols = grid->cols - (grid->col_tiles - 1) * grid->tile_cols;
    for (int short_rows = 0; short_rows < 2; ++short_rows)
        for (int short_cols = 0; short_cols < 2; ++short_cols) {
            const dki_matmul_shape shape = {
                .kind = p->kind,
                .rows = short_rows ? last_rows : grid->tile_rows,
                .cols = short_cols ? last_cols : grid->tile_cols,
                .depth = dki_product_depth(p),
                .lda = p->a.ld,
                .ldb = p->b.ld,
                .ldc = target == DKI_INTO_SCRATCH ? scratch_ld(grid) : p->out.ld,
                .accumulate = job->beta != 0.0f,
                .narrow = target == DKI_INTO_OUTPUT && p->kind != DKI_PRODUCT_PARAMS,
                .threads = job->threads};
            DKI_TRY(
                dki_matmuls_find(job->cpu->matmuls, &shape, &job->matmuls[short_rows][short_cols]));
        }
    return DK_OK;
}

static dk_status plan_one(dki_cpu *cpu, dki_bare_product product) {
    dki_product_job job = dki_product_job_of(cpu, product, NULL);
    return dki_bf16_plan(&job,
                         product.kind == DKI_PRODUCT_PARAMS ? DKI_INTO_OUTPUT : DKI_INTO_SCRATCH);
}

static dki_matrix matrix_of(const dki_cpu *cpu, int64_t rows, int64_t cols) {
    return (dki_matrix){NULL, rows, cols, dki_leading(&cpu->base, cols)};
}

dk_status dki_bf16_plan_layers(dki_cpu *cpu, const dki_plan_request *request) {
    for (size_t k = 0; k < request->layer_count; ++k) {
        const dki_layer_shape *layer = &request->layers[k];
        const dki_matrix below = matrix_of(cpu, request->max_batch, layer->inputs);
        const dki_matrix own = matrix_of(cpu, request->max_batch, layer->width);
        const dki_matrix w = matrix_of(cpu, layer->width, layer->inputs);
        DKI_TRY(plan_one(cpu, (dki_bare_product){DKI_PRODUCT_FORWARD, below, w, own}));
        if (!request->gradients) continue;
        DKI_TRY(plan_one(cpu, (dki_bare_product){DKI_PRODUCT_PARAMS, own, below, w}));
        if (k > 0 || request->keep_all)
            DKI_TRY(plan_one(cpu, (dki_bare_product){DKI_PRODUCT_DATA, own, w, below}));
    }
    return DK_OK;
}

/* --- products -------------------------------------------------------------------------------- */

static const dki_matmul *matmul_of(const dki_product_job *job, const dki_tile *tile) {
    return job->matmuls[tile->rows < job->grid.tile_rows][tile->cols < job->grid.tile_cols];
}

static bool run(const dki_product_job *job, const dki_tile *tile, void *out, void *scratch) {
    const dki_bare_product *p = &job->product;
    return dki_matmul_run(matmul_of(job, tile),
                          (const uint16_t *)p->a.data + dki_tile_in_a(p, tile),
                          (const uint16_t *)p->b.data + dki_tile_in_b(p, tile), out, scratch);
}

static dki_scratch_block take_scratch(const dki_product_job *job, size_t bytes) {
    return dki_scratch_take(job->cpu->scratch, dki_pool_place(job->cpu->pool), bytes);
}

bool dki_bf16_product(const dki_product_job *job, const dki_tile *tile) {
    const size_t bytes = dki_matmul_scratch(matmul_of(job, tile));
    const size_t first = (size_t)dki_tile_in_out(&job->product, tile);
    const size_t size = job->product.kind == DKI_PRODUCT_PARAMS ? sizeof(float) : sizeof(uint16_t);
    void *out = (char *)job->product.out.data + first * size;
    if (!bytes) return run(job, tile, out, NULL);
    const dki_scratch_block block = take_scratch(job, bytes);
    const bool done = block.memory && run(job, tile, out, block.memory);
    dki_scratch_give(job->cpu->scratch, block);
    return done;
}

/* --- pointwise work -------------------------------------------------------------------------- */

/* A tile's product in scratch, and some rows more. */
typedef struct {
    dki_scratch_block block;
    float *product; /* [tile rows, ld] */
    int64_t ld;
    float *rows;        /* [block_rows, ld] */
    int64_t block_rows; /* handled at a time */
} work_space;

/* Takes scratch and computes the product there; false, with a failed job, where there is no memory. */
static bool multiply(dki_product_job *job, const dki_tile *tile, work_space *work) {
    const int64_t ld = scratch_ld(&job->grid);
    const int64_t block_rows = ld < BLOCK ? BLOCK / ld : 1;
    const int64_t product = job->grid.tile_rows * ld, rows = block_rows * ld;
    const size_t own = (size_t)(product + rows) * sizeof(float);
    const dki_scratch_block block =
        take_scratch(job, own + dki_matmul_scratch(matmul_of(job, tile)));
    float *memory = block.memory;
    *work = (work_space){block, memory, ld, memory ? memory + product : NULL, block_rows};
    if (memory && run(job, tile, memory, (char *)memory + own)) return true;
    dki_scratch_give(job->cpu->scratch, block);
    atomic_store(&job->failed, true);
    return false;
}

/* Rows of fp32 rounded into a matrix, and the reverse. */
static void narrow(const dki_loops *loops, const float *from, int64_t ld, const dki_tile *to,
                   const dki_matrix *matrix) {
    for (int64_t i = 0; i < to->rows; ++i)
        loops->narrow(from + i * ld, to->cols, at(matrix, to->row + i, to->col));
}
static void widen(const dki_loops *loops, const dki_matrix *matrix, const dki_tile *from, float *to,
                  int64_t ld) {
    for (int64_t i = 0; i < from->rows; ++i)
        loops->widen(at(matrix, from->row + i, from->col), from->cols, to + i * ld);
}

/* The rows of a tile from `first` on, at most `count`. */
static dki_tile rows_of(const dki_tile *tile, int64_t first, int64_t count) {
    dki_tile part = *tile;
    part.row += first;
    part.rows = min(count, tile->rows - first);
    return part;
}

/* z = product + b and a = g(z) from the sum as it is, each rounded once. */
static void forward_rows(const dki_product_job *job, const dki_tile *tile, float *z, float *a,
                         int64_t ld) {
    const dki_loops *loops = job->cpu->loops;
    const dki_linear_forward *op = job->op;
    const dki_forward_tile work = {.rows = tile->rows,
                                   .cols = tile->cols,
                                   .z = z,
                                   .z_ld = ld,
                                   .a = a,
                                   .a_ld = ld,
                                   .b = op->b + tile->col,
                                   .g = op->g,
                                   .origin = dki_mask_origin_of(op->state, &op->g, tile)};
    loops->forward(&work);
    if (op->z.data) narrow(loops, z, ld, tile, &op->z);
    narrow(loops, a, ld, tile, &op->a_out);
}

void dki_bf16_forward_tile(void *argument, int64_t index) {
    dki_product_job *job = argument;
    const dki_linear_forward *op = job->op;
    const dki_tile tile = dki_grid_tile(&job->grid, index);
    work_space work;
    if (!multiply(job, &tile, &work)) return;
    for (int64_t row = 0; row < tile.rows; row += work.block_rows) {
        const dki_tile rows = rows_of(&tile, row, work.block_rows);
        float *z = work.product + row * work.ld;
        forward_rows(job, &rows, z, op->z.data ? work.rows : z, work.ld);
    }
    dki_scratch_give(job->cpu->scratch, work.block);
}

/* δ = product ⊙ g′(z); db sums it up as it is before it is rounded, as on a GPU. */
static void data_rows(const dki_product_job *job, const dki_tile *tile, float *delta, float *saved,
                      int64_t ld, bool add_sums) {
    const dki_loops *loops = job->cpu->loops;
    const dki_linear_backward_data *op = job->op;
    const dki_matrix *from = op->z.data ? &op->z : &op->a;
    float *sums = job->sums ? job->sums + tile->row_tile * op->delta_out.cols + tile->col : NULL;
    const bool reads = op->g.kind != DK_IDENTITY;
    if (reads) widen(loops, from, tile, saved, ld);
    const dki_backward_tile work = {.rows = tile->rows,
                                    .cols = tile->cols,
                                    .delta = delta,
                                    .delta_ld = ld,
                                    .saved = reads ? saved : NULL,
                                    .saved_ld = ld,
                                    .g = op->g,
                                    .origin = dki_mask_origin_of(op->state, &op->g, tile),
                                    .sums = sums,
                                    .add_sums = add_sums};
    loops->backward(&work);
    narrow(loops, delta, ld, tile, &op->delta_out);
}

void dki_bf16_data_tile(void *argument, int64_t index) {
    dki_product_job *job = argument;
    const dki_tile tile = dki_grid_tile(&job->grid, index);
    work_space work;
    if (!multiply(job, &tile, &work)) return;
    for (int64_t row = 0; row < tile.rows; row += work.block_rows) {
        const dki_tile rows = rows_of(&tile, row, work.block_rows);
        data_rows(job, &rows, work.product + row * work.ld, work.rows, work.ld, row > 0);
    }
    dki_scratch_give(job->cpu->scratch, work.block);
}
