/* Flat loops: the update of every optimizer, the check for NaN and Inf, the sum of squares; and the
 * gathering of rows in any type. */
#include "backend/cpu/loops.h"
#include "kernels/optimizer.h"

void DKI_LOOP(dki_loops_gather)(const dki_gather_tile *tile);
bool DKI_LOOP(dki_loops_update)(const dki_rule *rule, dki_rate rate, float decay, int64_t count,
                                float *w, const float *g, float *slot1, float *slot2);
bool DKI_LOOP(dki_loops_finite)(const float *x, int64_t ld, int64_t rows, int64_t cols);
double DKI_LOOP(dki_loops_square_sum)(const float *x, int64_t count);

/* One row of `type` values, element j at j·stride, subtracted and scaled in double. */
#define GATHER_ROW(type)                                                                           \
    {                                                                                              \
        const type *in = (const type *)source->features + from * source->row_stride;               \
        const int64_t stride = source->col_stride;                                                 \
        if (!source->scale) {                                                                      \
            for (int64_t j = 0; j < cols; ++j) x[j] = (float)in[j * stride];                       \
        } else if (stride == 1) {                                                                  \
            for (int64_t j = 0; j < cols; ++j)                                                     \
                x[j] = (float)(((double)in[j] - shift[j]) * (double)scale[j]);                     \
        } else {                                                                                   \
            for (int64_t j = 0; j < cols; ++j)                                                     \
                x[j] = (float)(((double)in[j * stride] - shift[j]) * (double)scale[j]);            \
        }                                                                                          \
        break;                                                                                     \
    }

void DKI_LOOP(dki_loops_gather)(const dki_gather_tile *tile) {
    const dki_gather *source = tile->source;
    const double *shift = source->shift;
    const float *scale = source->scale;
    const int64_t cols = tile->cols;
    for (int64_t row = 0; row < tile->rows; ++row) {
        int64_t position = tile->first + row;
        int64_t from = source->order ? source->order[position] : position;
        float *x = tile->x + row * tile->x_ld;
        switch (source->type) {
        case DK_F32:
            GATHER_ROW(float)
        case DK_F64:
            GATHER_ROW(double)
        case DK_U8:
            GATHER_ROW(uint8_t)
        case DK_I32:
            GATHER_ROW(int32_t)
        case DK_I64:
            GATHER_ROW(int64_t)
        }
    }
}

/* One element: what isn't finite isn't kept. Returns whether it is. A slot that the rule doesn't have
 * is never touched. */
DKI_FN int update_one(dki_rule rule, dki_rate rate, float decay, float *w, float g, float *slot1,
                      float *slot2) {
    const int slots = dki_optimizer_slots(rule.kind);
    const float old = *w, old1 = slots >= 1 ? *slot1 : 0.0f, old2 = slots == 2 ? *slot2 : 0.0f;
    float next1 = old1, next2 = old2;
    const float next = dki_update(rule, rate, decay, old, g, &next1, &next2);
    const int good = dki_update_is_finite(rule.kind, next, next1, next2);
    *w = good ? next : old;
    if (slots >= 1) *slot1 = good ? next1 : old1;
    if (slots == 2) *slot2 = good ? next2 : old2;
    return good;
}

DKI_FN int update_all(dki_rule rule, dki_rate rate, float decay, int64_t count, float *w,
                      const float *g, float *slot1, float *slot2) {
    int good = 1;
    _Pragma("omp simd reduction(& : good)") for (int64_t i = 0; i < count; ++i) good &=
        update_one(rule, rate, decay, w + i, g[i], slot1 + i, slot2 + i);
    return good;
}

/* The rule with a constant kind, and whether moments rest too, so that each loop has straight-line code.
 * A missing slot's pointer stands at w, so that the address is a valid one. */
bool DKI_LOOP(dki_loops_update)(const dki_rule *rule, dki_rate rate, float decay, int64_t count,
                                float *w, const float *g, float *slot1, float *slot2) {
    dki_rule r = *rule;
    dki_rate awake = rate, resting = rate;
    awake.rests = 0;
    resting.rests = 1;
    if (!slot1) slot1 = w;
    if (!slot2) slot2 = w;
    switch (rule->kind) {
#define UPDATE(KIND)                                                                               \
    case KIND:                                                                                     \
        r.kind = KIND;                                                                             \
        return rate.rests ? update_all(r, resting, decay, count, w, g, slot1, slot2)               \
                          : update_all(r, awake, decay, count, w, g, slot1, slot2);
        DKI_EACH_OPTIMIZER(UPDATE)
#undef UPDATE
    }
    return true;
}

/* x·0 is 0 for a finite x and NaN otherwise; the sum is NaN if any is. */
bool DKI_LOOP(dki_loops_finite)(const float *x, int64_t ld, int64_t rows, int64_t cols) {
    float lanes[DKI_LANES] = {0};
    for (int64_t row = 0; row < rows; ++row) {
        const float *line = x + row * ld;
        int64_t j = 0;
        for (; j + DKI_LANES <= cols; j += DKI_LANES)
            for (int i = 0; i < DKI_LANES; ++i) lanes[i] += line[j + i] * 0.0f;
        for (; j < cols; ++j) lanes[0] += line[j] * 0.0f;
    }
    float sum = 0.0f;
    for (int i = 0; i < DKI_LANES; ++i) sum += lanes[i];
    return sum == 0.0f;
}

double DKI_LOOP(dki_loops_square_sum)(const float *x, int64_t count) {
    double lanes[DKI_LANES] = {0};
    int64_t j = 0;
    for (; j + DKI_LANES <= count; j += DKI_LANES)
        for (int i = 0; i < DKI_LANES; ++i) lanes[i] += (double)x[j + i] * (double)x[j + i];
    for (; j < count; ++j) lanes[0] += (double)x[j] * (double)x[j];
    double sum = 0.0;
    for (int i = 0; i < DKI_LANES; ++i) sum += lanes[i];
    return sum;
}
