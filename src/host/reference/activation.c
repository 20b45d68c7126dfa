/* g and g′ of every activation, from libm, in forms of their own: Φ by erfc, the tanh form of GELU
 * as a sigmoid, tanh′ by cosh. Each stays accurate for every z that fp32 can hold. */
#include "reference/reference.h"

#include <math.h>

static const double selu_lambda = 1.0507009873554804934193349852946; /* Klambauer 2017, eq. (14) */
static const double selu_alpha = 1.6732632423543772848170429916717;

static double sigma(double z) {
    return z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}

/* log(1 + eᶻ) = max(z, 0) + log(1 + e^{−|z|}) */
static double softplus(double z) {
    return (z > 0 ? z : 0) + log1p(exp(-fabs(z)));
}

/* Φ(z) = erfc(−z/√2)/2 */
static double normal_cdf(double z) {
    return erfc(-z * M_SQRT1_2) / 2;
}

/* φ(z) = e^{−z²/2}/√(2π) */
static double normal_density(double z) {
    return exp(-z * z / 2) * M_SQRT1_2 * M_2_SQRTPI / 2;
}

/* (1 + tanh u)/2 = σ(2u), u = √(2/π)(z + 0.044715 z³): the v = 2u of the tanh form of GELU */
static double gelu_tanh_inner(double z) {
    return 2 * M_SQRT1_2 * M_2_SQRTPI * (z + 0.044715 * z * z * z);
}

static double gelu_tanh_inner_prime(double z) {
    return 2 * M_SQRT1_2 * M_2_SQRTPI * (1 + 3 * 0.044715 * z * z);
}

double dki_ref_g(dk_activation activation, double alpha, double z) {
    switch (activation) {
    case DK_IDENTITY:
        return z;
    case DK_RELU:
        return z < 0 ? 0 : z;
    case DK_LEAKY_RELU:
        return z > 0 ? z : alpha * z;
    case DK_ELU:
        return z > 0 ? z : alpha * expm1(z);
    case DK_SELU:
        return selu_lambda * (z > 0 ? z : selu_alpha * expm1(z));
    case DK_GELU:
        return z * normal_cdf(z);
    case DK_GELU_TANH:
        return z * sigma(gelu_tanh_inner(z));
    case DK_SILU:
        return z * sigma(z);
    case DK_MISH:
        return z * tanh(softplus(z));
    case DK_SIGMOID:
        return sigma(z);
    case DK_TANH:
        return tanh(z);
    case DK_SOFTPLUS:
        return softplus(z);
    case DK_SOFTSIGN:
        return z / (1 + fabs(z));
    case DK_HARDTANH:
        return z > 1 ? 1 : z < -1 ? -1 : z;
    case DK_RELU6:
        return z > 6 ? 6 : z < 0 ? 0 : z;
    }
    return NAN;
}

double dki_ref_g_prime(dk_activation activation, double alpha, double z) {
    switch (activation) {
    case DK_IDENTITY:
        return 1;
    case DK_RELU:
        return z > 0 ? 1 : 0;
    case DK_LEAKY_RELU:
        return z > 0 ? 1 : alpha;
    case DK_ELU:
        return z > 0 ? 1 : alpha * exp(z);
    case DK_SELU:
        return selu_lambda * (z > 0 ? 1 : selu_alpha * exp(z));
    case DK_GELU:
        return normal_cdf(z) + z * normal_density(z); /* (zΦ)′, Φ′ = φ */
    case DK_GELU_TANH: {
        /* (z σ(v))′ = σ(v) + z σ(v) σ(−v) v′ */
        double v = gelu_tanh_inner(z);
        return sigma(v) + z * sigma(v) * sigma(-v) * gelu_tanh_inner_prime(z);
    }
    case DK_SILU:
        return sigma(z) + z * sigma(z) * sigma(-z);
    case DK_MISH: {
        /* (z tanh s)′ = tanh s + z σ(z)/cosh² s, s = softplus(z), s′ = σ(z) */
        double s = softplus(z), c = cosh(s);
        return tanh(s) + z * sigma(z) / c / c;
    }
    case DK_SIGMOID:
        return sigma(z) * sigma(-z);
    case DK_TANH:
        return 1 / cosh(z) / cosh(z);
    case DK_SOFTPLUS:
        return sigma(z);
    case DK_SOFTSIGN:
        return 1 / (1 + fabs(z)) / (1 + fabs(z));
    case DK_HARDTANH:
        return -1 < z && z < 1 ? 1 : 0;
    case DK_RELU6:
        return 0 < z && z < 6 ? 1 : 0;
    }
    return NAN;
}

double dki_ref_g_curvature(dk_activation activation, double alpha) {
    switch (activation) {
    case DK_IDENTITY:
    case DK_RELU:
    case DK_LEAKY_RELU:
    case DK_HARDTANH:
    case DK_RELU6:
        return 0;
    case DK_ELU:
        return fabs(alpha);
    case DK_SELU:
        return selu_lambda * selu_alpha;
    case DK_GELU:
        return 0.798; /* |φ(z)(2 − z²)| at 0: √(2/π) = 0.79788… */
    case DK_GELU_TANH:
        return 0.799; /* at 0: 2√(2/π)/2, as the exact form */
    case DK_SILU:
        return 0.5; /* at 0: 2σ′(0) */
    case DK_MISH:
        return 0.645; /* numerically: 0.6442… */
    case DK_SIGMOID:
        return 0.0963; /* 1/(6√3) = 0.096225… */
    case DK_TANH:
        return 0.77; /* 4/(3√3) = 0.76980… */
    case DK_SOFTPLUS:
        return 0.25; /* σ′(0) */
    case DK_SOFTSIGN:
        return 2; /* 2/(1 + |z|)³ at 0 */
    }
    return NAN;
}

double dki_ref_g_prime_jump(dk_activation activation, double alpha, double z, double radius) {
    bool at_zero = fabs(z) <= radius;
    switch (activation) {
    case DK_RELU:
        return at_zero ? 1 : 0;
    case DK_LEAKY_RELU:
    case DK_ELU:
        return at_zero ? fabs(1 - alpha) : 0;
    case DK_SELU:
        return at_zero ? selu_lambda * (selu_alpha - 1) : 0;
    case DK_HARDTANH:
        return fabs(fabs(z) - 1) <= radius ? 1 : 0;
    case DK_RELU6:
        return at_zero || fabs(z - 6) <= radius ? 1 : 0;
    case DK_IDENTITY:
    case DK_GELU:
    case DK_GELU_TANH:
    case DK_SILU:
    case DK_MISH:
    case DK_SIGMOID:
    case DK_TANH:
    case DK_SOFTPLUS:
    case DK_SOFTSIGN:
        return 0;
    }
    return 0;
}
