/* g and g′ against the formulas of dk_activation in double, g′ against central differences, and the
 * ends of the number line. A wrong constant, a formula that overflows, a swallowed NaN or another
 * subgradient breaks this. */
extern "C" {
#include "kernels/activation.h"
}

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kUnit = 0x1p-24; /* unit roundoff */

dk_activation kind_of(int number) {
    return static_cast<dk_activation>(number);
}

float alpha_of(dk_activation kind) {
    return dki_activation_alpha(kind, 0.0f);
}

/** The formulas as they stand in deltak.h, without any care but for cancellation and overflow. */
double exact(dk_activation kind, double alpha, double z) {
    const double lambda = 1.0507009873554804934193349852946;
    const double selu = 1.6732632423543772848170429916717;
    switch (kind) {
    case DK_IDENTITY:
        return z;
    case DK_RELU:
        return std::fmax(0.0, z);
    case DK_LEAKY_RELU:
        return z > 0 ? z : alpha * z;
    case DK_ELU:
        return z > 0 ? z : alpha * std::expm1(z);
    case DK_SELU:
        return lambda * (z > 0 ? z : selu * std::expm1(z));
    case DK_GELU:
        return z * std::erfc(-z / std::sqrt(2.0)) / 2;
    case DK_GELU_TANH:
        return z / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
    case DK_SILU:
        return z / (1 + std::exp(-z));
    case DK_MISH:
        return z * std::tanh(std::log1p(std::exp(std::fmin(z, 700.0))));
    case DK_SIGMOID:
        return 1 / (1 + std::exp(-z));
    case DK_TANH:
        return std::tanh(z);
    case DK_SOFTPLUS:
        return z > 30 ? z + std::exp(-z) : std::log1p(std::exp(z));
    case DK_SOFTSIGN:
        return z / (1 + std::fabs(z));
    case DK_HARDTANH:
        return std::fmin(1.0, std::fmax(-1.0, z));
    case DK_RELU6:
        return std::fmin(6.0, std::fmax(0.0, z));
    }
    return NAN;
}

bool near_kink(dk_activation kind, double z, double h) {
    switch (kind) {
    case DK_RELU:
    case DK_LEAKY_RELU:
    case DK_ELU:
    case DK_SELU:
        return std::fabs(z) <= h;
    case DK_HARDTANH:
        return std::fabs(std::fabs(z) - 1) <= h;
    case DK_RELU6:
        return std::fabs(z) <= h || std::fabs(z - 6) <= h;
    case DK_IDENTITY:
    case DK_GELU:
    case DK_GELU_TANH:
    case DK_SILU:
    case DK_MISH:
    case DK_SIGMOID:
    case DK_TANH:
    case DK_SOFTPLUS:
    case DK_SOFTSIGN:
        return false;
    }
    return false;
}

TEST(KernelsActivation, AlphaHasADefault) {
    EXPECT_EQ(dki_activation_alpha(DK_LEAKY_RELU, 0.0f), 0.01f);
    EXPECT_EQ(dki_activation_alpha(DK_ELU, 0.0f), 1.0f);
    EXPECT_EQ(dki_activation_alpha(DK_LEAKY_RELU, 0.2f), 0.2f);
}

/* Relative error: the scalar functions' bounds are at most 7 ulp, that is 14 units, of the result;
 * two or three more roundings follow. gelu_tanh and the tails in general carry the rounding of the
 * exponent x, which is x units of eˣ, and that of its argument: 2u has three roundings. */
TEST(KernelsActivation, ValueAgreesWithTheFormula) {
    for (int number = 0; number < DKI_ACTIVATION_COUNT; ++number) {
        const dk_activation kind = kind_of(number);
        const float alpha = alpha_of(kind);
        for (double at = -80.0; at <= 80.0; at += 0.00731) {
            const float z = static_cast<float>(at);
            const double want = exact(kind, alpha, z);
            const double exponent =
                kind == DK_GELU_TANH ? std::fabs(1.6 * z + 0.0714 * z * z * z) : 0.0;
            /* below 2⁻¹²⁶, and for 2u < −88 where σ is one of them, denormals round by 2⁻¹⁵⁰ */
            const double bound =
                (18 + 4 * exponent) * kUnit * std::fabs(want) + std::fabs(z) * 0x1p-149 + 0x1p-149;
            ASSERT_NEAR(dki_activation(kind, alpha, z), want, bound) << number << " at " << z;
        }
    }
}

/* The central difference of the exact formula with h = 1e-4 is off by h²/6·|g‴| + 2·2⁻⁵³|g|/h;
 * |g‴| ≤ 4 for every g here (tanh: 2; softsign: 6, at 0 its third derivative jumps) and |g| ≤ 40.
 * Ours: g′ ≤ 1.2 is a sum of terms up to |z| e^−|z| … ≤ 1.2, each within 20 units. */
TEST(KernelsActivation, GradientIsTheDerivativeOfTheValue) {
    const double h = 1e-4;
    for (int number = 0; number < DKI_ACTIVATION_COUNT; ++number) {
        const dk_activation kind = kind_of(number);
        const float alpha = alpha_of(kind);
        for (double at = -30.0; at <= 30.0; at += 0.00317) {
            const float z = static_cast<float>(at);
            if (near_kink(kind, z, h)) continue;
            const double slope = (exact(kind, alpha, z + h) - exact(kind, alpha, z - h)) / (2 * h);
            const double bound = h * h + 0x1p-52 * std::fabs(z) / h + 40 * kUnit;
            const double kink = kind == DK_SOFTSIGN && std::fabs(z) <= h ? h : 0.0;
            ASSERT_NEAR(dki_activation_grad(kind, alpha, z), slope, bound + kink)
                << number << " at " << z;
        }
    }
}

TEST(KernelsActivation, SubgradientsAtKinksArePyTorchs) {
    EXPECT_EQ(dki_activation_grad(DK_RELU, 0.0f, 0.0f), 0.0f);
    EXPECT_EQ(dki_activation_grad(DK_LEAKY_RELU, 0.2f, 0.0f), 0.2f);
    EXPECT_EQ(dki_activation_grad(DK_ELU, 0.7f, 0.0f), 0.7f);
    EXPECT_EQ(dki_activation_grad(DK_SELU, 0.0f, 0.0f), 1.75809934084737685f);
    EXPECT_EQ(dki_activation_grad(DK_HARDTANH, 0.0f, 1.0f), 0.0f);
    EXPECT_EQ(dki_activation_grad(DK_HARDTANH, 0.0f, -1.0f), 0.0f);
    EXPECT_EQ(dki_activation_grad(DK_HARDTANH, 0.0f, 0.999f), 1.0f);
    EXPECT_EQ(dki_activation_grad(DK_RELU6, 0.0f, 0.0f), 0.0f);
    EXPECT_EQ(dki_activation_grad(DK_RELU6, 0.0f, 6.0f), 0.0f);
    EXPECT_EQ(dki_activation_grad(DK_RELU6, 0.0f, 5.999f), 1.0f);
}

struct limits {
    float below, above;           /* g(∓z) for large z; NAN: z g′ */
    float below_grad, above_grad; /* g′ */
};

TEST(KernelsActivation, LargeArgumentsGiveTheExactLimits) {
    const float lambda = 1.05070098735548049f, selu = 1.75809934084737685f;
    const limits table[] = {
        {NAN, NAN, 1, 1},        /* identity */
        {0, NAN, 0, 1},          /* relu */
        {NAN, NAN, 0.01f, 1},    /* leaky_relu */
        {-1, NAN, 0, 1},         /* elu */
        {-selu, NAN, 0, lambda}, /* selu */
        {0, NAN, 0, 1},          /* gelu */
        {0, NAN, 0, 1},          /* gelu_tanh */
        {0, NAN, 0, 1},          /* silu */
        {0, NAN, 0, 1},          /* mish */
        {0, 1, 0, 0},            /* sigmoid */
        {-1, 1, 0, 0},           /* tanh */
        {0, NAN, 0, 1},          /* softplus */
        {NAN, NAN, NAN, NAN},    /* softsign: only algebraically fast */
        {-1, 1, 0, 0},           /* hardtanh */
        {0, 6, 0, 0},            /* relu6 */
    };
    static_assert(sizeof table / sizeof *table == DKI_ACTIVATION_COUNT);
    for (int number = 0; number < DKI_ACTIVATION_COUNT; ++number) {
        const dk_activation kind = kind_of(number);
        const float alpha = alpha_of(kind);
        const limits &want = table[number];
        for (const float z : {1e4f, 1e9f, 1e20f, 3e38f}) {
            const float below = dki_activation(kind, alpha, -z);
            const float above = dki_activation(kind, alpha, z);
            EXPECT_FALSE(std::isnan(below) || std::isnan(above)) << number;
            EXPECT_FALSE(std::isnan(dki_activation_grad(kind, alpha, z))) << number << " " << z;
            EXPECT_FALSE(std::isnan(dki_activation_grad(kind, alpha, -z))) << number << " " << z;
            if (kind == DK_SOFTSIGN) {
                EXPECT_NEAR(above, 1.0f, 2 / z + 2 * kUnit);
                EXPECT_EQ(below, -above);
                continue;
            }
            EXPECT_EQ(below, std::isnan(want.below) ? want.below_grad * -z : want.below)
                << number << " " << z;
            EXPECT_EQ(above, std::isnan(want.above) ? want.above_grad * z : want.above)
                << number << " " << z;
            EXPECT_EQ(dki_activation_grad(kind, alpha, -z), want.below_grad) << number << " " << z;
            EXPECT_EQ(dki_activation_grad(kind, alpha, z), want.above_grad) << number << " " << z;
        }
    }
}

TEST(KernelsActivation, NanIsNeverSwallowed) {
    for (int number = 0; number < DKI_ACTIVATION_COUNT; ++number) {
        const dk_activation kind = kind_of(number);
        EXPECT_TRUE(std::isnan(dki_activation(kind, alpha_of(kind), kNan))) << number;
    }
    EXPECT_EQ(dki_activation(DK_RELU, 0.0f, kInf), kInf);
    EXPECT_EQ(dki_activation(DK_HARDTANH, 0.0f, -kInf), -1.0f);
}

} // namespace
