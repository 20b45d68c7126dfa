/* The activations g and their derivatives g′: formulas, kinks and defaults at dk_activation.
 *
 * `kind` is meant to be a constant where these are called, so that the switch leaves straight-line
 * code. With e = e^−|z| ≤ 1 nothing overflows for any finite z, and nothing is 0·∞. NaN comes out
 * as NaN. */
#ifndef DKI_ACTIVATION_H
#define DKI_ACTIVATION_H

#include "deltak/deltak.h"
#include "kernels/scalar.h"

/** One row for each activation: row(constant, name, α's default, initial weights). An α of 0 says that it
 *  takes none; the weights are those that DK_INIT_AUTO draws in deep networks. Switches, names and tests
 *  are made of these rows. */
#define DKI_EACH_ACTIVATION(row)                                                                   \
    row(DK_IDENTITY, "identity", 0.0f, DK_INIT_XAVIER_UNIFORM)                                     \
        row(DK_RELU, "relu", 0.0f, DK_INIT_HE_NORMAL) row(DK_LEAKY_RELU, "leaky_relu", 0.01f,      \
                                                          DK_INIT_HE_NORMAL)                       \
            row(DK_ELU, "elu", 1.0f, DK_INIT_HE_NORMAL) row(DK_SELU, "selu", 0.0f,                 \
                                                            DK_INIT_LECUN_NORMAL)                  \
                row(DK_GELU, "gelu", 0.0f, DK_INIT_HE_NORMAL) row(DK_GELU_TANH, "gelu_tanh", 0.0f, \
                                                                  DK_INIT_HE_NORMAL)               \
                    row(DK_SILU, "silu", 0.0f, DK_INIT_HE_NORMAL) row(DK_MISH, "mish", 0.0f,       \
                                                                      DK_INIT_HE_NORMAL)           \
                        row(DK_SIGMOID, "sigmoid", 0.0f, DK_INIT_XAVIER_UNIFORM)                   \
                            row(DK_TANH, "tanh", 0.0f, DK_INIT_XAVIER_UNIFORM)                     \
                                row(DK_SOFTPLUS, "softplus", 0.0f, DK_INIT_HE_NORMAL)              \
                                    row(DK_SOFTSIGN, "softsign", 0.0f, DK_INIT_XAVIER_UNIFORM)     \
                                        row(DK_HARDTANH, "hardtanh", 0.0f, DK_INIT_XAVIER_UNIFORM) \
                                            row(DK_RELU6, "relu6", 0.0f, DK_INIT_HE_NORMAL)

#define DKI_PLACE(KIND, ...) DKI_PLACE_##KIND,
enum { DKI_EACH_ACTIVATION(DKI_PLACE) DKI_ACTIVATION_COUNT };
#undef DKI_PLACE

#define DKI_SELU_LAMBDA       1.05070098735548049f /* λ */
#define DKI_SELU_LAMBDA_ALPHA 1.75809934084737685f /* λα, α = 1.67326324235437728 */

/** α with the activation's default in place of 0. The functions below expect this. */
DKI_FN float dki_activation_alpha(dk_activation kind, float alpha) {
    if (alpha != 0.0f) return alpha;
    switch (kind) {
#define DKI_ALPHA(KIND, name, default_alpha, init)                                                 \
    case KIND:                                                                                     \
        return default_alpha;
        DKI_EACH_ACTIVATION(DKI_ALPHA)
#undef DKI_ALPHA
    }
    return 0.0f;
}

/** z > 0 ? above : below·eᶻ. As a sum, because a compiler that masks the lanes with z > 0 out of a
 *  select feeds the exponential a constant that underflows there, which is slow. */
DKI_FN float dki_elu_slope(float z, float above, float below) {
    return fmaf(z > 0.0f ? 0.0f : below, dki_exp_fall(z), z > 0.0f ? above : 0.0f);
}

/** 2u with u = √(2/π)(z + 0.044715 z³): gelu_tanh is z σ(2u). An infinite 2u is right for σ. */
DKI_FN float dki_gelu_inner(float z) {
    return z * fmaf(z * z, 2.0f * 0.0356774081f, 2.0f * 0.797884561f);
}

/** Mish: tanh(log(1 + eᶻ)) = (p² + 2pq)/(p² + 2pq + 2q²) for any p and q with p/q = eᶻ; here the
 *  larger of them is 1. Returns the fraction; *slope gets its derivative 4pq²(p + q)/(…)². */
DKI_FN float dki_mish_fraction(float z, float *slope) {
    const float e = dki_exp_fall(z), p = z > 0.0f ? 1.0f : e;
    const float q = dki_from_bits(dki_bits(p) ^ dki_bits(e) ^ dki_bits(1.0f)); /* the other one */
    const float top = p * fmaf(2.0f, q, p);
    const float over = 1.0f / fmaf(2.0f * q, q, top);
    *slope = 4.0f * p * q * q * (p + q) * over * over;
    return top * over;
}

/** σ′(z) = e/(1 + e)², and σ(z) by the way. */
DKI_FN float dki_sigmoid_slope(float z, float *sigmoid) {
    const float e = dki_exp_fall(z), over = 1.0f / (1.0f + e);
    *sigmoid = z >= 0.0f ? over : e * over;
    return e * over * over;
}

/** g(z). */
DKI_FN float dki_activation(dk_activation kind, float alpha, float z) {
    float other;
    switch (kind) {
    case DK_RELU:
        return z <= 0.0f ? 0.0f : z;
    case DK_LEAKY_RELU:
        return z > 0.0f ? z : alpha * z;
    case DK_ELU:
        return z > 0.0f ? z : alpha * dki_expm1(z);
    case DK_SELU:
        return z > 0.0f ? DKI_SELU_LAMBDA * z : DKI_SELU_LAMBDA_ALPHA * dki_expm1(z);
    case DK_GELU:
        return z * dki_normal_cdf(z, &other);
    case DK_GELU_TANH:
        return z * dki_sigmoid(dki_gelu_inner(z));
    case DK_SILU:
        return z * dki_sigmoid(z);
    case DK_MISH:
        return z * dki_mish_fraction(z, &other);
    case DK_SIGMOID:
        return dki_sigmoid(z);
    case DK_TANH:
        return dki_tanh(z);
    case DK_SOFTPLUS:
        return (z > 0.0f ? z : 0.0f) + dki_log1p_exp(z);
    case DK_SOFTSIGN:
        return z / (1.0f + dki_abs(z));
    case DK_HARDTANH:
        return dki_clamp(z, -1.0f, 1.0f);
    case DK_RELU6:
        return dki_clamp(z, 0.0f, 6.0f);
    case DK_IDENTITY:
        return z;
    }
    return dki_from_bits(0x7fc00000u); /* NaN: no such activation */
}

/** g′(z). */
DKI_FN float dki_activation_grad(dk_activation kind, float alpha, float z) {
    float other;
    switch (kind) {
    case DK_RELU:
        return z <= 0.0f ? 0.0f : 1.0f;
    case DK_LEAKY_RELU:
        return z > 0.0f ? 1.0f : alpha;
    case DK_ELU:
        return dki_elu_slope(z, 1.0f, alpha);
    case DK_SELU:
        return dki_elu_slope(z, DKI_SELU_LAMBDA, DKI_SELU_LAMBDA_ALPHA);
    case DK_GELU: { /* Φ(z) + z φ(z) */
        const float cdf = dki_normal_cdf(z, &other);
        return fmaf(0.398942280f * z, other, cdf);
    }
    case DK_GELU_TANH: { /* σ(2u) + z σ′(2u) 2u′; from |z| = 12 on, σ′ is 0 and 2u′ may overflow */
        const float c = dki_clamp(z, -12.0f, 12.0f);
        const float rate = fmaf(c * c, 6.0f * 0.0356774081f, 2.0f * 0.797884561f);
        const float slope = dki_sigmoid_slope(dki_gelu_inner(c), &other);
        return fmaf(c * rate, slope, other);
    }
    case DK_SILU: {
        const float slope = dki_sigmoid_slope(z, &other);
        return fmaf(z, slope, other);
    }
    case DK_MISH: {
        const float fraction = dki_mish_fraction(z, &other);
        return fmaf(z, other, fraction);
    }
    case DK_SIGMOID:
        return dki_sigmoid_slope(z, &other);
    case DK_TANH: /* tanh z = 2σ(2z) − 1 */
        return 4.0f * dki_sigmoid_slope(2.0f * z, &other);
    case DK_SOFTPLUS:
        return dki_sigmoid(z);
    case DK_SOFTSIGN: {
        const float over = 1.0f / (1.0f + dki_abs(z));
        return over * over;
    }
    case DK_HARDTANH:
        return z <= -1.0f || z >= 1.0f ? 0.0f : 1.0f;
    case DK_RELU6:
        return z <= 0.0f || z >= 6.0f ? 0.0f : 1.0f;
    case DK_IDENTITY:
        return 1.0f;
    }
    return dki_from_bits(0x7fc00000u); /* NaN: no such activation */
}

#endif
