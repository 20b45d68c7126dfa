#include "data/view.h"

#include <math.h>
#include <string.h>

#define CONVERT(source_type, target_type)                                                          \
    do {                                                                                           \
        const source_type *from = (const source_type *)elements + first;                           \
        for (int64_t i = 0; i < count; ++i) to[i] = (target_type)from[i * stride];                 \
    } while (0)

#define CONVERT_ANY(target_type)                                                                   \
    do {                                                                                           \
        switch (type) {                                                                            \
        case DK_F32:                                                                               \
            CONVERT(float, target_type);                                                           \
            break;                                                                                 \
        case DK_F64:                                                                               \
            CONVERT(double, target_type);                                                          \
            break;                                                                                 \
        case DK_U8:                                                                                \
            CONVERT(uint8_t, target_type);                                                         \
            break;                                                                                 \
        case DK_I32:                                                                               \
            CONVERT(int32_t, target_type);                                                         \
            break;                                                                                 \
        case DK_I64:                                                                               \
            CONVERT(int64_t, target_type);                                                         \
            break;                                                                                 \
        }                                                                                          \
    } while (0)

void dki_view_f64(const void *elements, dk_dtype type, int64_t first, int64_t stride, int64_t count,
                  double *to) {
    CONVERT_ANY(double);
}

void dki_view_f32(const void *elements, dk_dtype type, int64_t first, int64_t stride, int64_t count,
                  float *to) {
    CONVERT_ANY(float);
}

#define COPY(element_type)                                                                         \
    do {                                                                                           \
        const element_type *from = (const element_type *)elements + first;                         \
        element_type *copy = to; /* NOLINT(bugprone-macro-parentheses): a type can't have them */  \
        for (int64_t i = 0; i < count; ++i) copy[i] = from[i * stride];                            \
    } while (0)

void dki_view_copy(const void *elements, dk_dtype type, int64_t first, int64_t stride,
                   int64_t count, void *to) {
    size_t size = dki_dtype_bytes(type);
    if (stride == 1)
        memcpy(to, (const char *)elements + (size_t)first * size, (size_t)count * size);
    else if (type == DK_F32)
        COPY(float);
    else if (type == DK_F64)
        COPY(double);
    else if (type == DK_U8)
        COPY(uint8_t);
    else if (type == DK_I32)
        COPY(int32_t);
    else
        COPY(int64_t);
}

#define FIND(float_type)                                                                           \
    do {                                                                                           \
        const float_type *from = (const float_type *)elements + first;                             \
        for (int64_t i = 0; i < count; ++i)                                                        \
            if (!isfinite(from[i * stride])) return i;                                             \
    } while (0)

int64_t dki_view_nonfinite(const void *elements, dk_dtype type, int64_t first, int64_t stride,
                           int64_t count) {
    if (type == DK_F32) FIND(float);
    if (type == DK_F64) FIND(double);
    return -1;
}
