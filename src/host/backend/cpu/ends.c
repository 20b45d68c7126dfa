/* The ends of the step: gathering a batch, and the loss with δ⁽ᴸ⁾. Where matrices are bf16, the loops
 * work on some rows of fp32 in scratch at a time. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/tiles.h"
#include "base/error.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Elements of the rows in scratch: few enough for the first-level cache. */
enum { SCRATCH_ELEMENTS = 4096 };

static int64_t scratch_rows(int64_t cols) {
    return cols < SCRATCH_ELEMENTS ? SCRATCH_ELEMENTS / cols : 1;
}

/* `count` arrays of scratch_rows(cols) rows, one behind the other. */
static dki_scratch_block take_rows(const dki_cpu *cpu, int64_t cols, int64_t count) {
    return dki_scratch_take(cpu->scratch, dki_pool_place(cpu->pool),
                            (size_t)(count * scratch_rows(cols) * cols) * sizeof(float));
}

static dk_status require_scratch(const atomic_bool *failed) {
    DKI_REQUIRE(!atomic_load(failed), DK_E_MEMORY, "out of memory: no scratch for some rows");
    return DK_OK;
}

static bool is_bf16(const dki_cpu *cpu) {
    return cpu->base.element == DKI_ELEMENT_BF16;
}

static int64_t min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static uint16_t *bf16_row(const dki_matrix *matrix, int64_t row) {
    return (uint16_t *)matrix->data + row * matrix->ld;
}

/* Rows of one block: independent of the thread count, at most DKI_MAX_ROW_TILES blocks. */
static int64_t block_rows(int64_t rows) {
    int64_t least = (rows + DKI_MAX_ROW_TILES - 1) / DKI_MAX_ROW_TILES;
    return least < 16 ? 16 : least;
}

static int64_t block_count(int64_t rows) {
    return (rows + block_rows(rows) - 1) / block_rows(rows);
}

bool dki_cpu_add_sums(const dki_loops *loops, float *db, const float *sums, int64_t row_tiles,
                      int64_t cols, bool accumulate) {
    if (!accumulate) memset(db, 0, (size_t)cols * sizeof *db);
    for (int64_t tile = 0; tile < row_tiles; ++tile)
        for (int64_t col = 0; col < cols; ++col) db[col] += sums[tile * cols + col];
    return loops->finite(db, cols, 1, cols);
}

/* Labels, targets and weights of one row of the batch. */
static void gather_row_targets(const dki_gather *op, int64_t row, int64_t from) {
    if (op->labels_in) op->labels[row] = op->labels_in[from];
    if (op->weights_in) op->weights[row] = op->weights_in[from];
    if (!op->targets_in) return;
    const double *in = op->targets_in + from * op->target_cols;
    float *out = op->targets + row * op->target_cols;
    for (int64_t j = 0; j < op->target_cols; ++j)
        out[j] = op->target_scale
                     ? (float)((in[j] - op->target_shift[j]) * (double)op->target_scale[j])
                     : (float)in[j];
}

typedef struct {
    const dki_cpu *cpu;
    const dki_gather *op;
    int64_t step;   /* rows of a block */
    int64_t cursor; /* position of the batch's first row */
    atomic_bool failed, bad;
} gather_job;

/* Features of some rows, into x as it lies, or into `scratch` and rounded from there. A double may be
 * too large for fp32, and a saturating g would hide that it became ∞. */
static void gather_features(gather_job *job, int64_t first, int64_t rows, float *scratch) {
    const dki_matrix *x = &job->op->x;
    dki_gather_tile work = {.rows = rows,
                            .cols = x->cols,
                            .source = job->op,
                            .first = job->cursor + first,
                            .x = scratch ? scratch : (float *)x->data + first * x->ld,
                            .x_ld = scratch ? x->cols : x->ld};
    job->cpu->loops->gather(&work);
    if (!job->cpu->loops->finite(work.x, work.x_ld, rows, x->cols)) atomic_store(&job->bad, true);
    for (int64_t i = 0; i < rows && scratch; ++i)
        job->cpu->loops->narrow(scratch + i * x->cols, x->cols, bf16_row(x, first + i));
}

static void gather_bf16(gather_job *job, int64_t first, int64_t end) {
    const int64_t cols = job->op->x.cols, step = scratch_rows(cols);
    const dki_scratch_block block = take_rows(job->cpu, cols, 1);
    if (!block.memory) atomic_store(&job->failed, true);
    for (int64_t row = first; row < end && block.memory; row += step)
        gather_features(job, row, min(step, end - row), block.memory);
    dki_scratch_give(job->cpu->scratch, block);
}

static void gather_block(void *argument, int64_t index) {
    gather_job *job = argument;
    const dki_gather *op = job->op;
    int64_t first = index * job->step, end = min(first + job->step, op->x.rows);
    int64_t cursor = job->cursor;
    if (is_bf16(job->cpu))
        gather_bf16(job, first, end);
    else
        gather_features(job, first, end - first, NULL);
    for (int64_t row = first; row < end; ++row)
        gather_row_targets(op, row, op->order ? op->order[cursor + row] : cursor + row);
}

dk_status dki_cpu_gather(dki_backend *backend, dki_lane lane, const dki_gather *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    gather_job job = {
        cpu,   op,   block_rows(op->x.rows), op->at_cursor ? (int64_t)op->state->cursor : 0,
        false, false};
    dki_pool_run(cpu->pool, gather_block, &job, block_count(op->x.rows));
    DKI_TRY(require_scratch(&job.failed));
    if (atomic_load(&job.bad)) dki_cpu_latch(op->state, DKI_AT_INPUT);
    if (op->at_cursor) op->state->cursor += (uint64_t)op->x.rows;
    return DK_OK;
}

typedef struct {
    const dki_cpu *cpu;
    const dki_loss *op;
    int64_t step;     /* rows of a block */
    double *row_loss; /* [rows] */
    float *sums;      /* [blocks, n_L] or NULL */
    atomic_bool failed;
} loss_job;

/* Some rows of block `index`, without z, a and δ. */
static dki_loss_tile loss_rows(const loss_job *job, int64_t index, int64_t first, int64_t rows) {
    const dki_loss *op = job->op;
    const int64_t cols = op->a.cols;
    return (dki_loss_tile){.rows = rows,
                           .cols = cols,
                           .rule = op->rule,
                           .g = op->g,
                           .labels = op->labels ? op->labels + first : NULL,
                           .targets = op->targets ? op->targets + first * cols : NULL,
                           .weights = op->weights ? op->weights + first : NULL,
                           .inverse_normaliser = op->state->inverse_normaliser,
                           .row_loss = job->row_loss + first,
                           .sums = job->sums ? job->sums + index * cols : NULL};
}

static void loss_f32(const loss_job *job, int64_t index, int64_t first, int64_t end) {
    const dki_loss *op = job->op;
    const dki_matrix *z = op->z.data ? &op->z : &op->a;
    dki_loss_tile work = loss_rows(job, index, first, end - first);
    work.z = (const float *)z->data + first * z->ld;
    work.a = (const float *)op->a.data + first * op->a.ld;
    work.delta = op->delta.data ? (float *)op->delta.data + first * op->delta.ld : NULL;
    work.z_ld = z->ld;
    work.a_ld = op->a.ld;
    work.delta_ld = op->delta.ld;
    job->cpu->loops->loss(&work);
}

static void widen_rows(const dki_loops *loops, const dki_matrix *from, int64_t first, int64_t rows,
                       float *to) {
    for (int64_t i = 0; i < rows; ++i)
        loops->widen(bf16_row(from, first + i), from->cols, to + i * from->cols);
}

/* db_L sums δ up as it is before it is rounded. */
static void loss_bf16(loss_job *job, int64_t index, int64_t begin, int64_t end) {
    const dki_loss *op = job->op;
    const dki_loops *loops = job->cpu->loops;
    const int64_t cols = op->a.cols, step = scratch_rows(cols), size = step * cols;
    const dki_scratch_block block = take_rows(job->cpu, cols, 3);
    float *a = block.memory;
    if (!a) atomic_store(&job->failed, true);
    for (int64_t first = begin; first < end && a; first += step) {
        const int64_t rows = min(step, end - first);
        dki_loss_tile work = loss_rows(job, index, first, rows);
        work.a = a;
        work.z = op->z.data ? a + size : a;
        work.delta = op->delta.data ? a + 2 * size : NULL;
        work.a_ld = work.z_ld = work.delta_ld = cols;
        work.add_sums = first > begin;
        widen_rows(loops, &op->a, first, rows, a);
        if (op->z.data) widen_rows(loops, &op->z, first, rows, a + size);
        loops->loss(&work);
        for (int64_t i = 0; i < rows && work.delta; ++i)
            loops->narrow(work.delta + i * cols, cols, bf16_row(&op->delta, first + i));
    }
    dki_scratch_give(job->cpu->scratch, block);
}

static void loss_block(void *argument, int64_t index) {
    loss_job *job = argument;
    int64_t first = index * job->step, end = min(first + job->step, job->op->a.rows);
    if (is_bf16(job->cpu))
        loss_bf16(job, index, first, end);
    else
        loss_f32(job, index, first, end);
}

/* The workspace holds the rows' losses, then the column sums of each block. */
dk_status dki_cpu_loss(dki_backend *backend, dki_lane lane, const dki_loss *op) {
    (void)lane;
    dki_cpu *cpu = dki_cpu_of(backend);
    int64_t rows = op->a.rows, blocks = block_count(rows);
    double *row_loss = op->workspace, total = 0.0;
    loss_job job = {
        cpu, op, block_rows(rows), row_loss, op->db ? (float *)(row_loss + rows) : NULL, false};
    dki_pool_run(cpu->pool, loss_block, &job, blocks);
    DKI_TRY(require_scratch(&job.failed));
    bool finite = true;
    if (op->db)
        finite = dki_cpu_add_sums(cpu->loops, op->db, job.sums, blocks, op->a.cols, op->accumulate);
    for (int64_t row = 0; row < rows; ++row) total += row_loss[row];
    double mean = total * (double)op->state->inverse_normaliser;
    op->state->loss += mean;
    if (!isfinite(mean)) dki_cpu_latch(op->state, DKI_AT_LOSS);
    if (!finite) dki_cpu_latch(op->state, 0);
    return DK_OK;
}
