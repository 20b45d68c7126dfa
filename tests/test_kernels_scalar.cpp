/* The elementary functions against the C library's in double, over floats of every sign, exponent
 * and mantissa in steps of a prime. A wrong coefficient, a lost special case or a double rounding
 * of denormals breaks the stated bound. */
extern "C" {
#include "kernels/scalar.h"
}

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/** |got − exact| in units in the last place of `exact`; ∞ counts as 2¹²⁸, which is what it would be
 *  with one more exponent. */
double ulps(float got, double exact) {
    if (std::isnan(exact)) return std::isnan(got) ? 0.0 : HUGE_VAL;
    if (std::isinf(exact) || exact == 0.0) return got == exact ? 0.0 : HUGE_VAL;
    if (std::fabs(exact) >= 0x1.000001p128 && std::isinf(got))
        return std::signbit(got) == std::signbit(exact) ? 0.0 : HUGE_VAL;
    const double value = std::isinf(got) ? std::copysign(0x1p128, got) : static_cast<double>(got);
    const int exponent = std::max(std::ilogb(exact), -126);
    return std::fabs(value - exact) / std::ldexp(1.0, std::min(exponent, 127) - 23);
}

template <typename Function, typename Exact> double worst(Function function, Exact exact) {
    double most = 0.0;
    for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 2039) {
        const float x = dki_from_bits(static_cast<uint32_t>(bits));
        const double error = ulps(function(x), exact(static_cast<double>(x)));
        if (!(error <= most)) most = error;
    }
    return most;
}

double sigmoid(double x) {
    return 1.0 / (1.0 + std::exp(-x));
}

TEST(KernelsScalar, ExpWithinItsBound) {
    EXPECT_LE(worst([](float x) { return dki_exp(x); }, [](double x) { return std::exp(x); }), 1.0);
}

TEST(KernelsScalar, ExpFallWithinItsBound) {
    EXPECT_LE(worst([](float x) { return dki_exp_fall(x); },
                    [](double x) { return std::exp(-std::fabs(x)); }),
              1.0);
}

TEST(KernelsScalar, Expm1WithinItsBound) {
    EXPECT_LE(worst([](float x) { return dki_expm1(x); }, [](double x) { return std::expm1(x); }),
              2.0);
}

TEST(KernelsScalar, LogWithinItsBound) {
    EXPECT_LE(worst([](float x) { return dki_log(x); }, [](double x) { return std::log(x); }), 1.0);
}

TEST(KernelsScalar, Log1pExpWithinItsBound) {
    EXPECT_LE(worst([](float x) { return dki_log1p_exp(x); },
                    [](double x) { return std::log1p(std::exp(-std::fabs(x))); }),
              2.0);
}

TEST(KernelsScalar, SigmoidWithinItsBound) {
    EXPECT_LE(worst([](float x) { return dki_sigmoid(x); }, sigmoid), 3.0);
}

TEST(KernelsScalar, TanhWithinItsBound) {
    EXPECT_LE(worst([](float x) { return dki_tanh(x); }, [](double x) { return std::tanh(x); }),
              2.0);
}

float normal_cdf(float x) {
    float bell;
    return dki_normal_cdf(x, &bell);
}

float normal_bell(float x) {
    float bell;
    dki_normal_cdf(x, &bell);
    return bell;
}

TEST(KernelsScalar, NormalCdfWithinItsBound) {
    const auto exact = [](double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); };
    EXPECT_LE(worst(normal_cdf, exact), 7.0);
    EXPECT_LE(worst([](float x) { return normal_cdf(std::fabs(x)); },
                    [&](double x) { return exact(std::fabs(x)); }),
              4.0);
}

TEST(KernelsScalar, NormalBellWithinItsBound) {
    EXPECT_LE(worst(normal_bell, [](double x) { return std::exp(-0.5 * x * x); }), 2.0);
}

TEST(KernelsScalar, LimitsAreExact) {
    EXPECT_EQ(dki_exp(-kInf), 0.0f);
    EXPECT_EQ(dki_exp(kInf), kInf);
    EXPECT_EQ(dki_exp(1e4f), kInf);
    EXPECT_EQ(dki_exp(-1e4f), 0.0f);
    EXPECT_EQ(dki_exp(0.0f), 1.0f);
    EXPECT_EQ(dki_exp(-103.0f), 0x1p-149f); /* 1.2e-45: the smallest denormal */
    EXPECT_EQ(dki_exp_fall(-kInf), 0.0f);
    EXPECT_EQ(dki_exp_fall(kInf), 0.0f);
    EXPECT_EQ(dki_exp_fall(0.0f), 1.0f);
    EXPECT_EQ(dki_exp_fall(103.0f), 0x1p-149f);
    EXPECT_EQ(dki_expm1(-kInf), -1.0f);
    EXPECT_EQ(dki_expm1(kInf), kInf);
    EXPECT_EQ(dki_log(0.0f), -kInf);
    EXPECT_EQ(dki_log(-0.0f), -kInf);
    EXPECT_EQ(dki_log(kInf), kInf);
    EXPECT_EQ(dki_log(1.0f), 0.0f);
    EXPECT_TRUE(std::isnan(dki_log(-1.0f)));
    EXPECT_TRUE(std::isnan(dki_log(-kInf)));
    EXPECT_EQ(dki_log1p_exp(kInf), 0.0f);
    EXPECT_EQ(dki_log1p_exp(-kInf), 0.0f);
    EXPECT_EQ(dki_sigmoid(kInf), 1.0f);
    EXPECT_EQ(dki_sigmoid(-kInf), 0.0f);
    EXPECT_EQ(dki_sigmoid(0.0f), 0.5f);
    EXPECT_EQ(dki_tanh(kInf), 1.0f);
    EXPECT_EQ(dki_tanh(-kInf), -1.0f);
    EXPECT_EQ(normal_cdf(kInf), 1.0f);
    EXPECT_EQ(normal_cdf(-kInf), 0.0f);
}

TEST(KernelsScalar, NanStaysNan) {
    EXPECT_TRUE(std::isnan(dki_exp(kNan)));
    EXPECT_TRUE(std::isnan(dki_exp_fall(kNan)));
    EXPECT_TRUE(std::isnan(dki_expm1(kNan)));
    EXPECT_TRUE(std::isnan(dki_log(kNan)));
    EXPECT_TRUE(std::isnan(dki_sigmoid(kNan)));
    EXPECT_TRUE(std::isnan(dki_tanh(kNan)));
    EXPECT_TRUE(std::isnan(normal_cdf(kNan)));
    EXPECT_TRUE(std::isnan(dki_clamp(kNan, -1.0f, 1.0f)));
    EXPECT_TRUE(std::isnan(dki_sign(kNan)));
}

TEST(KernelsScalar, TanhIsOdd) {
    for (uint64_t bits = 0; bits < uint64_t{1} << 31; bits += 65537) {
        const float x = dki_from_bits(static_cast<uint32_t>(bits));
        if (std::isnan(x)) continue;
        ASSERT_EQ(dki_tanh(-x), -dki_tanh(x)) << x;
    }
}

} // namespace
