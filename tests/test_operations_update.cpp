// The operations on the step state, and the update: begin, decide, update.
#include "operations.h"

using namespace operations;

class StepState : public testing::TestWithParam<Backend> {
  protected:
    Device device{GetParam()};
    Random random{23};
};

INSTANTIATE_TEST_SUITE_P(Backends, StepState, testing::ValuesIn(backends), backend_name);

// --- begin, decide
// --------------------------------------------------------------------------------

namespace {

dki_rule adam() {
    dki_rule rule{};
    rule.kind = DK_ADAM;
    rule.beta1 = 0.9;
    rule.beta2 = 0.999;
    rule.epsilon = 1e-8f;
    return rule;
}

void expect_bias_corrections(const dki_step_state &state, int64_t t) {
    const double n = static_cast<double>(t);
    EXPECT_EQ(state.applied, static_cast<uint64_t>(t));
    // t products of doubles, then a float.
    EXPECT_NEAR(static_cast<double>(state.rate.bias1), 1 - std::pow(0.9, n), 1.1 * UNIT);
    EXPECT_NEAR(static_cast<double>(state.rate.bias2_sqrt), std::sqrt(1 - std::pow(0.999, n)),
                1.1 * UNIT);
}

} // namespace

// Breaks with a tick that is skipped or counted twice, a ring read at another entry, Adam's t
// counted where a decision will count it.
TEST_P(StepState, BeginTakesTheNextEntryOfTheRing) {
    for (bool decides : {false, true}) {
        dki_step_state state = state_at(0);
        state.loss = 7.0;
        dki_mailbox mail{};
        for (size_t i = 0; i < DKI_RING; ++i)
            mail.announced[i] = {static_cast<float>(i) + 0.5f, static_cast<float>(i) + 2.0f};
        Array<dki_mailbox> mailbox(device, {mail}, DKI_MEMORY_SHARED);
        Array<dki_step_state> states(device, {state});
        const dki_begin op = {adam(), decides, mailbox.data(), states.data()};
        for (uint64_t tick = 1; tick <= 600; ++tick) {
            ASSERT_EQ(DK_OK, device.ops->begin(device.backend, DKI_LANE_MAIN, &op));
            if (tick % 97 != 0 && tick > 3 && tick != 256) continue;
            const dki_step_state now = states.read()[0];
            const dki_tick &announced = mail.announced[tick % DKI_RING];
            ASSERT_EQ(now.tick, tick);
            EXPECT_EQ(now.rate.lr, announced.lr);
            EXPECT_EQ(now.inverse_normaliser, announced.inverse_normaliser);
            EXPECT_EQ(now.rate.grad_scale, 1.0f);
            EXPECT_EQ(now.loss, 0.0);
            EXPECT_EQ(now.seed, state.seed);
            if (decides)
                EXPECT_EQ(now.applied, 0u);
            else
                expect_bias_corrections(now, static_cast<int64_t>(tick));
        }
    }
}

// Breaks with a report of the wrong step, at the wrong place, or of what the next step has already
// reset; and with one of a step that never was.
TEST_P(StepState, BeginReportsTheStepBefore) {
    dki_step_state state = state_at(0);
    state.loss = 7.0;
    Array<dki_mailbox> mailbox(device, {dki_mailbox{}}, DKI_MEMORY_SHARED);
    Array<dki_step_state> states(device, {state});
    const dki_begin op = {adam(), false, mailbox.data(), states.data()};
    ASSERT_EQ(DK_OK, device.ops->begin(device.backend, DKI_LANE_MAIN, &op));
    EXPECT_EQ(mailbox.read()[0].reports[0].tick, 0u);
    for (uint64_t tick : {1u, 255u, 256u, 257u, 1000u}) {
        state = state_at(tick);
        state.loss = static_cast<double>(tick) + 0.25;
        state.bad_tick = tick == 257 ? 255 : 0;
        Array<dki_step_state> later(device, {state});
        const dki_begin next = {adam(), false, mailbox.data(), later.data()};
        ASSERT_EQ(DK_OK, device.ops->begin(device.backend, DKI_LANE_MAIN, &next));
        const dki_report report = mailbox.read()[0].reports[tick % DKI_RING];
        EXPECT_EQ(report.tick, tick);
        EXPECT_EQ(report.loss, state.loss);
        EXPECT_EQ(report.bad_tick, state.bad_tick);
    }
}

namespace {

dki_step_state run_decide(Device &device, const Floats &gradients,
                          const std::vector<dki_range> &ranges, float clip_norm,
                          const dki_step_state &state) {
    Array<float> g(device, gradients);
    Array<dki_step_state> states(device, {state});
    const int64_t count = static_cast<int64_t>(gradients.size());
    Array<char> workspace(device, workspace_for(device, 1, 64, count / 64 + 1));
    dki_decide op{};
    op.rule = adam();
    op.gradients = g.data();
    op.ranges = ranges.data();
    op.range_count = ranges.size();
    op.clip_norm = clip_norm;
    op.state = states.data();
    op.workspace = workspace.data();
    EXPECT_EQ(DK_OK, device.ops->decide(device.backend, DKI_LANE_MAIN, &op));
    EXPECT_TRUE(same_bits(g.read(), gradients));
    workspace.read();
    return states.read()[0];
}

} // namespace

// Breaks with the norm squared, a range left out, elements outside of the ranges counted, a factor
// above 1, a denominator without its 1e-6.
TEST_P(StepState, DecideTakesTheNormOfTheRangesAndClips) {
    for (int64_t count : {1, 2, 31, 33, 257, 16383, 16385, 100003}) {
        Floats g = random.normal(count + 20, 2.0);
        std::vector<dki_range> ranges = {{5, count / 3}, {7 + count / 3, count - count / 3}};
        g[4] = g[static_cast<size_t>(5 + count / 3)] = NAN; // between the ranges
        double sum = 0.0;
        for (const dki_range &range : ranges)
            for (int64_t i = range.first; i < range.first + range.count; ++i)
                sum += static_cast<double>(g[static_cast<size_t>(i)]) *
                       static_cast<double>(g[static_cast<size_t>(i)]);
        const double norm = std::sqrt(sum);
        for (double part : {0.25, 0.999, 1.001, 10.0, 0.0}) {
            const float clip = static_cast<float>(norm * part);
            const dki_step_state after = run_decide(device, g, ranges, clip, state_at(3));
            // Two sums of `count` squares, in double.
            EXPECT_NEAR(after.gradient_norm, norm,
                        2 * dki_ref_gamma(static_cast<double>(count + 2), 0x1p-53) * norm);
            const double factor =
                part == 0.0 ? 1.0 : std::fmin(1.0, static_cast<double>(clip) / (norm + 1e-6));
            EXPECT_NEAR(static_cast<double>(after.rate.grad_scale), factor, 1.001 * UNIT * factor)
                << "clip " << clip;
            EXPECT_EQ(0u, after.bad_tick);
            expect_bias_corrections(after, 1);
        }
    }
}

TEST_P(StepState, DecideLatchesAndDoesNotCount) {
    for (float bad : {NAN, INFINITY, -INFINITY})
        for (size_t at : {size_t{0}, size_t{16384}, size_t{20000}}) {
            Floats g = random.normal(20001);
            g[at] = bad;
            const dki_step_state after = run_decide(device, g, {{0, 20001}}, 1.0f, state_at(12));
            EXPECT_EQ(12u, after.bad_tick);
            EXPECT_EQ(0u, after.applied);
            EXPECT_EQ(1.0, after.beta1_power);
        }
    // Large, but finite: the squares don't overflow in double.
    const dki_step_state large =
        run_decide(device, Floats(100, 3e38f), {{0, 100}}, 1.0f, state_at(12));
    EXPECT_EQ(0u, large.bad_tick);
    EXPECT_NEAR(large.gradient_norm / 3e39, 1.0, 1e-6);
}

// --- update
// ---------------------------------------------------------------------------------------

namespace {

struct UpdateCase {
    dk_optimizer optimizer;
    bool decoupled;
    double decay, lr;
    float clip_value;
};

// Slots as the backend has them: the first is m of some optimizers and v of others.
bool first_slot_is_v(dk_optimizer kind) {
    return kind == DK_RMSPROP || kind == DK_ADAGRAD;
}

double default_beta2(dk_optimizer kind) {
    return kind == DK_RMSPROP || kind == DK_LION ? 0.99 : 0.999;
}

// Bounds of the slots after one update of slots that were exact: an average errs by γ_6 of what
// enters it, a sum by γ_4 (docs/numerics.md, "Update"). g errs by its coupled decay.
Doubles slot_bounds(const UpdateCase &c, bool second, const Doubles &g, const Doubles &decay,
                    const Doubles &before) {
    Doubles bounds;
    for (size_t i = 0; i < g.size(); ++i) {
        const double size = std::fabs(g[i]) + std::fabs(decay[i]), g_error = gamma_n(3) * size;
        const double square_error = 2 * size * g_error + g_error * g_error;
        const double x = std::fabs(before[i]);
        const double beta = c.optimizer == DK_LION || second || c.optimizer == DK_RMSPROP
                                ? default_beta2(c.optimizer)
                                : 0.9;
        double bound = TINY;
        if (c.optimizer == DK_MOMENTUM || c.optimizer == DK_NESTEROV)
            bound += g_error + gamma_n(4) * (0.9 * x + size);
        else if (c.optimizer == DK_ADAGRAD)
            bound += square_error + gamma_n(4) * (x + size * size);
        else if (second || c.optimizer == DK_RMSPROP)
            bound +=
                (1 - beta) * square_error + gamma_n(6) * (x + 2 * (1 - beta) * (x + size * size));
        else
            bound += (1 - beta) * g_error + gamma_n(6) * (x + 2 * (1 - beta) * (x + size));
        bounds.push_back(bound);
    }
    return bounds;
}

// Steps of one optimizer over a range in the middle of a region. Every step starts the reference
// from the device's own θ and slots, so that each is judged alone.
void check_update(Device &device, Random &random, const UpdateCase &c, int64_t count,
                  int64_t before, int64_t behind, int steps) {
    const int64_t all = before + count + behind;
    const int slots = dki_optimizer_slots(c.optimizer);
    const size_t first = static_cast<size_t>(before), n = static_cast<size_t>(count);
    Floats theta = random.normal(all), zeros(static_cast<size_t>(all), 0.0f);
    Array<float> parameters(device, theta);
    Array<float> slot1(device, zeros), slot2(device, zeros);
    dki_step_state state = state_at(0);
    dki_mailbox mail{};
    for (dki_tick &entry : mail.announced) entry = {static_cast<float>(c.lr), 1.0f};
    Array<dki_mailbox> mailbox(device, {mail}, DKI_MEMORY_SHARED);
    Array<dki_step_state> states(device, {state});
    Floats m = zeros, v = zeros;

    dki_update_range op{};
    op.rule.kind = c.optimizer;
    op.rule.beta1 = 0.9;
    op.rule.beta2 = default_beta2(c.optimizer);
    op.rule.epsilon = 1e-8f;
    op.rule.weight_decay = static_cast<float>(c.decay);
    op.rule.decoupled = c.decoupled;
    op.rule.clip_value = c.clip_value;
    op.decay = static_cast<float>(c.decay);
    op.parameters = parameters.data();
    op.slot1 = slots > 0 ? slot1.data() : nullptr;
    op.slot2 = slots > 1 ? slot2.data() : nullptr;
    op.range = {before, count};
    op.state = states.data();

    for (int step = 1; step <= steps; ++step) {
        const Floats gradient = random.normal(all, step == 2 ? 1e-3 : 1.0);
        Array<float> g(device, gradient);
        op.gradients = g.data();
        const dki_begin begin = {op.rule, false, mailbox.data(), states.data()};
        ASSERT_EQ(DK_OK, device.ops->begin(device.backend, DKI_LANE_MAIN, &begin));
        ASSERT_EQ(DK_OK, device.ops->update(device.backend, DKI_LANE_MAIN, &op));
        EXPECT_TRUE(same_bits(g.read(), gradient));
        const Floats after = parameters.read(), m_after = slot1.read(), v_after = slot2.read();

        const dki_ref_rule rule = {c.optimizer,
                                   static_cast<double>(static_cast<float>(c.lr)),
                                   0.9,
                                   op.rule.beta2,
                                   static_cast<double>(op.rule.epsilon),
                                   static_cast<double>(op.decay),
                                   c.decoupled,
                                   step};
        Doubles t(theta.begin() + before, theta.begin() + before + count),
            gd(gradient.begin() + before, gradient.begin() + before + count),
            md(m.begin() + before, m.begin() + before + count),
            vd(v.begin() + before, v.begin() + before + count), bounds(n), decay(n);
        if (first_slot_is_v(c.optimizer)) std::swap(md, vd);
        if (c.clip_value > 0.0f)
            dki_ref_clip_value(gd.data(), count, static_cast<double>(c.clip_value));
        for (size_t i = 0; i < n && !c.decoupled; ++i) decay[i] = rule.weight_decay * t[i];
        const Doubles m_bounds = slot_bounds(c, false, gd, decay, md),
                      v_bounds = slot_bounds(c, true, gd, decay, vd);
        dki_ref_update_bounds(&rule, count, t.data(), gd.data(), nullptr, md.data(), vd.data(),
                              UNIT, bounds.data());
        dki_ref_update(&rule, count, t.data(), gd.data(), md.data(), vd.data());

        const std::string what = std::string(dk_optimizer_name(c.optimizer)) + " step " +
                                 std::to_string(step) + ", " + std::to_string(count);
        const auto part = [&](const Floats &x) {
            return Floats(x.begin() + before, x.begin() + before + count);
        };
        expect_within(part(after), t, bounds, what + " θ");
        const bool v_first = first_slot_is_v(c.optimizer);
        if (slots > 0)
            expect_within(part(m_after), v_first ? vd : md, v_first ? v_bounds : m_bounds,
                          what + " slot 1");
        if (slots > 1) expect_within(part(v_after), vd, v_bounds, what + " slot 2");
        for (size_t i = 0; i < static_cast<size_t>(all); ++i) // outside of the range
            if (i < first || i >= first + n) {
                ASSERT_EQ(dki_bits(after[i]), dki_bits(theta[i])) << what;
                ASSERT_EQ(m_after[i], 0.0f);
                ASSERT_EQ(v_after[i], 0.0f);
            }
        theta = after;
        m = m_after;
        v = v_after;
        if (testing::Test::HasFailure()) return;
    }
}

} // namespace

// Breaks with a wrong sign, a bias correction of another step, dampened momentum, ε inside the
// root, decay added to the wrong side, a range that is one element off.
TEST_P(StepState, UpdateOfEveryOptimizerIsTheReferences) {
    for (int kind = DK_SGD; kind <= DK_LION; ++kind)
        for (bool decoupled : {false, true})
            for (double decay : {0.0, 0.125}) {
                const UpdateCase c = {static_cast<dk_optimizer>(kind), decoupled, decay, 0.1, 0.0f};
                for (int64_t count : {1, 2, 31, 33, 127, 257})
                    check_update(device, random, c, count, 3, 5, 5);
                check_update(device, random, c, 40009, 0, 1, 2);
                if (HasFailure()) return;
            }
}

TEST_P(StepState, UpdateClampsBeforeItDecays) {
    for (int kind = DK_SGD; kind <= DK_LION; ++kind)
        check_update(device, random, {static_cast<dk_optimizer>(kind), false, 0.25, 0.05, 0.5f},
                     129, 1, 1, 4);
}

// The multiplier comes before the clamp: an exact power of two, so that the bits must agree.
TEST_P(StepState, UpdateScalesTheGradientByTheDecision) {
    const Floats theta = random.normal(100), g = random.normal(100);
    Floats halved = g;
    for (float &x : halved) x *= 0.5f;
    Floats results[2];
    for (int scaled = 0; scaled < 2; ++scaled) {
        Array<float> parameters(device, theta), gradients(device, scaled ? g : halved);
        dki_step_state state = state_at(1);
        state.rate.grad_scale = scaled ? 0.5f : 1.0f;
        Array<dki_step_state> states(device, {state});
        dki_update_range op{};
        op.parameters = parameters.data();
        op.gradients = gradients.data();
        op.range = {0, 100};
        op.rule.kind = DK_SGD;
        op.rule.clip_value = 0.4f;
        op.state = states.data();
        ASSERT_EQ(DK_OK, device.ops->update(device.backend, DKI_LANE_MAIN, &op));
        results[scaled] = parameters.read();
    }
    EXPECT_TRUE(same_bits(results[0], results[1]));
    EXPECT_FALSE(same_bits(results[0], theta));
}

TEST_P(StepState, UpdateDoesNothingOnceAStepIsLatched) {
    for (int kind = DK_SGD; kind <= DK_LION; ++kind) {
        const Floats theta = random.normal(1000), slots = random.uniform(1000, 0.5, 1.0);
        Array<float> parameters(device, theta), gradients(device, random.normal(1000));
        Array<float> slot1(device, slots), slot2(device, slots);
        dki_step_state state = state_at(9);
        state.bad_tick = 8;
        Array<dki_step_state> states(device, {state});
        dki_update_range op{};
        op.parameters = parameters.data();
        op.gradients = gradients.data();
        op.slot1 = slot1.data();
        op.slot2 = slot2.data();
        op.range = {0, 1000};
        op.rule.kind = static_cast<dk_optimizer>(kind);
        op.rule.decoupled = 1;
        op.decay = 0.5f;
        op.state = states.data();
        ASSERT_EQ(DK_OK, device.ops->update(device.backend, DKI_LANE_MAIN, &op));
        EXPECT_TRUE(same_bits(parameters.read(), theta));
        EXPECT_TRUE(same_bits(slot1.read(), slots));
        EXPECT_TRUE(same_bits(slot2.read(), slots));
    }
}

// Exact arithmetic: θ − η g with numbers that fp32 holds.
TEST_P(StepState, SgdIsExactOnIntegers) {
    const Floats theta = random.integers(333), g = random.integers(333);
    Array<float> parameters(device, theta), gradients(device, g);
    dki_step_state state = state_at(1);
    state.rate.lr = 0.25f;
    Array<dki_step_state> states(device, {state});
    dki_update_range op{};
    op.parameters = parameters.data();
    op.gradients = gradients.data();
    op.range = {0, 333};
    op.rule.kind = DK_SGD;
    op.decay = 2.0f; // coupled
    op.state = states.data();
    ASSERT_EQ(DK_OK, device.ops->update(device.backend, DKI_LANE_MAIN, &op));
    Doubles expected;
    for (size_t i = 0; i < theta.size(); ++i)
        expected.push_back(static_cast<double>(theta[i]) -
                           0.25 * (static_cast<double>(g[i]) + 2 * static_cast<double>(theta[i])));
    expect_exact(parameters.read(), expected, "sgd");
}
