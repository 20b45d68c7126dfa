/* What every header of this folder needs to be C11, C++17 and CUDA C++ at once.
 *
 * The rule of this folder, which makes a result the same bits on every compiler, instruction set
 * and device: floats meet only + − × ÷ √, fmaf, comparisons, integer operations and bit casts;
 * every a·b + c is written as fmaf, and a bare product is never an operand of + or −, unless a
 * factor is a power of two (so it doesn't matter whether the compiler contracts). A caller who adds
 * up what one of these functions returns must keep the rule too: sum = fmaf(weight, value, sum), or
 * a sum in double.
 *
 * Everything is straight-line code with selects, so that a plain loop around it vectorises. */
#ifndef DKI_FUNCTION_H
#define DKI_FUNCTION_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define DKI_FN static __host__ __device__ __forceinline__
#else
#define DKI_FN static inline __attribute__((always_inline))
#endif

/** The bits of a float. */
DKI_FN uint32_t dki_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/** The float of these bits. */
DKI_FN float dki_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** |x|, also of NaN. */
DKI_FN float dki_abs(float x) {
    return dki_from_bits(dki_bits(x) & 0x7fffffffu);
}

/** |magnitude| with the sign of `sign`. */
DKI_FN float dki_copy_sign(float magnitude, float sign) {
    return dki_from_bits((dki_bits(magnitude) & 0x7fffffffu) | (dki_bits(sign) & 0x80000000u));
}

/** min(high, max(low, x)); NaN stays NaN. */
DKI_FN float dki_clamp(float x, float low, float high) {
    return x < low ? low : (x > high ? high : x);
}

/** −1, 0 or 1; NaN stays NaN. */
DKI_FN float dki_sign(float x) {
    return x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : x);
}

#endif
