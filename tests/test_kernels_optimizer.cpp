/* Every update against its formula at dk_optimizer, written anew in double, over several steps from
 * the same fp32 inputs; and the order of scaling, clamping and decay. */
extern "C" {
#include "kernels/optimizer.h"
#include "reference/reference.h"
}

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

constexpr double kUnit = 0x1p-24; /* unit roundoff */
const dk_optimizer kKinds[] = {DK_SGD,     DK_MOMENTUM, DK_NESTEROV, DK_RMSPROP,
                               DK_ADAGRAD, DK_ADAM,     DK_ADAMW,    DK_LION};

struct settings {
    dk_optimizer kind;
    double beta1, beta2, epsilon, decay;
    bool decoupled;
    double clip, lr, scale;
};

/** The state of one parameter in double. */
struct parameter {
    double theta = 0.5, first = 0, second = 0;
    void step(const settings &s, double g, int t);
};

void parameter::step(const settings &s, double g, int t) {
    g *= s.scale;
    if (s.clip > 0) g = std::min(s.clip, std::max(-s.clip, g));
    if (s.decoupled)
        theta *= 1 - s.lr * s.decay;
    else
        g += s.decay * theta;
    switch (s.kind) {
    case DK_SGD:
        theta -= s.lr * g;
        break;
    case DK_MOMENTUM:
        first = s.beta1 * first + g;
        theta -= s.lr * first;
        break;
    case DK_NESTEROV:
        first = s.beta1 * first + g;
        theta -= s.lr * (g + s.beta1 * first);
        break;
    case DK_RMSPROP:
        first = s.beta2 * first + (1 - s.beta2) * g * g;
        theta -= s.lr * g / (std::sqrt(first) + s.epsilon);
        break;
    case DK_ADAGRAD:
        first += g * g;
        theta -= s.lr * g / (std::sqrt(first) + s.epsilon);
        break;
    case DK_ADAM:
    case DK_ADAMW:
        first = s.beta1 * first + (1 - s.beta1) * g;
        second = s.beta2 * second + (1 - s.beta2) * g * g;
        theta -= s.lr / (1 - std::pow(s.beta1, t)) * first /
                 (std::sqrt(second) / std::sqrt(1 - std::pow(s.beta2, t)) + s.epsilon);
        break;
    case DK_LION: {
        const double c = s.beta1 * first + (1 - s.beta1) * g;
        theta -= s.lr * ((c > 0) - (c < 0));
        first = s.beta2 * first + (1 - s.beta2) * g;
        break;
    }
    }
}

dki_rule rule_of(const settings &s) {
    return dki_rule{s.kind,
                    s.beta1,
                    s.beta2,
                    static_cast<float>(s.epsilon),
                    static_cast<float>(s.decay),
                    s.decoupled,
                    static_cast<float>(s.clip)};
}

dki_rate rate_of(const settings &s, int t) {
    return dki_rate{static_cast<float>(s.lr), static_cast<float>(1 - std::pow(s.beta1, t)),
                    static_cast<float>(std::sqrt(1 - std::pow(s.beta2, t))),
                    static_cast<float>(s.scale), t % DKI_REST_EVERY == 0};
}

/* Per step the weight is rounded (|θ| ≤ 2, two roundings: 4 units) and moves by η times a direction
 * of size D with some relative error. Slots: each step adds at most 3 units of relative error, and
 * so have at most 3t; with η, β₁, bias and division that is 3t + 12 units of ηD. Momentum's sum of
 * signed terms has the same bound for the size D of the sum of magnitudes: |g|/(1 − μ). An average
 * with the same signed terms: relative to max |g|, and max |g|/√v̂ ≤ 40 for these gradients. */
void follow(const settings &s) {
    const dki_rule rule = rule_of(s);
    const int steps = 50;
    parameter exact;
    float theta = 0.5f, slot1 = 0, slot2 = 0;
    double bound = 0;
    for (int t = 1; t <= steps; ++t) {
        const float g = static_cast<float>(std::sin(1.7 * t) + 0.3);
        const double direction = s.kind == DK_SGD ? 2
                                 : s.kind == DK_MOMENTUM || s.kind == DK_NESTEROV
                                     ? 1.3 / (1 - s.beta1)
                                     : 40;
        exact.step(s, g, t);
        theta =
            dki_update(rule, rate_of(s, t), static_cast<float>(s.decay), theta, g, &slot1, &slot2);
        bound += (4 + s.lr * direction * (3 * t + 12)) * kUnit;
        ASSERT_NEAR(theta, exact.theta, bound) << "optimizer " << s.kind << " step " << t;
        const double slot_bound = (3 * t + 3) * kUnit * 14;
        ASSERT_NEAR(slot1, exact.first, slot_bound * (s.kind == DK_ADAGRAD ? t : 1));
        ASSERT_NEAR(slot2, exact.second, slot_bound);
    }
    EXPECT_NE(exact.theta, 0.5);
}

TEST(KernelsOptimizer, FollowsTheFormulas) {
    for (const dk_optimizer kind : kKinds)
        for (const bool decoupled : {false, true})
            for (const double clip : {0.0, 0.6})
                follow({kind, 0.9, kind == DK_LION ? 0.99 : 0.999, 1e-8, 0.01, decoupled, clip,
                        0.01, 0.5});
}

TEST(KernelsOptimizer, FollowsTheFormulasWithSmallBetas) {
    for (const dk_optimizer kind : kKinds)
        follow({kind, 0.2, 0.3, 1e-3, 0.0, false, 0.0, 0.02, 1.0});
}

/* With β₂ = 0.999 as a float, (1 − β₂)g² at the first step is 1.3e-5 off, and so v̂ = g². */
TEST(KernelsOptimizer, FirstAdamStepIsExactToRounding) {
    const settings s{DK_ADAM, 0.9, 0.999, 0.0, 0.0, false, 0.0, 1.0, 1.0};
    for (float g = 1e-3f; g < 100.0f; g *= 1.37f) {
        float m = 0, v = 0;
        EXPECT_NEAR(dki_update(rule_of(s), rate_of(s, 1), 0.0f, 0.0f, g, &m, &v), -1.0, 12 * kUnit);
    }
}

/* (g² − v) + v would lose g² beside a large v. */
TEST(KernelsOptimizer, AverageForgetsWithASmallBeta) {
    EXPECT_EQ(dki_average(0.0, 1e10f, 0x1p-10f, 0x1p-10f), 0x1p-20f);
    EXPECT_EQ(dki_average(1.0, 1e10f, 0x1p-10f, 0x1p-10f), 1e10f);
}

TEST(KernelsOptimizer, SlotsThatAreNotThereAreNotTouched) {
    const dki_rate rate{0.1f, 1.0f, 1.0f, 1.0f, 0};
    for (const dk_optimizer kind : kKinds) {
        const settings s{kind, 0.9, 0.99, 1e-8, 0.0, false, 0.0, 0.1, 1.0};
        float slot1 = 0, slot2 = 0;
        const int slots = dki_optimizer_slots(kind);
        const float w = dki_update(rule_of(s), rate, 0.0f, 1.0f, 0.5f, slots > 0 ? &slot1 : nullptr,
                                   slots > 1 ? &slot2 : nullptr);
        EXPECT_LT(w, 1.0f) << kind;
        EXPECT_EQ(slot1 != 0.0f, slots > 0) << kind;
        EXPECT_EQ(slot2 != 0.0f, slots > 1) << kind;
    }
}

/* scale, then clamp, then decay: 8·0.5 = 4, clamped to 1, plus 0.25·2; θ = 2 − 1·1.5. */
TEST(KernelsOptimizer, OrderIsScaleClampDecay) {
    const dki_rate rate{1.0f, 1.0f, 1.0f, 0.5f, 0};
    const settings coupled{DK_SGD, 0, 0, 0, 0.25, false, 1.0, 1.0, 0.5};
    const settings decoupled{DK_SGD, 0, 0, 0, 0.25, true, 1.0, 1.0, 0.5};
    EXPECT_EQ(dki_update(rule_of(coupled), rate, 0.25f, 2.0f, 8.0f, nullptr, nullptr), 0.5f);
    EXPECT_EQ(dki_update(rule_of(decoupled), rate, 0.25f, 2.0f, 8.0f, nullptr, nullptr), 0.5f);
    EXPECT_EQ(dki_update(rule_of(coupled), rate, 0.0f, 2.0f, 8.0f, nullptr, nullptr), 1.0f);
}

TEST(KernelsOptimizer, NanInTheGradientReachesTheWeight) {
    const dki_rate rate{0.1f, 1.0f, 1.0f, 1.0f, 0};
    for (const dk_optimizer kind : kKinds) {
        const settings s{kind, 0.9, 0.99, 1e-8, 0.0, false, 1.0, 0.1, 1.0};
        float slot1 = 0, slot2 = 0;
        EXPECT_TRUE(std::isnan(dki_update(rule_of(s), rate, 0.0f, 1.0f,
                                          std::numeric_limits<float>::quiet_NaN(), &slot1, &slot2)))
            << kind;
    }
}

/* A parameter that has no gradient any more. Once its steps are next to nothing (|m| < 2⁻⁸⁰) it stays the
 * same to the bit, but for Lion's, which goes on as the sign says; no moment is ever denormal, and in the
 * end it is 0. Breaks where moments come to rest too late (denormal), too early (θ differs), or as Lion's. */
TEST(KernelsOptimizer, MomentsWithoutAGradientComeToRestBeforeTheyAreDenormal) {
    for (const dk_optimizer kind : kKinds) {
        const settings s{kind, 0.9, kind == DK_LION ? 0.99 : 0.999, 1e-8, 0.01, true, 0.0,
                         1e-3, 1.0};
        dki_rate rate{1e-3f, 0.0f, 0.0f, 1.0f, 0};
        double power1 = 1, power2 = 1;
        const dki_rule rule = rule_of(s);
        float theta = 0.5f, slot1 = 0, slot2 = 0;
        for (int t = 1; t <= 150000; ++t) {
            dki_next_rate(&rule, static_cast<uint64_t>(t), &power1, &power2, &rate);
            const float before = theta, moment = slot1;
            theta = dki_update(rule, rate, 0.0f, theta, t <= 50 ? 0.1f : 0.0f, &slot1, &slot2);
            ASSERT_FALSE(std::fpclassify(slot1) == FP_SUBNORMAL) << kind << " step " << t;
            ASSERT_FALSE(std::fpclassify(slot2) == FP_SUBNORMAL) << kind << " step " << t;
            if (t > 50 && (kind == DK_LION || std::fabs(moment) < 0x1p-80f)) {
                const float expected = kind == DK_LION ? fmaf(-rate.lr, 1.0f, before) : before;
                ASSERT_EQ(expected, theta) << kind << " step " << t;
            }
        }
        EXPECT_EQ(slot1 == 0.0f, kind != DK_LION && kind != DK_ADAGRAD) << kind;
        EXPECT_EQ(slot2, 0.0f) << kind;
    }
}

/* As the moments were before: that alone is lost. Beside a gradient that isn't 0 nothing is, at however
 * small a moment; and a parameter doesn't see it (η/ε = 10⁵ and |θ| > 2⁻⁷⁸: the bound at dki_rested). */
TEST(KernelsOptimizer, RestingMomentsChangeNoOtherBit) {
    for (const dk_optimizer kind : kKinds)
        for (int exponent = -149; exponent < -60; ++exponent)
            for (const float g : {0.0f, 0x1p-140f, -0x1p-60f, 1.0f})
                for (const float theta : {0x1p-78f, -0.3f, 1e10f}) {
                    const settings s{kind, 0.9, 0.999, 1e-8, 0.0, true, 0.0, 1e-3, 1.0};
                    const float m = std::ldexp(1.25f, exponent);
                    float awake1 = m, awake2 = m, rested1 = m, rested2 = m;
                    dki_rate rate = rate_of(s, 2000);
                    rate.rests = 0;
                    const float awake =
                        dki_update(rule_of(s), rate, 0.0f, theta, g, &awake1, &awake2);
                    rate.rests = 1;
                    const float rested =
                        dki_update(rule_of(s), rate, 0.0f, theta, g, &rested1, &rested2);
                    EXPECT_EQ(awake, rested) << kind << " moment 2^" << exponent << " g " << g;
                    if (g != 0.0f || std::fabs(awake1) >= DKI_LEAST_MOMENT) {
                        EXPECT_EQ(awake1, rested1) << kind << " 2^" << exponent;
                    }
                    if (g != 0.0f || std::fabs(awake2) >= DKI_LEAST_MOMENT) {
                        EXPECT_EQ(awake2, rested2) << kind << " 2^" << exponent;
                    }
                }
}

/* The bounds that `check` judges by have room for it. */
TEST(KernelsOptimizer, RestingMomentsAreWithinTheReferencesBounds) {
    for (const dk_optimizer kind : kKinds)
        for (int exponent = -149; exponent < -100; ++exponent)
            for (const float theta : {0.0f, 0x1p-120f, 0.3f})
                for (const double epsilon : {1e-8, 1e-20}) {
                    const settings s{kind, 0.9, 0.999, epsilon, 0.0, true, 0.0, 1e-3, 1.0};
                    float slot1 = std::ldexp(1.25f, exponent), slot2 = slot1;
                    const bool squares = kind == DK_RMSPROP || kind == DK_ADAGRAD;
                    double m = slot1, v = slot1, g = 0, wanted = theta, bound = 0;
                    dki_ref_rule rule = {};
                    rule.optimizer = kind;
                    rule.lr = 1e-3f;
                    rule.beta1 = 0.9;
                    rule.beta2 = 0.999;
                    rule.epsilon = static_cast<float>(epsilon);
                    rule.decoupled = true;
                    rule.t = 32;
                    dki_ref_update_bounds(&rule, 1, &wanted, &g, nullptr, squares ? nullptr : &m,
                                          &v, kUnit, &bound);
                    dki_ref_update(&rule, 1, &wanted, &g, &m, &v);
                    const float found =
                        dki_update(rule_of(s), rate_of(s, 32), 0.0f, theta, 0.0f, &slot1, &slot2);
                    EXPECT_LE(std::fabs(found - wanted), bound)
                        << kind << " moment 2^" << exponent << " ε " << epsilon;
                }
}

} // namespace
