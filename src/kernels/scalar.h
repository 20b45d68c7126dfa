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

/** x = n log 2 + f with |f| ≤ (log 2)/2; returns f. Adding shift = 1.5·2²³ + k rounds to an
 * integer: the low 22 bits of *bits are n + k. |x| < 2²⁰; for NaN, f is NaN and *bits anything. */
DKI_FN float dki_reduce(float x, float shift, uint32_t *bits) {
    const float shifted = fmaf(x, 0x1.715476p+0f, shift); /* 1/log 2 */
    const float n = shifted - shift;
    *bits = dki_bits(shifted);
    return fmaf(n, 0x1.05c610p-29f, fmaf(n, -0x1.62e430p-1f, x)); /* log 2 in two parts */
}

/** (eᶠ − 1 − f)/f², |f| ≤ 0.35: relative error of eᶠ − 1 below 2⁻³¹. */
DKI_FN float dki_exp_quotient(float f) {
    float q = fmaf(0x1.9e8684p-13f, f, 0x1.6d404cp-10f);
    q = fmaf(q, f, 0x1.1112d2p-7f);
    q = fmaf(q, f, 0x1.5554f4p-5f);
    q = fmaf(q, f, 0x1.555554p-3f);
    return fmaf(q, f, 0.5f);
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
    uint32_t bits;
    const float f = dki_reduce(dki_clamp(x, -104.5f, 89.0f), 0x1.8p23f, &bits);
    const int32_t n = (int32_t)(bits - 0x4b400000u), half = n >> 1; /* the bits of 1.5·2²³ */
    const float p = fmaf(f, fmaf(f, dki_exp_quotient(f), 1.0f), 1.0f);
    return p * dki_power_of_two(half) * dki_power_of_two(n - half);
}

/** e^−|x|, within 1 ulp: less work than dki_exp, because n + 24 + 127 is a valid exponent for every
 *  n from −150 (e⁻¹⁰⁴ rounds to 0) to 0; the factor 2⁻²⁴ rounds denormal results. */
DKI_FN float dki_exp_fall(float x) {
    const float size = dki_abs(x);
    uint32_t bits;
    const float f = dki_reduce(size > 104.0f ? -104.0f : -size, 0x1.8p23f + 151.0f, &bits);
    const float p = fmaf(f, fmaf(f, dki_exp_quotient(f), 1.0f), 1.0f);
    return p * dki_from_bits(bits << 23) * 0x1p-24f;
}

/** eˣ − 1, within 2 ulp: 2((eᶠ − 1) 2ⁿ⁻¹ + (2ⁿ⁻¹ − 1/2)). */
DKI_FN float dki_expm1(float x) {
    uint32_t bits;
    const float f = dki_reduce(dki_clamp(x, -30.0f, 89.0f), 0x1.8p23f, &bits);
    const int32_t n = (int32_t)(bits - 0x4b400000u);
    const float part = fmaf(f * f, dki_exp_quotient(f), f);
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

/** log(1 + e^−|x|), within 2 ulp: what log(1 + eˣ) is above max(x, 0). With e = e^−|x| ≤ 1 and
 *  m = e, or (e − 1)/2 where 1 + e ≥ 4/3 is halved, nothing of e is lost to 1 + e. The choice is
 *  arithmetic (h = 1 or 0), because compilers duplicate the polynomial for two selects. */
DKI_FN float dki_log1p_exp(float x) {
    const float e = dki_exp_fall(x), h = e > 0x1.555556p-2f ? 1.0f : 0.0f;
    const float m = fmaf(e, fmaf(-0.5f, h, 1.0f), -0.5f * h);
    return fmaf(h, 0x1.62e430p-1f, dki_log1p_small(m));
}

/** σ(x) = 1/(1 + e⁻ˣ), within 3 ulp, denormal results included. */
DKI_FN float dki_sigmoid(float x) {
    const float e = dki_exp_fall(x);
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

/** tanh x, within 2 ulp: an odd polynomial up to 5/8, then (1 − e)/(1 + e), e = e^−2|x|. */
DKI_FN float dki_tanh(float x) {
    const float size = dki_abs(x), s = x * x;
    const float e = dki_exp_fall(size + size), large = (1.0f - e) / (1.0f + e);
    float q = fmaf(-0x1.76922ap-8f, s, 0x1.52509ep-6f);
    q = fmaf(q, s, -0x1.b84340p-5f);
    q = fmaf(q, s, 0x1.110760p-3f);
    q = fmaf(q, s, -0x1.555534p-2f);
    return size <= 0.625f ? fmaf(x * s, q, x) : dki_copy_sign(large, x);
}

/** Φ(x) = (1 + erf(x/√2))/2, the normal distribution function, within 4 ulp for x ≥ 0 and 7 ulp
 *  below, down to the denormals (1 + erf would lose the tail); *bell gets e^(−x²/2), within 2 ulp.
 *
 *  With t = |x|: Φ(−t) = e^(−t²/2) R(t), where (t + 3) R(t) goes smoothly from 3/2 to 1/√2π, and is
 * a polynomial in u = (3 − t)/(3 + t). The square is rounded; e^(−rest/2) ≈ 1 − rest/2 makes up for
 *  that. From t = 14.5 on the tail is 0. */
DKI_FN float dki_normal_cdf(float x, float *bell) {
    const float size = dki_abs(x), t = size > 14.5f ? 14.5f : size;
    const float square = t * t, rest = fmaf(t, t, -square);
    const float rounded = dki_exp_fall(0.5f * square);
    const float e = fmaf(-0.5f * rest, rounded, rounded);
    const float over = 1.0f / (t + 3.0f), u = fmaf(6.0f, over, -1.0f);
    float p = fmaf(-0x1.15efeap-12f, u, 0x1.d8dc64p-11f);
    p = fmaf(p, u, 0x1.19df4cp-10f);
    p = fmaf(p, u, -0x1.c5c7c8p-8f);
    p = fmaf(p, u, -0x1.576656p-7f);
    p = fmaf(p, u, 0x1.832068p-5f);
    p = fmaf(p, u, 0x1.d71462p-3f);
    p = fmaf(p, u, 0x1.04c730p-1f);
    p = fmaf(p, u, 0x1.754a74p-1f);
    p *= over;
    *bell = e;
    return x > 0.0f ? fmaf(-e, p, 1.0f) : e * p;
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
