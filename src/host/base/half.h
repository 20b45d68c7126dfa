/* The 16-bit number formats as floats: both fit exactly. */
#ifndef DKI_HALF_H
#define DKI_HALF_H

#include <stdint.h>
#include <string.h>

/** bfloat16: the upper half of a float. */
static inline float dki_bf16_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/** Rounded to nearest, ties to even; a NaN stays one. */
static inline uint16_t dki_bf16_from_float(float value) {
    uint32_t wide;
    memcpy(&wide, &value, sizeof wide);
    const uint32_t rounded = (wide + 0x7fffu + (wide >> 16 & 1u)) >> 16;
    const uint32_t quiet = wide >> 16 | 0x40u;
    return (uint16_t)((wide & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

/** IEEE binary16: 5 bits of exponent (bias 15) and 10 of fraction. The exponent is moved to its
 *  place and corrected by a multiplication with 2¹¹², which makes denormal numbers right, too. */
static inline float dki_f16_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)(bits & 0x7fffu) << 13;
    float value;
    memcpy(&value, &wide, sizeof value);
    value *= 0x1p112f;
    memcpy(&wide, &value, sizeof wide);
    if ((bits & 0x7c00u) == 0x7c00u) wide |= 0x7f800000u; /* Inf and NaN */
    wide |= (uint32_t)(bits & 0x8000u) << 16;
    memcpy(&value, &wide, sizeof value);
    return value;
}

#endif
