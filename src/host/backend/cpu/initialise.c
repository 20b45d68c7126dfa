/* Initial weights on the CPU, rows in parallel. */
#include "backend/cpu/cpu.h"

#include "kernels/init.h"

/* Rows of one piece. */
enum { ROWS = 16 };

static void fill_row(const dki_initialise *op, int64_t row) {
    float *w = (float *)op->w.data + row * op->w.ld;
    for (int64_t j = 0; j < op->w.cols; j += 4) {
        dki_words words = dki_random_block(op->seed, DKI_FOR_INIT, op->layer, 0, (uint32_t)row,
                                           (uint32_t)(j / 4));
        for (int64_t i = 0; i < 4 && j + i < op->w.cols; ++i)
            w[j + i] = dki_initial_weight(op->rule, words.v[i]);
    }
}

static void fill_rows(void *argument, int64_t index) {
    const dki_initialise *op = argument;
    int64_t end = (index + 1) * ROWS < op->w.rows ? (index + 1) * ROWS : op->w.rows;
    for (int64_t row = index * ROWS; row < end; ++row) fill_row(op, row);
}

dk_status dki_cpu_initialise(dki_backend *backend, dki_lane lane, const dki_initialise *op) {
    (void)lane;
    dki_pool_run(dki_cpu_of(backend)->pool, fill_rows, (void *)op, (op->w.rows + ROWS - 1) / ROWS);
    return DK_OK;
}
