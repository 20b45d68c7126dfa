/* The elementwise losses against their formulas in double, their gradients against central
 * differences, and logits at which a naive cross-entropy overflows. */
extern "C" {
#include "kernels/loss.h"
}

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace {

constexpr double kUnit = 0x1p-24; /* unit roundoff */
const dk_loss kKinds[] = {DK_LOSS_MSE, DK_LOSS_MAE, DK_LOSS_HUBER, DK_LOSS_SIGMOID_CROSS_ENTROPY};

double exact(dk_loss kind, double delta, double a, double y) {
    const double r = a - y;
    switch (kind) {
    case DK_LOSS_MSE:
        return r * r;
    case DK_LOSS_MAE:
        return std::fabs(r);
    case DK_LOSS_HUBER:
        return std::fabs(r) <= delta ? r * r / 2 : delta * (std::fabs(r) - delta / 2);
    default: /* −y log σ(a) − (1 − y) log(1 − σ(a)) */
        return y * std::log1p(std::exp(-a)) + (1 - y) * std::log1p(std::exp(a));
    }
}

/* mse and huber: the rounding of a − y counts twice, then two products. Cross-entropy: terms of
 * size |a|·y, max(a, 0) and log 2 at most, each within a few units. */
TEST(KernelsLoss, ValueAgreesWithTheFormula) {
    const float delta = 0.7f;
    for (const dk_loss kind : kKinds)
        for (float a = -20.0f; a < 20.0f; a += 0.0371f)
            for (float y = 0.0f; y <= 1.0f; y += 0.0625f) {
                const double want = exact(kind, delta, a, y);
                const double size =
                    kind == DK_LOSS_SIGMOID_CROSS_ENTROPY ? std::fabs(a) + 1 : std::fabs(want);
                ASSERT_NEAR(dki_loss_value(kind, delta, a, y), want, 5 * kUnit * size)
                    << kind << " at " << a << ", " << y;
            }
}

/* h = 1e-4: h²/6·|l‴| (≤ 0.1 for the cross-entropy, else 0) and 2⁻⁵²·|l|/h, |l| ≤ 500. */
TEST(KernelsLoss, GradientIsTheDerivativeOfTheValue) {
    const double h = 1e-4;
    const float delta = 0.7f;
    for (const dk_loss kind : kKinds)
        for (float a = -20.0f; a < 20.0f; a += 0.0371f)
            for (float y = 0.0f; y <= 1.0f; y += 0.0625f) {
                if (kind == DK_LOSS_MAE && std::fabs(a - y) < 2 * h) continue;
                if (kind == DK_LOSS_HUBER && std::fabs(std::fabs(a - y) - delta) < 2 * h) continue;
                const double slope =
                    (exact(kind, delta, a + h, y) - exact(kind, delta, a - h, y)) / (2 * h);
                const double bound = h * h + 0x1p-52 * 500 / h + 8 * kUnit * (1 + std::fabs(slope));
                ASSERT_NEAR(dki_loss_grad(kind, delta, a, y), slope, bound)
                    << kind << " at " << a << ", " << y;
            }
}

TEST(KernelsLoss, ExtremeLogitsAreExact) {
    const dk_loss kind = DK_LOSS_SIGMOID_CROSS_ENTROPY;
    EXPECT_EQ(dki_loss_value(kind, 0.0f, 1e4f, 1.0f), 0.0f);
    EXPECT_EQ(dki_loss_value(kind, 0.0f, 1e4f, 0.0f), 1e4f);
    EXPECT_EQ(dki_loss_value(kind, 0.0f, -1e4f, 1.0f), 1e4f);
    EXPECT_EQ(dki_loss_value(kind, 0.0f, -1e4f, 0.0f), 0.0f);
    EXPECT_EQ(dki_loss_grad(kind, 0.0f, 1e4f, 1.0f), 0.0f);
    EXPECT_EQ(dki_loss_grad(kind, 0.0f, 1e4f, 0.0f), 1.0f);
    EXPECT_EQ(dki_loss_grad(kind, 0.0f, -1e4f, 1.0f), -1.0f);
    EXPECT_EQ(dki_loss_grad(kind, 0.0f, -1e4f, 0.0f), 0.0f);
}

TEST(KernelsLoss, SubgradientsAndNan) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(dki_loss_grad(DK_LOSS_MAE, 0.0f, 2.0f, 2.0f), 0.0f);
    EXPECT_EQ(dki_loss_grad(DK_LOSS_HUBER, 0.5f, 3.0f, 2.5f), 0.5f);
    EXPECT_EQ(dki_loss_value(DK_LOSS_HUBER, 0.5f, 3.0f, 2.5f), 0.125f);
    for (const dk_loss kind : kKinds) {
        EXPECT_TRUE(std::isnan(dki_loss_value(kind, 1.0f, nan, 0.0f))) << kind;
        EXPECT_TRUE(std::isnan(dki_loss_grad(kind, 1.0f, nan, 0.0f))) << kind;
        EXPECT_TRUE(std::isnan(dki_loss_grad(kind, 1.0f, 0.0f, nan))) << kind;
    }
}

/* A row of softmax cross-entropy with smoothing and class weights, put together from its pieces as
 * the backends do. C = 5 terms of size ≤ 3·10; the bound counts two units for each of them and the
 * errors of exp and log. */
TEST(KernelsLoss, SoftmaxPiecesMakeTheRow) {
    const std::vector<float> z = {1.5f, -2.0f, 0.25f, 7.0f, -3.0f}, w = {1, 2, 0.5f, 3, 1.25f};
    const float smoothing = 0.1f;
    const size_t classes = z.size(), label = 1;
    float sum = 0, top = 7.0f, targets = 0;
    double exact_sum = 0, want = 0, exact_targets = 0;
    for (size_t c = 0; c < classes; ++c) {
        sum += dki_exp(z[c] - top);
        exact_sum += std::exp(static_cast<double>(z[c]));
        targets += dki_softmax_target(w[c], c == label, smoothing, smoothing / 5);
    }
    const float log_sum = dki_log(sum);
    float value = 0;
    std::vector<double> share(classes);
    for (size_t c = 0; c < classes; ++c) {
        const float target = dki_softmax_target(w[c], c == label, smoothing, smoothing / 5);
        value = fmaf(1.0f, dki_softmax_value(target, log_sum, z[c] - top), value);
        share[c] = w[c] * ((1 - 0.1) * (c == label) + 0.1 / 5);
        exact_targets += share[c];
        want -= share[c] * (z[c] - std::log(exact_sum));
    }
    EXPECT_NEAR(value, want, 5 * 30 * 2 * kUnit);
    for (size_t c = 0; c < classes; ++c) {
        const float target = dki_softmax_target(w[c], c == label, smoothing, smoothing / 5);
        const double slope = exact_targets * std::exp(z[c]) / exact_sum - share[c];
        EXPECT_NEAR(dki_softmax_grad(target, targets, dki_exp(z[c] - top) / sum), slope,
                    5 * 3 * 2 * kUnit);
    }
}

} // namespace
