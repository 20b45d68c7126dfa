// fuse_update: the update of a weight in the same breath as its gradient. The operation, training
// with it beside training without, and what becomes of numbers that aren't finite. A CPU updates
// behind its gradients all the same.
#include "networks.h"
#include "support_device.h"

using namespace networks;
using operations::Array;
using operations::Backend;
using operations::backend_name;
using operations::backends;
using operations::Device;
using operations::expect_exact;
using operations::expect_within;
using operations::gamma_n;
using operations::Matrix;
using operations::same_bits;
using operations::Size;
using operations::sizes;
using operations::TINY;
using operations::workspace_for;

// --- the operation ------------------------------------------------------------------------------

namespace {

class FusedUpdateOnAGpu : public testing::TestWithParam<Backend> {
  protected:
    Device device{GetParam()};
    Random random{31};
};

INSTANTIATE_TEST_SUITE_P(Backends, FusedUpdateOnAGpu, testing::ValuesIn(backends), backend_name);

dki_rule rule_of(dk_optimizer kind, float decay, bool decoupled, float clip_value) {
    dki_rule rule{};
    rule.kind = kind;
    rule.beta1 = 0.9;
    rule.beta2 = 0.99;
    rule.epsilon = 1e-8f;
    rule.weight_decay = decay;
    rule.decoupled = decoupled;
    rule.clip_value = clip_value;
    return rule;
}

struct Layer {
    Size size;
    int64_t padding;
    Floats delta, a, w;
    dki_rule rule;
    bool accumulate; ///< dW was 1 everywhere
    float lr;
    uint64_t bad_tick = 0; ///< latched before
};

constexpr int64_t before = 64, behind = 64; ///< elements of the regions around W

/// W as it stands in a region, behind `before` elements of others and with padded rows.
Floats region_of(const Layer &l, const Floats &w, float others) {
    const int64_t ld = l.size.inputs + l.padding;
    Floats region(static_cast<size_t>(before + l.size.width * ld + behind), others);
    for (int64_t i = 0; i < l.size.width; ++i)
        std::copy_n(w.begin() + i * l.size.inputs, l.size.inputs, region.begin() + before + i * ld);
    return region;
}

struct Regions {
    Floats parameters, slot1, slot2;
    dki_step_state state;
};

/// Two steps: the gradient and the update as one operation, or as two.
Regions run_layer(Device &device, const Layer &l, bool fused) {
    const Size &s = l.size;
    const Floats ones(static_cast<size_t>(s.width * s.inputs), 1.0f);
    Matrix delta(device, s.rows, s.width, l.padding, l.delta);
    Matrix a(device, s.rows, s.inputs, l.padding, l.a);
    Array<float> parameters(device, region_of(l, l.w, 7.0f));
    Array<float> gradients(device, region_of(l, ones, 0.0f));
    Array<float> slot1(device, region_of(l, ones, 7.0f)), slot2(device, region_of(l, ones, 7.0f));
    Array<char> workspace(device, workspace_for(device, s.rows, s.inputs, s.width));
    dki_step_state start = operations::state_at(0);
    start.bad_tick = l.bad_tick;
    Array<dki_step_state> states(device, {start});
    dki_mailbox mail{};
    for (dki_tick &entry : mail.announced) entry = {l.lr, 1.0f};
    Array<dki_mailbox> mailbox(device, {mail}, DKI_MEMORY_SHARED);
    const int slots = dki_optimizer_slots(l.rule.kind);
    dki_update_range update{};
    update.parameters = parameters.data();
    update.gradients = gradients.data();
    update.slot1 = slots > 0 ? slot1.data() : nullptr;
    update.slot2 = slots > 1 ? slot2.data() : nullptr;
    update.range = {before, s.width * (s.inputs + l.padding)};
    update.rule = l.rule;
    update.decay = l.rule.weight_decay;
    update.state = states.data();
    dki_linear_backward_params op{};
    op.delta = delta.view();
    op.a_in = a.view();
    op.dw = {gradients.data() + before, s.width, s.inputs, s.inputs + l.padding};
    op.accumulate = l.accumulate;
    op.state = states.data();
    op.workspace = workspace.data();
    if (fused) op.update = update;
    for (int step = 0; step < 2; ++step) {
        const dki_begin begin = {l.rule, false, mailbox.data(), states.data()};
        EXPECT_EQ(DK_OK, device.ops->begin(device.backend, DKI_LANE_PARAMS, &begin));
        EXPECT_EQ(DK_OK, device.ops->linear_backward_params(device.backend, DKI_LANE_PARAMS, &op));
        if (fused) continue;
        /* row by row, so that the padding, which isn't 0 here, stays */
        for (int64_t row = 0; row < s.width; ++row) {
            dki_update_range part = update;
            part.range = {before + row * op.dw.ld, s.inputs};
            EXPECT_EQ(DK_OK, device.ops->update(device.backend, DKI_LANE_PARAMS, &part));
        }
    }
    EXPECT_TRUE(same_bits(delta.read(), l.delta));
    EXPECT_TRUE(same_bits(a.read(), l.a));
    return {parameters.read(), slot1.read(), slot2.read(), states.read()[0]};
}

Layer make_layer(const Size &size, int64_t padding, Random &random, bool exact, dki_rule rule,
                 bool accumulate) {
    const auto numbers = [&](int64_t count) {
        return exact ? random.integers(count) : random.normal(count);
    };
    return {size,
            padding,
            numbers(size.rows * size.width),
            numbers(size.rows * size.inputs),
            numbers(size.width * size.inputs),
            rule,
            accumulate,
            0.5f};
}

} // namespace

// Breaks with a wrong sign or factor, a β without decay or with that of another kind, W at the wrong
// place, an element of the padding or of a neighbour that is written. |dW| ≤ 9·3000, and the factors
// ½ and 1 − ½·½ are powers of two: exact for two steps in any order of summing.
TEST_P(FusedUpdateOnAGpu, IsExactOnIntegers) {
    for (const Size &size : sizes)
        for (int64_t padding : {0, 4})
            for (bool decoupled : {false, true}) {
                const Layer l = make_layer(size, padding, random, true,
                                           rule_of(DK_SGD, 0.5f, decoupled, 0.0f), false);
                Doubles expected;
                for (float w : region_of(l, l.w, 7.0f)) expected.push_back(static_cast<double>(w));
                for (int64_t i = 0; i < size.width; ++i)
                    for (int64_t j = 0; j < size.inputs; ++j) {
                        const double g =
                            operations::product_element(DKI_PRODUCT_PARAMS, l.delta, l.a,
                                                        size.width, size.inputs, size.rows, i, j)
                                .sum;
                        double &w =
                            expected[static_cast<size_t>(before + i * (size.inputs + padding) + j)];
                        for (int step = 0; step < 2; ++step) w = 0.75 * w - 0.5 * g;
                    }
                const Regions after = run_layer(device, l, true);
                expect_exact(after.parameters, expected,
                             std::to_string(size.width) + "×" + std::to_string(size.inputs));
                EXPECT_EQ(0u, after.state.bad_tick);
                if (HasFailure()) return;
            }
}

// What can't be in the product (gradients that are accumulated, rules that aren't linear) goes by the same
// two kernels. Breaks where a rule is taken for linear that isn't, or dW is lost.
TEST_P(FusedUpdateOnAGpu, HasTheBitsOfTheTwoOperations) {
    for (int kind = DK_SGD; kind <= DK_LION; ++kind)
        for (float clip_value : {0.0f, 0.5f})
            for (bool accumulate : {false, true})
                for (const Size &size : {Size{33, 32, 31}, Size{9, 300, 131}, Size{2, 3, 1}}) {
                    const dki_rule rule =
                        rule_of(static_cast<dk_optimizer>(kind), 0.1f, kind % 2 == 0, clip_value);
                    if (!accumulate && dki_rule_is_linear(&rule)) continue;
                    const Layer l = make_layer(size, 0, random, false, rule, accumulate);
                    const Regions one = run_layer(device, l, true),
                                  two = run_layer(device, l, false);
                    EXPECT_TRUE(same_bits(one.parameters, two.parameters))
                        << dk_optimizer_name(rule.kind) << (accumulate ? ", accumulated" : "");
                    EXPECT_TRUE(same_bits(one.slot1, two.slot1));
                    EXPECT_TRUE(same_bits(one.slot2, two.slot2));
                }
}

// Breaks where what is latched already, by an earlier layer or step, is updated all the same.
TEST_P(FusedUpdateOnAGpu, DoesNothingOnceLatched) {
    for (dk_optimizer kind : {DK_SGD, DK_ADAMW}) {
        Layer l = make_layer({5, 6, 7}, 0, random, false, rule_of(kind, 0.5f, false, 0.0f), false);
        l.bad_tick = 9;
        const Regions after = run_layer(device, l, true);
        EXPECT_TRUE(same_bits(after.parameters, region_of(l, l.w, 7.0f)));
        EXPECT_EQ(after.state.bad_tick, 9u);
    }
}

// --- training -----------------------------------------------------------------------------------

namespace {

dk_train_options fused_options(int64_t batch, dk_optimizer optimizer, bool fused) {
    dk_train_options options = plain_options(batch, optimizer, 0.02);
    options.keep = DK_KEEP_NEEDED;
    options.weight_decay = 0.1;
    options.fuse_update = fused;
    return options;
}

} // namespace

// Where the option doesn't go (on a CPU nowhere, on a GPU by AdamW) the log says so once, dW can be read,
// and every byte is that of training without.
TEST(FuseUpdate, SaysWhereItChangesNothing) {
    Context context;
    std::vector<std::string> lines;
    context.get()->log.write = [](void *user, dk_log_level, const char *line) {
        static_cast<std::vector<std::string> *>(user)->emplace_back(line);
    };
    context.get()->log.user = &lines;
    context.get()->log.level = DK_LOG_INFO;
    for (dk_optimizer optimizer : {DK_SGD, DK_ADAMW}) {
        if (!device::is_cpu() && optimizer == DK_SGD) continue;
        Floats results[2];
        for (int fused = 0; fused < 2; ++fused) {
            lines.clear();
            Random random(15);
            Net net(6, {layer(9, DK_TANH, 0.0f, true), layer(140, DK_RELU), layer(3, DK_IDENTITY)});
            net.build(context);
            Trainer trainer(net, fused_options(8, optimizer, fused == 1));
            EXPECT_EQ(fused, std::count_if(lines.begin(), lines.end(), [](const std::string &l) {
                          return l.find("fuse_update changes nothing") != std::string::npos;
                      }));
            for (int step = 0; step < 5; ++step)
                trainer.step(random_batch(net, 3 + 5 * step, random));
            results[fused] = net.parameters();
            for (float dw : read(trainer.session(), net, DK_WEIGHT_GRAD, 2))
                results[fused].push_back(dw);
        }
        EXPECT_TRUE(same_bits(results[0], results[1])) << dk_optimizer_name(optimizer);
    }
}

// Step by step against the reference, from the device's own W: α, its product with the gradient, β,
// its product with W, and their sum are rounded, each once, on top of the gradient's own error.
TEST(FusedTrainingOnAGpu, IsWithinTheBoundOfItsSum) {
    Context context;
    Random random(16);
    for (dk_decay decay : {DK_DECAY_COUPLED, DK_DECAY_DECOUPLED}) {
        Net net(7, {layer(9, DK_RELU), layer(11, DK_RELU), layer(8, DK_TANH), layer(6, DK_RELU),
                    layer(3, DK_IDENTITY)});
        net.build(context);
        dk_train_options options = fused_options(16, DK_SGD, true);
        options.decay = decay;
        Trainer trainer(net, options);
        for (int step = 0; step < 6; ++step) {
            const Batch batch = random_batch(net, step == 2 ? 40 : 16, random);
            const Reference reference(reference_of(net, batch));
            std::vector<Floats> before_step;
            for (size_t k = 1; k <= net.depth(); ++k) before_step.push_back(net.read(DK_WEIGHT, k));
            reference.expect_loss(trainer.step(batch), "loss");
            for (size_t k = 1; k <= net.depth(); ++k) {
                Doubles w, bound;
                const Doubles g = reference.value(DK_WEIGHT_GRAD, k),
                              g_bound = reference.bound(DK_WEIGHT_GRAD, k);
                const double lr = options.lr, shrink = lr * options.weight_decay;
                for (size_t i = 0; i < g.size(); ++i) {
                    const double old = static_cast<double>(before_step[k - 1][i]);
                    w.push_back((1 - shrink) * old - lr * g[i]);
                    bound.push_back(lr * g_bound[i] * (1 + gamma_n(4)) + TINY +
                                    gamma_n(4) *
                                        (lr * std::fabs(g[i]) + (1 + shrink) * std::fabs(old)));
                }
                expect_within(net.read(DK_WEIGHT, k), w, bound,
                              "step " + std::to_string(step) + ", layer " + std::to_string(k));
            }
            if (HasFailure()) return;
        }
    }
}

TEST(FuseUpdate, SaysWhatItDoesntGoWith) {
    Context context;
    Net net(4, {layer(5, DK_RELU), layer(3, DK_IDENTITY)});
    net.build(context);
    dk_trainer *refused = nullptr;
    dk_train_options options = fused_options(7, DK_SGD, true);
    options.keep = DK_KEEP_ALL;
    EXPECT_EQ(DK_E_ARGUMENT, dk_trainer_create(&refused, net.get(), &options));
    EXPECT_NE(std::string(dk_error_text()).find("fuse_update"), std::string::npos);
    options.keep = DK_KEEP_NEEDED;
    options.clip_norm = 1.0;
    EXPECT_EQ(DK_E_ARGUMENT, dk_trainer_create(&refused, net.get(), &options));
    EXPECT_NE(std::string(dk_error_text()).find("clip_norm"), std::string::npos);
}

TEST(FusedTrainingOnAGpu, SaysWhatItDoesntKeep) {
    Context context;
    Random random(17);
    Net net(4, {layer(5, DK_RELU), layer(3, DK_IDENTITY)});
    net.build(context);
    Trainer trainer(net, fused_options(7, DK_SGD, true));
    const Batch batch = random_batch(net, 7, random);
    const Reference reference(reference_of(net, batch));
    trainer.step(batch);
    Floats values(64);
    for (size_t k = 1; k <= 2; ++k) {
        EXPECT_EQ(DK_E_NOT_KEPT, dk_session_read(trainer.session(), DK_WEIGHT_GRAD, k,
                                                 values.data(), net.count(DK_WEIGHT, k)));
        expect_within(read(trainer.session(), net, DK_BIAS_GRAD, k),
                      reference.value(DK_BIAS_GRAD, k), reference.bound(DK_BIAS_GRAD, k), "db");
    }
}

// dW comes one layer later, so one more δ must be there; the plan says so, and it is the truth.
TEST(FusedTrainingOnAGpu, ThePlanCountsOneMoreDelta) {
    Context context;
    Net net(4,
            {layer(64, DK_RELU), layer(64, DK_RELU), layer(64, DK_RELU), layer(64, DK_IDENTITY)});
    net.build(context);
    dk_memory_plan plans[2];
    for (int fused = 0; fused < 2; ++fused) {
        const dk_train_options options = fused_options(8, DK_SGD, fused == 1);
        ASSERT_EQ(DK_OK, dk_plan(context.get(), &net.settings, &options, &plans[fused]));
    }
    EXPECT_EQ(plans[0].deltas * 3, plans[1].deltas * 2);
    EXPECT_EQ(plans[0].gradients, plans[1].gradients);
}

// --- numbers that aren't finite -----------------------------------------------------------------

namespace {

/// In the device's memory, since dk_net_set takes only what is finite.
void spoil_weight(const Net &net, size_t k, float bad) {
    dki_backend *backend = net.get()->context->backend;
    float *w = net.get()->parameters + net.get()->layout.places[k - 1].w;
    EXPECT_EQ(DK_OK, backend->ops->upload(backend, DKI_LANE_MAIN, w + 1, &bad, sizeof bad));
}

/// The step that is reported when `spoil` has had its way with the third; 0 = none of three.
int64_t reported_step(const Context &context, const std::function<void(Net &, Batch &)> &spoil) {
    Random random(18);
    Net net(5, {layer(6, DK_TANH), layer(7, DK_RELU), layer(3, DK_IDENTITY)});
    net.build(context);
    Trainer trainer(net, fused_options(8, DK_SGD, true));
    for (int64_t step = 1; step <= 3; ++step) {
        Batch batch = random_batch(net, 8, random);
        if (step == 3) spoil(net, batch);
        if (trainer.try_step(batch) == DK_OK) continue;
        EXPECT_NE(std::string(dk_error_text()).find("step " + std::to_string(step) + ":"),
                  std::string::npos)
            << dk_error_text();
        return step;
    }
    return 0;
}

} // namespace

// A bad x, a bad target (and so a bad δ), a bad W are reported on their step.
TEST(FusedTrainingOnAGpu, BadNumbersAreReportedOnTheirStep) {
    Context context;
    for (float bad : {NAN, INFINITY, -INFINITY}) {
        EXPECT_EQ(3, reported_step(context, [&](Net &, Batch &b) { b.x[7] = bad; }));
        EXPECT_EQ(3, reported_step(context, [&](Net &, Batch &b) { b.targets[4] = bad; }));
        for (size_t k = 1; k <= 3; ++k)
            EXPECT_EQ(3,
                      reported_step(context, [&](Net &net, Batch &) { spoil_weight(net, k, bad); }))
                << "W of layer " << k;
    }
}

namespace {

/// A chain of one unit a layer: dW of layer `k` of 3 overflows in the first step, though its δ and its
/// a are finite. The step that tells of it, from 1.
int64_t step_that_tells(const Context &context, size_t k, dk_activation g) {
    Net net(1, {layer(1, DK_IDENTITY), layer(1, g), layer(1, DK_IDENTITY)});
    net.build(context);
    Batch batch;
    batch.rows = 1;
    batch.x = {k == 1 ? 1e25f : 1.0f};
    batch.targets = {0.0f};
    const float first = k == 2 ? 1e25f : k == 1 ? 0.0f : 1.0f;
    net.set(DK_WEIGHT, 1, {first});
    net.set(DK_BIAS, 1, {k == 1 ? 1.0f : 0.0f});
    net.set(DK_WEIGHT, 2, {k == 1 ? 1.0f : 0.0f});
    net.set(DK_BIAS, 2, {k == 3 ? 1e20f : 1.0f});
    net.set(DK_WEIGHT, 3, {k == 3 ? 0.0f : 1e18f});
    net.set(DK_BIAS, 3, {k == 3 ? 1e19f : 0.0f});
    dk_train_options options = fused_options(1, DK_SGD, true);
    options.weight_decay = 0.0;
    options.lr = 1.0;
    Trainer trainer(net, options);
    for (int64_t step = 1; step <= 3; ++step)
        if (trainer.try_step(batch) == DK_E_NONFINITE) return step;
    return 0;
}

} // namespace

// Where only the sum in dW overflows, fp32 sees it at once in the lowest layer, whose update stays outside
// of the product, and in the others one step late: even behind a ReLU, which hides NaN from the loss,
// 0·∞ in the next data gradient shows it. In bf16 whoever casts sees it. A context that times may find the
// kernel faster that updates behind the product, and tells of it in the same step.
TEST(FusedTrainingOnAGpu, AnOverflowInTheSumAloneIsReportedOneStepLateAtTheLatest) {
    Context timed;
    const Context untimed = Context::repeatable();
    for (dk_activation g : {DK_IDENTITY, DK_RELU}) {
        EXPECT_EQ(1, step_that_tells(untimed, 1, g));
        EXPECT_EQ(1, step_that_tells(timed, 1, g));
        for (size_t k : {2, 3}) {
            EXPECT_EQ(2, step_that_tells(untimed, k, g));
            const int64_t step = step_that_tells(timed, k, g);
            EXPECT_TRUE(step == 1 || step == 2) << step;
        }
    }
    if (!devices::has_precision(DK_BF16)) return; // compute capability 7.5
    Context bf16(2, DK_BF16);
    for (size_t k = 1; k <= 3; ++k) EXPECT_EQ(1, step_that_tells(bf16, k, DK_RELU));
}
