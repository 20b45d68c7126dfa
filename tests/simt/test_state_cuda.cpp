// begin, decide, the sum of the rows' losses and the squares of a gradient, under the thread
// emulator: against the formulas of the CPU backend, bit for bit where the order of operations is
// the same.
#include "simt/kernels.h"

using namespace kernels;

namespace {

constexpr double infinite = INFINITY, not_a_number = NAN;

dki_rule rule_of(dk_optimizer kind) {
    dki_rule rule{};
    rule.kind = kind;
    rule.beta1 = 0.9;
    rule.beta2 = 0.999;
    rule.epsilon = 1e-8f;
    return rule;
}

dki_step_state fresh_state(float loss_scale = 0.0f) {
    dki_step_state state{};
    state.beta1_power = state.beta2_power = 1.0;
    state.loss_scale = loss_scale;
    return state;
}

/// The update's number t and its bias corrections, as count_update of backend/cpu/state.c.
void count(dki_step_state &state, const dki_rule &rule) {
    ++state.applied;
    state.beta1_power *= rule.beta1;
    state.beta2_power *= rule.beta2;
    state.rate.bias1 = static_cast<float>(1.0 - state.beta1_power);
    state.rate.bias2_sqrt = static_cast<float>(std::sqrt(1.0 - state.beta2_power));
}

void expect_same_rate(const dki_step_state &x, const dki_step_state &r, const std::string &what) {
    EXPECT_EQ(r.applied, x.applied) << what;
    EXPECT_EQ(r.beta1_power, x.beta1_power) << what;
    EXPECT_EQ(r.beta2_power, x.beta2_power) << what;
    EXPECT_EQ(r.rate.bias1, x.rate.bias1) << what;
    EXPECT_EQ(r.rate.bias2_sqrt, x.rate.bias2_sqrt) << what;
    EXPECT_EQ(r.rate.grad_scale, x.rate.grad_scale) << what;
    EXPECT_EQ(r.applied % 32 == 0 && r.applied > 0, x.rate.rests != 0) << what;
}

// --- begin ---------------------------------------------------------------------------------------

// Fails where a slot of the ring is taken from the wrong tick, an update isn't counted or counted
// twice, or a report misses something. 600 ticks go round the ring twice.
TEST(BeginKernel, TakesWhatIsAnnouncedAndReportsTheLastTick) {
    for (const bool decide_follows : {false, true}) {
        dki_mailbox mailbox{};
        dki_step_state state = fresh_state(), expected = fresh_state();
        const dki_begin op = {rule_of(DK_ADAM), decide_follows, &mailbox, &state};
        for (uint64_t tick = 1; tick <= 600; ++tick) {
            const std::string what = "tick " + std::to_string(tick);
            mailbox.announced[tick % DKI_RING] = {0.5f / static_cast<float>(tick),
                                                  2.0f / static_cast<float>(tick)};
            state.skip = 1;
            ASSERT_EQ(0, dki_cuda_begin(nullptr, &op));
            if (!decide_follows) count(expected, op.rule);
            expected.rate.grad_scale = 1.0f;
            expect_same_rate(state, expected, what);
            EXPECT_EQ(tick, state.tick);
            EXPECT_EQ(0.5f / static_cast<float>(tick), state.rate.lr) << what;
            EXPECT_EQ(2.0f / static_cast<float>(tick), state.inverse_normaliser) << what;
            EXPECT_EQ(0.0, state.loss) << what;
            EXPECT_EQ(0u, state.skip) << what;
            const dki_report &report = mailbox.reports[(tick - 1) % DKI_RING];
            EXPECT_EQ(tick - 1, report.tick);
            EXPECT_EQ(tick == 1 ? 0.0 : static_cast<double>(tick - 1) / 3.0, report.loss) << what;
            EXPECT_EQ(tick == 1 ? 0 : 7 * (tick - 1), report.bad_tick) << what;
            state.loss = static_cast<double>(tick) / 3.0;
            state.bad_tick = 7 * tick;
        }
    }
}

// Fails where an update inside a product has another rate than its step, or decay of the wrong size;
// or where a latched step, whose bad values may be anywhere, is still updated.
TEST(BeginKernel, GivesProductsTheirScalarsUnlessAStepIsLatched) {
    dki_rule rule = rule_of(DK_SGD);
    rule.weight_decay = 0.25f;
    dki_mailbox mailbox{};
    dki_step_state state = fresh_state();
    const dki_begin op = {rule, false, &mailbox, &state};
    for (uint64_t tick = 1; tick <= 8; ++tick) {
        mailbox.announced[tick % DKI_RING] = {0.5f / static_cast<float>(tick), 1.0f};
        if (tick == 7) state.bad_tick = 6;
        ASSERT_EQ(0, dki_cuda_begin(nullptr, &op));
        const double lr = tick < 7 ? static_cast<double>(0.5f / static_cast<float>(tick)) : 0.0;
        EXPECT_EQ(static_cast<float>(0.0 - lr), state.product_scalars[0]) << tick;
        EXPECT_EQ(static_cast<float>(1.0 - lr * 0.25), state.product_scalars[1]) << tick;
    }
}

// Fails where begin would report a tick 0, of which the host knows nothing.
TEST(BeginKernel, ReportsNothingBeforeTheFirstTick) {
    dki_mailbox mailbox{};
    mailbox.reports[0] = {5.0, 1.0f, 6, 7};
    dki_step_state state = fresh_state();
    const dki_begin op = {rule_of(DK_SGD), false, &mailbox, &state};
    ASSERT_EQ(0, dki_cuda_begin(nullptr, &op));
    EXPECT_EQ(7u, mailbox.reports[0].tick);
    EXPECT_EQ(5.0, mailbox.reports[0].loss);
}

TEST(BeginKernel, UndoesTheLossScale) {
    dki_mailbox mailbox{};
    for (const float scale : {0.0f, 1.0f, 1024.0f, 65536.0f}) {
        dki_step_state state = fresh_state(scale);
        const dki_begin op = {rule_of(DK_SGD), false, &mailbox, &state};
        ASSERT_EQ(0, dki_cuda_begin(nullptr, &op));
        EXPECT_EQ(1.0f / (scale == 0.0f ? 1.0f : scale), state.rate.grad_scale);
        EXPECT_EQ(scale, state.loss_scale);
    }
}

// --- decide --------------------------------------------------------------------------------------

struct Decide {
    dki_step_state state = fresh_state();
    dki_decide op{};

    explicit Decide(float clip_norm = 0.0f, float loss_scale = 0.0f, bool loss_scaling = false) {
        state.tick = 9;
        state.loss_scale = loss_scale;
        op.rule = rule_of(DK_ADAMW);
        op.clip_norm = clip_norm;
        op.loss_scaling = loss_scaling;
        op.state = &state;
    }
    void run(const Doubles &partial) {
        Array<double> memory(partial);
        ASSERT_EQ(
            0, dki_cuda_decide(nullptr, &op, memory.data(), static_cast<int64_t>(partial.size())));
        memory.read();
    }
};

// Sums of integers are exact in any order: fails where a partial sum is left out, taken twice or
// read from beyond the end. 1024 threads: one turn, two turns, a broken last one.
TEST(DecideKernel, AddsEveryPartialSumOnce) {
    for (const size_t size : {1, 2, 3, 31, 32, 33, 127, 1023, 1024, 1025, 2048, 5003}) {
        simt::set_order(size % orders.size());
        Doubles partial(size);
        double sum = 0.0;
        for (size_t i = 0; i < size; ++i) sum += partial[i] = static_cast<double>(i % 97 + 1);
        Decide decide;
        decide.run(partial);
        EXPECT_EQ(std::sqrt(sum), decide.state.gradient_norm) << size;
    }
    simt::set_order(0);
}

// The bits depend on the count alone, and are within γ_{n−1} of the sum of positive numbers, taken
// twice for this test's own sum, halved by the root, and one more rounding for the root.
TEST(DecideKernel, AddsInAFixedOrder) {
    Random random(1);
    Doubles partial(5003);
    double sum = 0.0;
    for (double &p : partial) sum += p = static_cast<double>(random() >> 11) * 0x1p-53;
    double first = 0.0;
    for (const uint64_t order : orders) {
        simt::set_order(order);
        Decide decide;
        decide.run(partial);
        if (order == 0) first = decide.state.gradient_norm;
        EXPECT_EQ(first, decide.state.gradient_norm);
    }
    simt::set_order(0);
    EXPECT_NEAR(std::sqrt(sum), first, std::sqrt(sum) * 5004 * 0x1p-53);
}

// min(1, c/(‖g‖ + 1e-6)) with the norm of the unscaled gradient, over the loss scale.
TEST(DecideKernel, ClipsTheUnscaledNorm) {
    for (const float scale : {0.0f, 4096.0f})
        for (const float clip : {0.0f, 0.25f, 5.0f, 1000.0f}) {
            const float unit = scale == 0.0f ? 1.0f : scale;
            Decide decide(clip, scale);
            dki_step_state expected = decide.state;
            count(expected, decide.op.rule);
            const double norm = 5.0;
            const double factor = clip > 0.0f ? static_cast<double>(clip) / (norm + 1e-6) : 1.0;
            expected.rate.grad_scale = (factor < 1.0 ? static_cast<float>(factor) : 1.0f) / unit;
            decide.run({9.0 * unit * unit, 16.0 * unit * unit});
            EXPECT_EQ(norm, decide.state.gradient_norm);
            expect_same_rate(decide.state, expected,
                             std::to_string(clip) + ", " + std::to_string(scale));
            EXPECT_EQ(scale, decide.state.loss_scale);
            EXPECT_EQ(0u, decide.state.skip);
            EXPECT_EQ(0u, decide.state.bad_tick);
        }
}

// Without loss scaling, or at a scale of 1, it's the network's own overflow.
TEST(DecideKernel, LatchesANormThatIsNotFinite) {
    for (const double bad : {infinite, not_a_number})
        for (const bool scaling : {false, true})
            for (const float scale : {0.0f, 1.0f, 2.0f}) {
                if (scaling && scale > 1.0f) continue;
                Decide decide(1.0f, scale, scaling);
                decide.state.rate.grad_scale = 0.125f;
                const dki_step_state before = decide.state;
                decide.run({1.0, bad, 2.0});
                EXPECT_EQ(9u, decide.state.bad_tick);
                EXPECT_EQ(0u, decide.state.skip);
                EXPECT_EQ(scale, decide.state.loss_scale);
                EXPECT_FALSE(std::isfinite(decide.state.gradient_norm));
                expect_same_rate(decide.state, before, "nothing is counted");
            }
}

TEST(DecideKernel, CountsNothingOnceLatched) {
    for (const double norm : {4.0, infinite}) {
        Decide decide(1.0f, 1024.0f, true);
        decide.state.bad_tick = 3;
        decide.state.good_ticks = 5;
        const dki_step_state before = decide.state;
        decide.run({norm});
        EXPECT_EQ(3u, decide.state.bad_tick);
        EXPECT_EQ(5u, decide.state.good_ticks);
        EXPECT_EQ(1024.0f, decide.state.loss_scale);
        EXPECT_EQ(0u, decide.state.skip);
        expect_same_rate(decide.state, before, "nothing is counted");
    }
}

// 8 → 1 in three overflows, each of which skips its update; the fourth is latched.
TEST(DecideKernel, HalvesTheLossScaleDownToOne) {
    float scale = 8.0f;
    Decide decide(0.0f, scale, true);
    for (int i = 0; i < 3; ++i) {
        decide.state.good_ticks = 77;
        decide.state.skip = 0;
        decide.run({infinite});
        scale /= 2;
        EXPECT_EQ(scale, decide.state.loss_scale);
        EXPECT_EQ(1u, decide.state.skip);
        EXPECT_EQ(0u, decide.state.good_ticks);
        EXPECT_EQ(0u, decide.state.applied);
        EXPECT_EQ(0u, decide.state.bad_tick);
    }
    EXPECT_EQ(1.0f, scale);
    decide.run({infinite});
    EXPECT_EQ(9u, decide.state.bad_tick);
    EXPECT_EQ(1.0f, decide.state.loss_scale);
}

// Doubled after 2000 updates in a row, for the next step: this one's gradients have the old scale.
// An overflow begins the count anew; nothing grows beyond 2²⁴.
TEST(DecideKernel, DoublesTheLossScaleAfterPatience) {
    Decide decide(0.0f, 512.0f, true);
    decide.state.good_ticks = DKI_LOSS_SCALE_PATIENCE - 2;
    decide.run({4.0});
    EXPECT_EQ(512.0f, decide.state.loss_scale);
    EXPECT_EQ(static_cast<uint32_t>(DKI_LOSS_SCALE_PATIENCE - 1), decide.state.good_ticks);
    decide.run({4.0});
    EXPECT_EQ(1024.0f, decide.state.loss_scale);
    EXPECT_EQ(1.0f / 512.0f, decide.state.rate.grad_scale);
    EXPECT_EQ(0u, decide.state.good_ticks);
    EXPECT_EQ(2u, decide.state.applied);
    decide.run({4.0});
    EXPECT_EQ(1.0f / 1024.0f, decide.state.rate.grad_scale);
    EXPECT_EQ(1u, decide.state.good_ticks);
    for (const float scale : {0x1p23f, 0x1p24f}) {
        decide.state.loss_scale = scale;
        decide.state.good_ticks = DKI_LOSS_SCALE_PATIENCE - 1;
        decide.run({4.0});
        EXPECT_EQ(0x1p24f, decide.state.loss_scale);
        EXPECT_EQ(0u, decide.state.good_ticks);
    }
}

TEST(DecideKernel, LeavesTheScaleAloneWithoutLossScaling) {
    Decide decide(0.0f, 512.0f, false);
    decide.state.good_ticks = DKI_LOSS_SCALE_PATIENCE - 1;
    decide.run({4.0});
    EXPECT_EQ(512.0f, decide.state.loss_scale);
    EXPECT_EQ(static_cast<uint32_t>(DKI_LOSS_SCALE_PATIENCE - 1), decide.state.good_ticks);
}

// --- square_sums ---------------------------------------------------------------------------------

Doubles square_sums(const Floats &values, size_t offset) {
    Array<float> x(values, offset);
    const size_t pieces = (values.size() + DKI_NORM_PIECE - 1) / DKI_NORM_PIECE;
    Array<double> partial = Array<double>::of(pieces);
    EXPECT_EQ(0, dki_cuda_square_sums(nullptr, x.data(), static_cast<int64_t>(values.size()),
                                      partial.data()));
    x.read();
    return partial.read();
}

const std::vector<size_t> counts = {1,    2,    3,     31,    32,    33,    127,   129,
                                    1021, 1024, 16383, 16384, 16385, 16389, 40009, 65536};

// Squares of integers add up exactly: fails where an element is left out or taken twice, and where
// a guard, which is NaN, is read.
TEST(SquareSumsKernel, TakesEveryElementOnce) {
    Random random(2);
    for (const size_t count : counts)
        for (const size_t offset : {0, 1, 2, 3}) {
            const Floats values = random.integers(static_cast<int64_t>(count));
            const Doubles partial = square_sums(values, offset);
            for (size_t piece = 0; piece < partial.size(); ++piece) {
                double sum = 0.0;
                const size_t end = std::min<size_t>(count, (piece + 1) * DKI_NORM_PIECE);
                for (size_t i = piece * DKI_NORM_PIECE; i < end; ++i)
                    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
                EXPECT_EQ(sum, partial[piece]) << count << " @" << offset;
            }
        }
}

// The same bits in any order of threads and at any alignment; within γ_n of fp64 for a sum in any
// order, twice, for this test's own.
TEST(SquareSumsKernel, AddsInAFixedOrder) {
    Random random(3);
    const Floats values = random.normal(DKI_ELEMENT_F32, DKI_NORM_PIECE + 1021);
    const Doubles first = square_sums(values, 0);
    for (const uint64_t order : orders)
        for (const size_t offset : {0, 1, 3}) {
            simt::set_order(order);
            EXPECT_EQ(first, square_sums(values, offset));
        }
    simt::set_order(0);
    double sum = 0.0;
    for (size_t i = 0; i < DKI_NORM_PIECE; ++i)
        sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    EXPECT_NEAR(sum, first[0], 2.0 * DKI_NORM_PIECE * 0x1p-53 * sum);
}

// 3e38² is beyond fp32, not beyond double; Inf and NaN come out in their own piece only.
TEST(SquareSumsKernel, SquaresInDouble) {
    Floats values(3 * DKI_NORM_PIECE, 0.0f);
    values[5] = 3e38f;
    values[DKI_NORM_PIECE + 7] = INFINITY;
    values[3 * DKI_NORM_PIECE - 1] = NAN;
    const Doubles partial = square_sums(values, 0);
    EXPECT_EQ(static_cast<double>(3e38f) * static_cast<double>(3e38f), partial[0]);
    EXPECT_EQ(infinite, partial[1]);
    EXPECT_TRUE(std::isnan(partial[2]));
}

// --- loss_total ----------------------------------------------------------------------------------

TEST(LossTotalKernel, AddsTheMeanToTheLoss) {
    for (const size_t rows : {1, 2, 3, 31, 32, 33, 127, 1023, 1024, 1025, 2048, 5003}) {
        simt::set_order(rows % orders.size());
        Doubles values(rows);
        double sum = 0.0;
        for (size_t i = 0; i < rows; ++i) sum += values[i] = static_cast<double>(i % 89);
        Array<double> row_loss(values);
        dki_step_state state = state_at(4);
        state.inverse_normaliser = 0.125f;
        state.loss = 1.5;
        ASSERT_EQ(
            0, dki_cuda_loss_total(nullptr, &state, row_loss.data(), static_cast<int64_t>(rows)));
        EXPECT_EQ(1.5 + 0.125 * sum, state.loss) << rows;
        EXPECT_EQ(0u, state.bad_tick);
    }
    simt::set_order(0);
}

TEST(LossTotalKernel, LatchesTheFirstTickWithoutAFiniteLoss) {
    for (const double bad : {infinite, -infinite, not_a_number})
        for (const uint64_t earlier : {0, 2}) {
            Doubles values(1500, 1.0);
            values[1499] = bad;
            dki_step_state state = state_at(4);
            state.bad_tick = earlier;
            ASSERT_EQ(0, dki_cuda_loss_total(nullptr, &state, values.data(), 1500));
            EXPECT_EQ(earlier ? earlier : 4u, state.bad_tick);
            EXPECT_FALSE(std::isfinite(state.loss));
        }
}

// Not the sum over micro-batches is looked at, but what this one adds, as on the CPU.
TEST(LossTotalKernel, TheSameBitsInAnyOrderOfThreads) {
    Random random(4);
    Doubles values(5003);
    for (double &v : values) v = static_cast<double>(random() >> 11) * 0x1p-53;
    double first = 0.0;
    for (const uint64_t order : orders) {
        simt::set_order(order);
        dki_step_state state = state_at(1);
        ASSERT_EQ(0, dki_cuda_loss_total(nullptr, &state, values.data(), 5003));
        if (order == 0) first = state.loss;
        EXPECT_EQ(first, state.loss);
    }
    simt::set_order(0);
}

} // namespace
