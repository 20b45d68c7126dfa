/* The ends of the step: gathering a batch, and the loss with δ⁽ᴸ⁾. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/tiles.h"

#include <math.h>
#include <string.h>

/* Rows of one block: independent of the thread count, at most DKI_MAX_ROW_TILES blocks. */
static int64_t block_rows(int64_t rows) {
    int64_t least = (rows + DKI_MAX_ROW_TILES - 1) / DKI_MAX_ROW_TILES;
    return least < 16 ? 16 : least;
}

static int64_t block_count(int64_t rows) {
    return (rows + block_rows(rows) - 1) / block_rows(rows);
}

void dki_cpu_add_sums(float *db, const float *sums, int64_t row_tiles, int64_t cols,
                      bool accumulate) {
    if (!accumulate) memset(db, 0, (size_t)cols * sizeof *db);
    for (int64_t tile = 0; tile < row_tiles; ++tile)
        for (int64_t col = 0; col < cols; ++col) db[col] += sums[tile * cols + col];
}

/* Labels, targets and weights of one row of the batch. */
static void gather_row_targets(const dki_gather *op, int64_t row, int64_t from) {
    if (op->labels_in) op->labels[row] = op->labels_in[from];
    if (op->weights_in) op->weights[row] = op->weights_in[from];
    if (!op->targets_in) return;
    const float *in = op->targets_in + from * op->target_cols;
    float *out = op->targets + row * op->target_cols;
    for (int64_t j = 0; j < op->target_cols; ++j)
        out[j] = op->target_scale
                     ? (float)(((double)in[j] - op->target_shift[j]) * (double)op->target_scale[j])
                     : in[j];
}

typedef struct {
    const dki_loops *loops;
    const dki_gather *op;
    int64_t step;   /* rows of a block */
    int64_t cursor; /* position of the batch's first row */
} gather_job;

static void gather_block(void *argument, int64_t index) {
    const gather_job *job = argument;
    const dki_gather *op = job->op;
    int64_t first = index * job->step, left = op->x.rows - first;
    int64_t cursor = job->cursor;
    dki_gather_tile work = {.rows = left < job->step ? left : job->step,
                            .cols = op->x.cols,
                            .source = op,
                            .first = cursor + first,
                            .x = (float *)op->x.data + first * op->x.ld,
                            .x_ld = op->x.ld};
    job->loops->gather(&work);
    for (int64_t row = first; row < first + work.rows; ++row)
        gather_row_targets(op, row, op->order ? op->order[cursor + row] : cursor + row);
}

dk_status dki_cpu_gather(dki_backend *backend, dki_lane lane, const dki_gather *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    gather_job job = {cpu->loops, op, block_rows(op->x.rows),
                      op->at_cursor ? (int64_t)op->state->cursor : 0};
    dki_pool_run(cpu->pool, gather_block, &job, block_count(op->x.rows));
    if (op->at_cursor) op->state->cursor += (uint64_t)op->x.rows;
    return DK_OK;
}

typedef struct {
    const dki_loops *loops;
    const dki_loss *op;
    int64_t step;     /* rows of a block */
    double *row_loss; /* [rows] */
    float *sums;      /* [blocks, n_L] or NULL */
} loss_job;

static void loss_block(void *argument, int64_t index) {
    const loss_job *job = argument;
    const dki_loss *op = job->op;
    const dki_matrix *z = op->z.data ? &op->z : &op->a;
    int64_t first = index * job->step, left = op->a.rows - first, cols = op->a.cols;
    dki_loss_tile work = {.rows = left < job->step ? left : job->step,
                          .cols = cols,
                          .rule = op->rule,
                          .g = op->g,
                          .z = (const float *)z->data + first * z->ld,
                          .z_ld = z->ld,
                          .a = (const float *)op->a.data + first * op->a.ld,
                          .a_ld = op->a.ld,
                          .labels = op->labels ? op->labels + first : NULL,
                          .targets = op->targets ? op->targets + first * cols : NULL,
                          .weights = op->weights ? op->weights + first : NULL,
                          .inverse_normaliser = op->state->inverse_normaliser,
                          .delta = op->delta.data ? (float *)op->delta.data + first * op->delta.ld
                                                  : NULL,
                          .delta_ld = op->delta.ld,
                          .row_loss = job->row_loss + first,
                          .sums = job->sums ? job->sums + index * cols : NULL};
    job->loops->loss(&work);
}

/* The workspace holds the rows' losses, then the column sums of each block. */
dk_status dki_cpu_loss(dki_backend *backend, dki_lane lane, const dki_loss *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    int64_t rows = op->a.rows, blocks = block_count(rows);
    double *row_loss = op->workspace, total = 0.0;
    loss_job job = {cpu->loops, op, block_rows(rows), row_loss,
                    op->db ? (float *)(row_loss + rows) : NULL};
    dki_pool_run(cpu->pool, loss_block, &job, blocks);
    if (op->db) dki_cpu_add_sums(op->db, job.sums, blocks, op->a.cols, op->accumulate);
    for (int64_t row = 0; row < rows; ++row) total += row_loss[row];
    double mean = total * (double)op->state->inverse_normaliser;
    op->state->loss += mean;
    if (!isfinite(mean)) dki_cpu_latch(op->state);
    return DK_OK;
}
