/* Strided features of any type, read as double or float. */
#ifndef DKI_VIEW_H
#define DKI_VIEW_H

#include "base/error.h"

/** Bytes of one element. */
static inline size_t dki_dtype_bytes(dk_dtype type) {
    switch (type) {
    case DK_F32:
    case DK_I32:
        return 4;
    case DK_F64:
    case DK_I64:
        return 8;
    case DK_U8:
        return 1;
    }
    return 0;
}

static inline bool dki_dtype_is_float(dk_dtype type) {
    return type == DK_F32 || type == DK_F64;
}

/** to[i] = element first + i·stride, for i < count. */
void dki_view_f64(const void *elements, dk_dtype type, int64_t first, int64_t stride, int64_t count,
                  double *to);
void dki_view_f32(const void *elements, dk_dtype type, int64_t first, int64_t stride, int64_t count,
                  float *to);

/** Copies the elements as they are, without gaps. */
void dki_view_copy(const void *elements, dk_dtype type, int64_t first, int64_t stride,
                   int64_t count, void *to);

/** The least i < count whose element is NaN or Inf, or −1. */
int64_t dki_view_nonfinite(const void *elements, dk_dtype type, int64_t first, int64_t stride,
                           int64_t count);

#endif
