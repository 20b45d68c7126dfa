/* Elementary functions in fp32 that give the same bits everywhere (see function.h), vectorise, and
 * carry their error bound: in ulp (units in the last place of the exact result), over all finite
 * arguments unless said otherwise, NaN for NaN, and the exact limits at overflow, underflow and ±∞.
 *
 * Polynomials are minimax fits in the relative error of the function, made with 30 digits and then
 * rounded to fp32 one coefficient after the other, the others fitted anew each time. */
#ifndef DKI_SCALAR_H
#define DKI_SCALAR_H

#include "kernels/function.h"

/** 2ⁿ, −126 ≤ n ≤ 127. */
DKI_FN float dki_power_of_two(int32_t n) {
    return dki_from_bits((uint32_t)(n + 127) << 23);
}

/** x = n log 2 + f with |f| ≤ (log 2)/2; returns f. |x| < 2²¹; for NaN, f is NaN and *n anything.
 *  Adding 1.5·2²³ rounds to an integer and leaves it in the low bits. */
DKI_FN float dki_reduce(float x, int32_t *n) {
    const float shift = 12582912.0f;
    const float shifted = fmaf(x, 0x1.715476p+0f, shift); /* 1/log 2 */
    const float count = shifted - shift;
    *n = (int32_t)(dki_bits(shifted) << 9) >> 9;
    return fmaf(count, 0x1.05c610p-29f, fmaf(count, -0x1.62e430p-1f, x)); /* log 2 in two parts */
}

/** eᶠ − 1, |f| ≤ 0.35; relative error below 2⁻²⁴. */
DKI_FN float dki_expm1_small(float f) {
    float q = fmaf(0x1.9e8684p-13f, f, 0x1.6d404cp-10f);
    q = fmaf(q, f, 0x1.1112d2p-7f);
    q = fmaf(q, f, 0x1.5554f4p-5f);
    q = fmaf(q, f, 0x1.555554p-3f);
    q = fmaf(q, f, 0.5f);
    return fmaf(f * f, q, f);
}

/** log(1 + m), |m| ≤ 1/3 (a little more does no harm); relative error below 2⁻²³. */
DKI_FN float dki_log1p_small(float m) {
    float q = fmaf(-0x1.080cdep-3f, m, 0x1.1e85aep-3f);
    q = fmaf(q, m, -0x1.f30eb6p-4f);
    q = fmaf(q, m, 0x1.1ed170p-3f);
    q = fmaf(q, m, -0x1.559ddep-3f);
    q = fmaf(q, m, 0x1.99d076p-3f);
    q = fmaf(q, m, -0x1.fffef0p-3f);
    q = fmaf(q, m, 0x1.555506p-2f);
    q = fmaf(q, m, -0.5f);
    return fmaf(m * m, q, m);
}

/** eˣ, within 1 ulp. Beyond the clamp the result is 0 or ∞ anyway; 2ⁿ in two factors rounds
 *  denormal results once. */
DKI_FN float dki_exp(float x) {
    int32_t n;
    const float f = dki_reduce(dki_clamp(x, -104.5f, 89.0f), &n);
    const int32_t half = n >> 1;
    return (1.0f + dki_expm1_small(f)) * dki_power_of_two(half) * dki_power_of_two(n - half);
}

/** eˣ − 1, within 2 ulp: 2((eᶠ − 1) 2ⁿ⁻¹ + (2ⁿ⁻¹ − 1/2)). */
DKI_FN float dki_expm1(float x) {
    int32_t n;
    const float part = dki_expm1_small(dki_reduce(dki_clamp(x, -30.0f, 89.0f), &n));
    const float scale = dki_power_of_two(n - 1);
    const float half = fmaf(part, scale, scale - 0.5f);
    return n == 0 ? part : half + half;
}

/** log x, within 1 ulp; −∞ at 0, NaN below. x = 2ᵉ (1 + m), 2/3 ≤ 1 + m < 4/3. */
DKI_FN float dki_log(float x) {
    const bool tiny = x < 0x1p-126f;
    const float scaled = tiny ? x * 0x1p23f : x;
    const uint32_t exponent = (dki_bits(scaled) - 0x3f2aaaabu) & 0xff800000u;
    const float e = fmaf((float)(int32_t)exponent, 0x1p-23f, tiny ? -23.0f : 0.0f);
    const float m = dki_from_bits(dki_bits(scaled) - exponent) - 1.0f;
    const float finite = fmaf(e, 0x1.62e430p-1f, dki_log1p_small(m));
    const float above = x < INFINITY ? finite : x;
    return x > 0.0f ? above : (x == 0.0f ? -INFINITY : NAN);
}

/** log(1 + x), within 2 ulp; −∞ at −1, NaN below. 1 + x ≈ 2ᵉ gives m = 2⁻ᵉ x + (2⁻ᵉ − 1) without
 *  the rounding of 1 + x. */
DKI_FN float dki_log1p(float x) {
    const uint32_t exponent = (dki_bits(1.0f + x) - 0x3f2aaaabu) & 0xff800000u;
    const float inverse4 = dki_from_bits(0x40800000u - exponent); /* 4·2⁻ᵉ: 2⁻ᵉ may be denormal */
    const float m = dki_from_bits(dki_bits(x) - exponent) + fmaf(0.25f, inverse4, -1.0f);
    const float e = (float)(int32_t)exponent * 0x1p-23f;
    const float finite = fmaf(e, 0x1.62e430p-1f, dki_log1p_small(m));
    const float above = x < INFINITY ? finite : x;
    return x > -1.0f ? above : (x == -1.0f ? -INFINITY : NAN);
}

/** 1/(1 + e⁻ˣ), within 3 ulp, denormal results included. */
DKI_FN float dki_sigmoid(float x) {
    const float e = dki_exp(-dki_abs(x));
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

/** tanh x, within 2 ulp: an odd polynomial up to 5/8, then 1 − 2/(e²ˣ + 1). */
DKI_FN float dki_tanh(float x) {
    const float size = dki_abs(x), s = x * x;
    const float large = 1.0f - 2.0f / (dki_exp(size + size) + 1.0f);
    float q = fmaf(-0x1.76922ap-8f, s, 0x1.52509ep-6f);
    q = fmaf(q, s, -0x1.b84340p-5f);
    q = fmaf(q, s, 0x1.110760p-3f);
    q = fmaf(q, s, -0x1.555534p-2f);
    return size <= 0.625f ? fmaf(x * s, q, x) : dki_copy_sign(large, x);
}

/** erf x, within 2 ulp: x + x p(x²) up to 0.925, then 1 − e^(−t q(t)), t = |x|, which is 1 in fp32
 *  from t = 4 on. */
DKI_FN float dki_erf(float x) {
    const float size = dki_abs(x), s = x * x, t = size > 4.0f ? 4.0f : size;
    float p = fmaf(-0x1.398912p-11f, s, 0x1.4723dep-8f);
    p = fmaf(p, s, -0x1.b689b6p-6f);
    p = fmaf(p, s, 0x1.ce1a88p-4f);
    p = fmaf(p, s, -0x1.8126e8p-2f);
    p = fmaf(p, s, 0x1.06eba6p-3f);
    float q = fmaf(0x1.78e138p-17f, t, -0x1.527e5ep-12f);
    q = fmaf(q, t, 0x1.dd6e38p-9f);
    q = fmaf(q, t, -0x1.8551d2p-6f);
    q = fmaf(q, t, 0x1.b3259cp-4f);
    q = fmaf(q, t, 0x1.45328ap-1f);
    q = fmaf(q, t, 0x1.20ef1cp+0f);
    const float large = 1.0f - dki_exp(-t * q);
    return size <= 0.925f ? fmaf(x, p, x) : dki_copy_sign(large, x);
}

/** Φ(x), the normal distribution function, within 2⁻²³ absolutely. */
DKI_FN float dki_normal_cdf(float x) {
    return fmaf(0.5f, dki_erf(x * 0x1.6a09e6p-1f), 0.5f);
}

/** The normal variate Φ⁻¹((word + ½)/2³²), absolute error below 1.5e-6: PPND7 of Wichura 1988
 *  (algorithm AS 241). The sign bit folds the distribution: with m the 31 bits below it (inverted
 *  where it is 0), q = (m + ½)/2³² is the distance from the median and p = ½ − q the tail, either
 *  of them to full precision. p ≥ 2⁻³³, so AS 241's far tail is never needed. */
DKI_FN float dki_normal(uint32_t word) {
    const uint32_t m = (word & 0x80000000u ? word : ~word) & 0x7fffffffu;
    const float q = fmaf((float)(int32_t)m, 0x1p-32f, 0x1p-33f);
    const float p = fmaf((float)(int32_t)(0x7fffffffu - m), 0x1p-32f, 0x1p-33f);

    const float r = fmaf(-q, q, 0.180625f);
    float top = fmaf(59.109374720f, r, 159.29113202f);
    top = fmaf(top, r, 50.434271938f);
    top = fmaf(top, r, 3.3871327179f);
    float bottom = fmaf(67.187563600f, r, 78.757757664f);
    bottom = fmaf(bottom, r, 17.895169469f);
    bottom = fmaf(bottom, r, 1.0f);

    const float t = sqrtf(-dki_log(p)) - 1.6f;
    float tail_top = fmaf(0.17023821103f, t, 1.3067284816f);
    tail_top = fmaf(tail_top, t, 2.7568153900f);
    tail_top = fmaf(tail_top, t, 1.4234372777f);
    float tail_bottom = fmaf(0.12021132975f, t, 0.73700164250f);
    tail_bottom = fmaf(tail_bottom, t, 1.0f);

    const bool central = q <= 0.425f;
    const float size = (central ? q * top : tail_top) / (central ? bottom : tail_bottom);
    return word & 0x80000000u ? size : -size;
}

#endif
