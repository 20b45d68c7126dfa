/* Forward: bias + g (+ dropout). Backward: g′ (+ dropout) + column sums. One pass over the tile. */
#include "backend/cpu/loops.h"
#include "kernels/activation.h"
#include "kernels/philox.h"

#include <string.h>

void DKI_LOOP(dki_loops_forward)(const dki_forward_tile *tile);
void DKI_LOOP(dki_loops_backward)(const dki_backward_tile *tile);

enum { MASK_COLS = 256 };

/* mask[j] = 0 or 1/(1 − p) for columns col … col+count−1 of a row; col is a multiple of 4. */
static void dropout_mask(float *mask, const dki_nonlinearity *g, const dki_mask_origin *origin,
                         uint32_t row, int64_t col, int64_t count) {
    for (int64_t j = 0; j < count; j += 4) {
        dki_words words = dki_random_block(origin->seed, DKI_FOR_DROPOUT, g->layer, origin->tick,
                                           row, (uint32_t)((col + j) / 4));
        for (int64_t i = 0; i < 4 && j + i < count; ++i)
            mask[j + i] = dki_dropout_scale(words.v[i], g->dropout_threshold, g->dropout_scale);
    }
}

/* x ← x ⊙ mask over a tile. */
static void apply_dropout(float *x, int64_t ld, int64_t rows, int64_t cols,
                          const dki_nonlinearity *g, const dki_mask_origin *origin) {
    float mask[MASK_COLS];
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t col = 0; col < cols; col += MASK_COLS) {
            int64_t count = cols - col < MASK_COLS ? cols - col : MASK_COLS;
            dropout_mask(mask, g, origin, origin->row + (uint32_t)row, origin->col + col, count);
            float *out = x + row * ld + col;
#pragma omp simd
            for (int64_t j = 0; j < count; ++j) out[j] *= mask[j];
        }
}

/* `omp simd` holds in place too: an element depends on nothing but its own position. */
void DKI_LOOP(dki_loops_forward)(const dki_forward_tile *tile) {
    const float *b = tile->b;
    const float alpha = tile->g.alpha;
    const int64_t cols = tile->cols;
    const bool keep_z = tile->z != tile->a;
    for (int64_t row = 0; row < tile->rows; ++row) {
        float *z = tile->z + row * tile->z_ld, *a = tile->a + row * tile->a_ld;
        switch (tile->g.kind) {
#define FORWARD(KIND, ...)                                                                         \
    case KIND:                                                                                     \
        if (keep_z) {                                                                              \
            _Pragma("omp simd") for (int64_t j = 0; j < cols; ++j) {                               \
                z[j] += b[j];                                                                      \
                a[j] = dki_activation(KIND, alpha, z[j]);                                          \
            }                                                                                      \
        } else {                                                                                   \
            _Pragma("omp simd") for (int64_t j = 0; j < cols; ++j) a[j] =                          \
                dki_activation(KIND, alpha, a[j] + b[j]);                                          \
        }                                                                                          \
        break;
            DKI_EACH_ACTIVATION(FORWARD)
#undef FORWARD
        }
    }
    if (tile->g.dropout_threshold)
        apply_dropout(tile->a, tile->a_ld, tile->rows, cols, &tile->g, &tile->origin);
}

/* δ ⊙ g′ of one row, and the row added to the sums. */
static void backward_row(const dki_backward_tile *tile, int64_t row, float *sums) {
    float *delta = tile->delta + row * tile->delta_ld;
    const bool needs_none = tile->g.kind == DK_IDENTITY;
    const float *saved = needs_none ? NULL : tile->saved + row * tile->saved_ld;
    const float alpha = tile->g.alpha;
    const int64_t cols = tile->cols;
    switch (tile->g.kind) {
#define BACKWARD(KIND, ...)                                                                        \
    case KIND:                                                                                     \
        if ((KIND) == DK_IDENTITY) break;                                                          \
        _Pragma("omp simd") for (int64_t j = 0; j < cols; ++j) delta[j] *=                         \
            dki_activation_grad(KIND, alpha, saved[j]);                                            \
        break;
        DKI_EACH_ACTIVATION(BACKWARD)
#undef BACKWARD
    }
    if (sums) {
        _Pragma("omp simd") for (int64_t j = 0; j < cols; ++j) sums[j] += delta[j];
    }
}

void DKI_LOOP(dki_loops_backward)(const dki_backward_tile *tile) {
    if (tile->g.dropout_threshold)
        apply_dropout(tile->delta, tile->delta_ld, tile->rows, tile->cols, &tile->g, &tile->origin);
    if (tile->sums && !tile->add_sums)
        memset(tile->sums, 0, (size_t)tile->cols * sizeof *tile->sums);
    for (int64_t row = 0; row < tile->rows; ++row) backward_row(tile, row, tile->sums);
}
