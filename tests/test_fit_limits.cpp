// Training over data sets at its limits: several fits of one trainer, divergence, and what is refused.
#include "support_fit.h"

#include <cmath>

namespace {

using support::batches;
using support::Description;
using support::epochs;
using support::Fit;
using support::layer;
using support::Recorder;

// ---- the schedule over fits --------------------------------------------------------------------

TEST_F(Fit, EachFitHasASchedulesLengthOfItsOwnUnlessOneIsGiven) {
    support::Dataset train = support::synth(context.get(), "synth:spirals", 40);
    auto rates = [&](int64_t total_steps) {
        support::Net net = support::net_for(train.get(), {4});
        dk_train_options options = batches(10, 1.0);
        options.schedule = DK_SCHEDULE_POLYNOMIAL; // power 1: linear from 1 to 0
        options.warmup = 0;
        options.clip_norm = 1e-3;
        options.total_steps = total_steps;
        support::Trainer trainer = support::trainer(net.get(), options);
        Recorder recorder;
        for (int run = 0; run < 2; ++run) {
            dk_fit_options fit = recorder.options(2);
            EXPECT_EQ(dk_trainer_fit(trainer.get(), train.get(), nullptr, &fit, nullptr), DK_OK)
                << dk_error_text();
        }
        std::vector<double> found;
        for (const dk_progress &p : recorder.calls)
            if (!p.epoch_end) found.push_back(p.learning_rate);
        return found;
    };
    std::vector<double> own = rates(0), given = rates(16), shorter = rates(4);
    ASSERT_EQ(own.size(), 16u); // 2 fits × 2 epochs × 4 steps
    for (size_t s = 0; s < 16; ++s) {
        EXPECT_DOUBLE_EQ(own[s], 1 - static_cast<double>(s % 8) / 8);
        EXPECT_DOUBLE_EQ(given[s], 1 - static_cast<double>(s) / 16);
        EXPECT_DOUBLE_EQ(shorter[s], s < 4 ? 1 - static_cast<double>(s) / 4 : 0);
    }
}

// A fit that is cut in two sees the same orders of samples, so it ends in the same bits.
TEST_F(Fit, TwoFitsOfOneEpochAreOneFitOfTwo) {
    support::Dataset train = support::synth(context.get(), "synth:spirals", 90);
    auto run = [&](int fits, int64_t each) {
        support::Net net = support::net_for(train.get(), {8});
        dk_train_options options = batches(16);
        options.schedule = DK_SCHEDULE_CONSTANT;
        options.warmup = 0;
        support::Trainer trainer = support::trainer(net.get(), options);
        dk_fit_options fit = epochs(each);
        for (int i = 0; i < fits; ++i)
            EXPECT_EQ(dk_trainer_fit(trainer.get(), train.get(), nullptr, &fit, nullptr), DK_OK)
                << dk_error_text();
        return support::parameter_bits(net.get());
    };
    EXPECT_EQ(run(2, 1), run(1, 2));
}

// A schedule laid over a fit ends with it: later steps aren't taken at its last rate, which is 0.
TEST_F(Fit, AStepAfterAFitStillLearns) {
    support::Dataset train = support::synth(context.get(), "synth:spirals", 40);
    support::Net net = support::net_for(train.get(), {4});
    dk_train_options options = batches(10);
    options.warmup = 0;
    support::Trainer trainer = support::trainer(net.get(), options);
    dk_fit_options fit = epochs(1);
    ASSERT_EQ(dk_trainer_fit(trainer.get(), train.get(), nullptr, &fit, nullptr), DK_OK);
    std::vector<uint32_t> before = support::parameter_bits(net.get());
    const float x[] = {1, -1};
    const int32_t label = 0;
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 1;
    batch.x = x;
    batch.labels = &label;
    ASSERT_EQ(dk_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
    EXPECT_NE(support::parameter_bits(net.get()), before);
}

// ---- failures ----------------------------------------------------------------------------------

TEST_F(Fit, DivergenceNamesEpochStepAndLayer) {
    support::Dataset train = support::synth(context.get(), "synth:teacher", 64, 1, 4, 1);
    for (dk_keep keep : {DK_KEEP_NEEDED, DK_KEEP_ALL}) {
        support::Net net = support::net_for(train.get(), {8}, DK_RELU);
        dk_train_options options = batches(16, 1e20);
        options.optimizer = DK_SGD;
        options.schedule = DK_SCHEDULE_CONSTANT;
        options.warmup = 0;
        options.keep = keep;
        support::Trainer trainer = support::trainer(net.get(), options);
        dk_fit_options fit = epochs(5);
        EXPECT_EQ(dk_trainer_fit(trainer.get(), train.get(), nullptr, &fit, nullptr),
                  DK_E_NONFINITE);
        for (const char *part : {"epoch ", "step ", " of layer ", "learning rate"})
            support::expect_error_names(part);
    }
}

// The last update has no later step whose loss would show what it did: 0/√0 here.
TEST_F(Fit, SeesWhatTheLastUpdateDid) {
    support::Arrays arrays;
    arrays.features = 1;
    arrays.target_count = 1;
    arrays.x = {0, 0};
    arrays.targets = {0, 0};
    support::Dataset data = arrays.open(context.get());
    support::Net net = support::net(context.get(), Description(1, {layer(1, DK_IDENTITY)}));
    dk_train_options options = batches(2);
    options.optimizer = DK_RMSPROP;
    options.epsilon = 0;
    dk_fit_options fit = epochs(1);
    EXPECT_EQ(dk_trainer_fit(support::trainer(net.get(), options).get(), data.get(), nullptr, &fit,
                             nullptr),
              DK_E_NONFINITE);
    for (const char *part : {"epoch 1", "step 1", "W of layer 1"})
        support::expect_error_names(part);
}

TEST_F(Fit, RefusesDataThatDoNotFit) {
    support::Dataset train = support::synth(context.get(), "synth:spirals", 40);
    support::Dataset more = support::synth(context.get(), "synth:spirals", 40, 1, 0, 4);
    support::Dataset numbers = support::synth(context.get(), "synth:teacher", 40, 1, 2, 3);
    support::Arrays arrays;
    arrays.features = 2;
    arrays.x = {1, 2, 3, 4};
    support::Dataset unlabelled = arrays.open(context.get());
    support::Net net = support::net_for(train.get(), {4});
    support::Trainer trainer = support::trainer(net.get());
    std::vector<uint32_t> before = support::parameter_bits(net.get());
    auto fit = [&](const support::Dataset &a, const support::Dataset &b) {
        return dk_trainer_fit(trainer.get(), a.get(), b.get(), nullptr, nullptr);
    };
    EXPECT_EQ(fit(more, {}), DK_E_SHAPE);
    EXPECT_EQ(fit(train, more), DK_E_SHAPE);
    support::expect_error_names("4 classes");
    EXPECT_EQ(fit(numbers, {}), DK_E_SHAPE);
    EXPECT_EQ(fit(train, numbers), DK_E_SHAPE);
    EXPECT_EQ(fit(unlabelled, {}), DK_E_STATE);
    support::expect_error_names("no labels");
    EXPECT_EQ(fit(train, unlabelled), DK_E_STATE);

    std::string renamed; // as many classes, by other names
    for (int i = 0; i < 9; ++i) renamed += std::to_string(i) + ",1.5," + "abc"[i % 3] + "\n";
    support::Dataset other = support::open(context.get(), write("renamed.csv", renamed).c_str());
    dk_dataset_info info;
    ASSERT_EQ(dk_dataset_describe(other.get(), &info), DK_OK);
    ASSERT_EQ(info.targets, 3);
    EXPECT_EQ(fit(other, {}), DK_E_SHAPE);
    support::expect_error_names("\"a\"");

    EXPECT_EQ(support::parameter_bits(net.get()), before);
    EXPECT_EQ(dk_trainer_steps(trainer.get()), 0);
    EXPECT_EQ(fit(train, {}), DK_OK) << dk_error_text();
}

TEST_F(Fit, RefusesOptionsThatMakeNoSense) {
    support::Dataset train = support::synth(context.get(), "synth:spirals", 40);
    support::Net net = support::net_for(train.get(), {4});
    support::Trainer trainer = support::trainer(net.get());
    auto status = [&](const std::function<void(dk_fit_options &)> &spoil, const dk_dataset *valid) {
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        spoil(fit);
        return dk_trainer_fit(trainer.get(), train.get(), valid, &fit, nullptr);
    };
    EXPECT_EQ(status([](dk_fit_options &f) { f.size = 1; }, nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(status([](dk_fit_options &f) { f.epochs = 0; }, nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(status([](dk_fit_options &f) { f.epochs = INT64_MAX; }, nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(status([](dk_fit_options &f) { f.early_stop = -1; }, train.get()), DK_E_ARGUMENT);
    EXPECT_EQ(status([](dk_fit_options &f) { f.early_stop = 1; }, nullptr), DK_E_STATE);
    EXPECT_EQ(status([](dk_fit_options &f) { f.restore_best = true; }, nullptr), DK_E_STATE);
    EXPECT_EQ(dk_trainer_fit(nullptr, train.get(), nullptr, nullptr, nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(dk_trainer_fit(trainer.get(), nullptr, nullptr, nullptr, nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(dk_trainer_steps(trainer.get()), 0);
}

TEST_F(Fit, ANetworkHasOneTrainerAtATime) {
    support::Net net = support::net(context.get(), Description(1, {layer(1, DK_RELU)}));
    support::Trainer first = support::trainer(net.get());
    dk_trainer *second = reinterpret_cast<dk_trainer *>(16);
    EXPECT_EQ(dk_trainer_create(&second, net.get(), nullptr), DK_E_STATE);
    EXPECT_EQ(second, nullptr);
    support::expect_error_names("trainer");
    first.reset();
    EXPECT_EQ(dk_trainer_create(&second, net.get(), nullptr), DK_OK) << dk_error_text();
    dk_trainer_destroy(second);
}

} // namespace
