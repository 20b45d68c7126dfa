/* Between fp32 and bf16, by integer operations: the processor's own instructions would flush denormal
 * numbers to 0. */
#include "backend/cpu/loops.h"
#include "base/half.h"

void DKI_LOOP(dki_loops_widen)(const uint16_t *from, int64_t count, float *to);
void DKI_LOOP(dki_loops_narrow)(const float *from, int64_t count, uint16_t *to);

void DKI_LOOP(dki_loops_widen)(const uint16_t *from, int64_t count, float *to) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) to[i] = dki_bf16_to_float(from[i]);
}

void DKI_LOOP(dki_loops_narrow)(const float *from, int64_t count, uint16_t *to) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) to[i] = dki_bf16_from_float(from[i]);
}
