/* Loss and δ⁽ᴸ⁾ of a tile of whole rows, in one pass, with the column sums. */
#include "backend/cpu/loops.h"
#include "kernels/loss.h"

#include <string.h>

void DKI_LOOP(dki_loops_loss)(const dki_loss_tile *tile);
void DKI_LOOP(dki_loops_backward)(const dki_backward_tile *tile);

/* The sum of a row in DKI_LANES interleaved partial sums, then a tree: the same bits at any vector
 * width. */
static float lane_sum(const float lanes[DKI_LANES]) {
    float sum[DKI_LANES];
    memcpy(sum, lanes, sizeof sum);
    for (int half = DKI_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) sum[i] += sum[i + half];
    return sum[0];
}

static float row_max(const float *z, int64_t cols) {
    float largest[DKI_LANES];
    for (int i = 0; i < DKI_LANES; ++i) largest[i] = z[0];
    int64_t j = 0;
    for (; j + DKI_LANES <= cols; j += DKI_LANES)
        for (int i = 0; i < DKI_LANES; ++i)
            largest[i] = z[j + i] > largest[i] ? z[j + i] : largest[i];
    float result = largest[0];
    for (int i = 1; i < DKI_LANES; ++i) result = largest[i] > result ? largest[i] : result;
    for (; j < cols; ++j) result = z[j] > result ? z[j] : result;
    return result;
}

/* e[j] = exp(z[j] − top), and their sum. e may be NULL. */
static float row_exp(const float *z, float top, int64_t cols, float *e) {
    float lanes[DKI_LANES] = {0};
    int64_t j = 0;
    for (; j + DKI_LANES <= cols; j += DKI_LANES) {
        float value[DKI_LANES];
        for (int i = 0; i < DKI_LANES; ++i) value[i] = dki_exp(z[j + i] - top);
        for (int i = 0; i < DKI_LANES; ++i) lanes[i] += value[i];
        if (e) memcpy(e + j, value, sizeof value);
    }
    for (int i = 0; j + i < cols; ++i) {
        float value = dki_exp(z[j + i] - top);
        lanes[i] += value;
        if (e) e[j + i] = value;
    }
    return lane_sum(lanes);
}

/* s_j of class j: see kernels/loss.h. */
static inline float softmax_target(const dki_loss_tile *tile, int64_t row, int64_t j, float share) {
    float y =
        tile->labels ? (tile->labels[row] == j ? 1.0f : 0.0f) : tile->targets[row * tile->cols + j];
    float class_weight = tile->rule.class_weights ? tile->rule.class_weights[j] : 1.0f;
    return dki_softmax_target(class_weight, y, tile->rule.smoothing, share);
}

/* Index labels without smoothing have one s_j that isn't 0. Returns l and sets *total = Σ s_j. */
static double softmax_loss(const dki_loss_tile *tile, int64_t row, float top, float log_sum,
                           float share, float *total) {
    const float *z = tile->z + row * tile->z_ld;
    int64_t first = 0, end = tile->cols;
    if (tile->labels && tile->rule.smoothing == 0.0f) {
        first = tile->labels[row];
        end = first + 1;
    }
    double loss = 0.0;
    float sum = 0.0f;
    for (int64_t j = first; j < end; ++j) {
        float target = softmax_target(tile, row, j, share);
        sum += target;
        /* A class at probability 0 that isn't wanted costs nothing, also at z = −Inf. */
        if (target != 0.0f) loss += (double)dki_softmax_value(target, log_sum, z[j] - top);
    }
    *total = sum;
    return loss;
}

/* One pass for the largest logit, one for the exponentials, one for δ: the row stays in cache. */
static void softmax_row(const dki_loss_tile *tile, int64_t row, float scale, float weight) {
    const int64_t cols = tile->cols;
    const float *z = tile->z + row * tile->z_ld;
    const float share = tile->rule.smoothing / (float)cols;
    float *delta = tile->delta ? tile->delta + row * tile->delta_ld : NULL;
    float top = row_max(z, cols), total = 0.0f;
    float sum = row_exp(z, top, cols, delta);
    tile->row_loss[row] =
        softmax_loss(tile, row, top, dki_log(sum), share, &total) * (double)weight;
    if (!delta) return;
    const float inverse = 1.0f / sum;
    for (int64_t j = 0; j < cols; ++j)
        delta[j] = scale *
                   dki_softmax_grad(softmax_target(tile, row, j, share), total, delta[j] * inverse);
}

/* Targets of columns first … first+count−1: given, or the one-hot vector of the label. */
static inline void block_targets(const dki_loss_tile *tile, int64_t row, int64_t first, int count,
                                 float *y) {
    if (tile->targets) {
        memcpy(y, tile->targets + row * tile->cols + first, (size_t)count * sizeof *y);
        return;
    }
    for (int i = 0; i < count; ++i) y[i] = tile->labels[row] == first + i ? 1.0f : 0.0f;
}

/* Up to DKI_LANES columns of an elementwise loss: values into the lanes, ∂l/∂a·scale into delta. */
static inline void elementwise_block(dk_loss kind, float huber, const float *a, const float *y,
                                     int count, float scale, float *lanes, float *delta) {
    for (int i = 0; i < count; ++i) lanes[i] += dki_loss_value(kind, huber, a[i], y[i]);
    if (!delta) return;
    for (int i = 0; i < count; ++i) delta[i] = scale * dki_loss_grad(kind, huber, a[i], y[i]);
}

/* l = mean_j of the elementwise loss; the row's values are summed in lanes, in float, the rows in
 * double. δ lacks g′ still. */
static void elementwise_row(const dki_loss_tile *tile, int64_t row, float scale, float weight) {
    const float *a = tile->a + row * tile->a_ld;
    float *delta = tile->delta ? tile->delta + row * tile->delta_ld : NULL;
    const float huber = tile->rule.huber_delta;
    float lanes[DKI_LANES] = {0}, y[DKI_LANES];
    for (int64_t first = 0; first < tile->cols; first += DKI_LANES) {
        int64_t left = tile->cols - first;
        int count = left < DKI_LANES ? (int)left : DKI_LANES;
        float *out = delta ? delta + first : NULL;
        block_targets(tile, row, first, count, y);
        switch (tile->rule.kind) {
#define BLOCK(KIND)                                                                                \
    case KIND:                                                                                     \
        if (count == DKI_LANES)                                                                    \
            elementwise_block(KIND, huber, a + first, y, DKI_LANES, scale, lanes, out);            \
        else                                                                                       \
            elementwise_block(KIND, huber, a + first, y, count, scale, lanes, out);                \
        break;
            DKI_EACH_ELEMENTWISE_LOSS(BLOCK)
#undef BLOCK
        default:
            break;
        }
    }
    tile->row_loss[row] = (double)lane_sum(lanes) * (double)weight;
}

static void given_row(const dki_loss_tile *tile, int64_t row) {
    memcpy(tile->delta + row * tile->delta_ld, tile->targets + row * tile->cols,
           (size_t)tile->cols * sizeof *tile->delta);
    tile->row_loss[row] = 0.0;
}

/* ∂l/∂a of every row, then g′ and the column sums as in any other layer. The softmax works on the
 * logits: its g is the identity. */
void DKI_LOOP(dki_loops_loss)(const dki_loss_tile *tile) {
    for (int64_t row = 0; row < tile->rows; ++row) {
        float weight = tile->weights ? tile->weights[row] : 1.0f;
        float scale = weight * tile->inverse_normaliser;
        if (tile->rule.kind == DKI_LOSS_GIVEN)
            given_row(tile, row);
        else if (tile->rule.kind == DK_LOSS_SOFTMAX_CROSS_ENTROPY)
            softmax_row(tile, row, scale, weight);
        else
            elementwise_row(tile, row, scale, weight);
    }
    if (!tile->delta) return;
    dki_backward_tile backward = {.rows = tile->rows,
                                  .cols = tile->cols,
                                  .delta = tile->delta,
                                  .delta_ld = tile->delta_ld,
                                  .saved = tile->z,
                                  .saved_ld = tile->z_ld,
                                  .g = tile->g,
                                  .sums = tile->sums,
                                  .add_sums = tile->add_sums};
    DKI_LOOP(dki_loops_backward)(&backward);
}
