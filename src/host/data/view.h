/* Strided features of any type, read as double or float. */
#ifndef DKI_VIEW_H
#define DKI_VIEW_H

#include "backend/backend.h"

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
