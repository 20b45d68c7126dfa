// What each precision of a device owes beside the check of its operations: gradients within their
// bounds where nothing is kept, loss scaling that shows nowhere, and networks that learn; and steps
// that are the same bits alone and several a launch.
#include "every.h"
#include "support_device.h"

extern "C" {
#include "train/epoch.h"
}

#include <optional>

namespace {

using namespace devices;
using networks::Reference;
using networks::reference_of;
using operations::expect_within;
using operations::same_bits;

class Precisions : public testing::TestWithParam<dk_precision> {
  protected:
    void SetUp() override {
        if (has_precision(GetParam())) context.emplace(2, GetParam());
    }
    std::optional<Context> context; // none: refused, as it should be
};

// What check keeps, training doesn't; these two activations may then be fused into the products.
TEST_P(Precisions, WhatIsntKeptChangesGradientsByRoundingAlone) {
    if (!context) return;
    for (dk_activation g : {DK_RELU, DK_IDENTITY}) {
        Random random(3);
        Net net(8, {layer(16, g), layer(13, g), layer(3, DK_IDENTITY)});
        net.build(*context);
        dk_train_options options = plain_options(24);
        options.keep = DK_KEEP_NEEDED;
        Trainer trainer(net, options);
        const Batch batch = random_batch(net, 21, random);
        const Reference reference(reference_of(net, batch), nullptr,
                                  dki_ref_precision_of(GetParam()));
        reference.expect_loss(trainer.step(batch), dk_activation_name(g));
        for (size_t k = 1; k <= 3; ++k)
            for (dk_tensor tensor : {DK_WEIGHT_GRAD, DK_BIAS_GRAD})
                expect_within(networks::read(trainer.session(), net, tensor, k),
                              reference.value(tensor, k), reference.bound(tensor, k),
                              dk_activation_name(g));
    }
}

// Breaks where dropout's masks and the derivative meet otherwise in one storage type.
TEST_P(Precisions, CheckPassesWithDropout) {
    if (!context) return;
    for (int g = 0; g < DKI_ACTIVATION_COUNT; ++g) {
        const auto kind = static_cast<dk_activation>(g);
        const dk_layer layers[] = {layer(13, kind, 0.25f), layer(5, kind, 0.5f),
                                   layer(3, DK_IDENTITY)};
        dk_net_desc desc = DK_NET_DESC_INIT;
        desc.inputs = 7;
        desc.layers = layers;
        desc.layer_count = 3;
        desc.loss = DK_LOSS_SOFTMAX_CROSS_ENTROPY;
        dk_check_row rows[32];
        size_t count = 0;
        const dk_train_options options = plain_options(19, DK_ADAM, 1e-3);
        ASSERT_EQ(DK_OK, dk_check(context->get(), &desc, &options, rows, 32, &count))
            << dk_error_text();
        ASSERT_EQ(19u, count);
        for (size_t i = 0; i < count; ++i)
            EXPECT_TRUE(rows[i].passed)
                << dk_activation_name(kind) << ": " << rows[i].quantity << " of layer "
                << rows[i].layer << ", " << rows[i].worst << " of its bound";
    }
}

// Breaks where updates get lost: in a working copy that isn't made anew, or below the last place of
// a low-precision parameter. Nine tenths of what fp32 learns is far above either.
TEST_P(Precisions, TrainingLearnsWhatFp32Learns) {
    if (!context) return;
    const auto learnt = [](const Context &c) {
        const bool real = times(c, 0, 1) == 1;
        const support::Dataset set = real ? support::open(c.get(), "builtin:digits")
                                          : support::synth(c.get(), "synth:teacher", 160, 1, 4, 2);
        const support::Net net = support::net_for(set.get(), {real ? 64 : 12});
        dk_train_options options = plain_options(16, DK_ADAM, 0.01);
        options.keep = DK_KEEP_NEEDED;
        const support::Trainer trainer = support::trainer(net.get(), options);
        dk_metrics before, after;
        EXPECT_EQ(DK_OK, dk_evaluate(net.get(), set.get(), 0, &before));
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.epochs = 5;
        EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), set.get(), nullptr, &fit, nullptr))
            << dk_error_text();
        EXPECT_EQ(DK_OK, dk_evaluate(net.get(), set.get(), 0, &after));
        EXPECT_LT(after.loss, 0.7 * before.loss);
        return before.loss - after.loss;
    };
    EXPECT_GE(learnt(*context), 0.9 * learnt(Context()));
}

std::string name_of(const testing::TestParamInfo<dk_precision> &precision) {
    return std::vector<std::string>{"Fp32", "Tf32", "Bf16", "Fp16"}[precision.index];
}

INSTANTIATE_TEST_SUITE_P(All, Precisions, testing::Values(DK_FP32, DK_TF32, DK_BF16, DK_FP16),
                         name_of);

// δ = 2(a − y) = −16 in one row: 2¹⁶ times that overflows fp16 (65,504), and so it does until the
// scale is 2¹¹, five halvings later. Breaks where an overflowed step is taken, counted or reported
// as the network's own, or where a gradient is read with its scale.
TEST(DevicePrecision, TheLossScaleIsHalvedAndShowsNowhere) {
    if (!has_precision(DK_FP16)) return;
    Context context(2, DK_FP16);
    Net net(3, {layer(5, DK_TANH), layer(1, DK_IDENTITY)});
    net.build(context);
    net.set(DK_WEIGHT, 2, {0.5f, 0.5f, -0.5f, -0.5f, 0.25f});
    Trainer trainer(net, plain_options(1, DK_SGD, 0.01));
    Batch batch;
    batch.rows = 1;
    batch.x = {0.5f, -1.0f, 0.25f};
    batch.targets = {0.0f};
    {
        networks::Session session(net, 1, DK_SESSION_INFERENCE);
        float y = 0.0f;
        ASSERT_EQ(DK_OK, dk_session_forward(session.get(), batch.x.data(), 1, &y));
        batch.targets[0] = y + 8.0f;
    }
    const Floats before = net.parameters();
    for (int step = 1; step <= 5; ++step) {
        EXPECT_EQ(64.0, trainer.step(batch)) << "step " << step;
        const dki_step_state state = state_of(context, trainer);
        EXPECT_EQ(std::ldexp(65536.0f, -step), state.loss_scale);
        EXPECT_EQ(0u, state.applied);
        EXPECT_TRUE(same_bits(before, net.parameters())) << "step " << step;
    }
    const Reference reference(reference_of(net, batch), nullptr, dki_ref_precision_of(DK_FP16));
    EXPECT_EQ(64.0, trainer.step(batch));
    EXPECT_EQ(2048.0f, state_of(context, trainer).loss_scale);
    EXPECT_EQ(1u, state_of(context, trainer).applied);
    EXPECT_FALSE(same_bits(before, net.parameters()));
    reference.expect_session(trainer.session(), net, "unscaled");
    EXPECT_LT(trainer.step(batch), 64.0);
    EXPECT_EQ(7, dk_trainer_steps(trainer.get()));
}

// Breaks where a step of several in one launch reads another cursor, tick or rate than it would
// alone. 83 rows in batches of 8: eight in one launch, two alone, and a rest of 3.
TEST(DevicePrecision, SeveralStepsALaunchAreSingleSteps) {
    Context context;
    const std::vector<dk_layer> layers = {layer(19, DK_SIGMOID, 0.5f), layer(3, DK_IDENTITY)};
    dk_train_options options = plain_options(8, DK_ADAMW, 0.01);
    options.keep = DK_KEEP_NEEDED;
    Net one(6, layers, DK_LOSS_SOFTMAX_CROSS_ENTROPY), many(6, layers, one.settings.loss);
    one.build(context);
    many.build(context);
    const Set set(context, one, 83, 4);
    Trainer alone(one, options), launched(many, options);
    dki_feed *feed = nullptr;
    ASSERT_EQ(DK_OK, dki_feed_create(&feed, context.get(), set.get(), 8, nullptr));
    for (uint64_t epoch : {1, 2}) {
        const dki_epoch_start start{true, options.seed, epoch, 0};
        ASSERT_EQ(DK_OK, dki_feed_begin(feed, &start));
        dki_fed batch;
        while (dki_feed_next(feed, &batch) == DK_OK && batch.rows > 0)
            ASSERT_EQ(DK_OK, dki_train_fed(alone.get(), &batch)) << dk_error_text();
    }
    ASSERT_EQ(DK_OK, dki_trainer_collect(alone.get(), true, nullptr)) << dk_error_text();
    dki_feed_destroy(feed);
    fit(launched, set.get(), 2);
    EXPECT_EQ(0, alone.get()->captured[DKI_CAPTURED_SEVERAL].key.steps);
    EXPECT_EQ(device::is_cpu() ? 0 : 8, launched.get()->captured[DKI_CAPTURED_SEVERAL].key.steps);
    EXPECT_EQ(22, dk_trainer_steps(alone.get()));
    EXPECT_TRUE(same_bits(one.parameters(), many.parameters()));
}

} // namespace
