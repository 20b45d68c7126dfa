// Training over data sets: it learns, reports what it does, stops when told, restores the best, and
// gives the same bits at any number of threads.
#include "support_fit.h"

#include <algorithm>
#include <cmath>

namespace {

using support::batches;
using support::Description;
using support::epochs;
using support::Fit;
using support::layer;
using support::Recorder;

// ---- learning ----------------------------------------------------------------------------------

TEST_F(Fit, LearnsTheSpirals) {
    support::Dataset data = support::synth(context.get(), "synth:spirals", 600);
    auto [train, test] = support::split(data.get(), 0.25);
    support::Net net = support::net_for(train.get(), {32, 32});
    dk_metrics before, after;
    ASSERT_EQ(dk_evaluate(net.get(), test.get(), 0, &before), DK_OK);
    support::Trainer trainer = support::trainer(net.get(), batches(32, 3e-2));
    dk_fit_options fit = epochs(80);
    dk_fit_result result;
    ASSERT_EQ(dk_trainer_fit(trainer.get(), train.get(), test.get(), &fit, &result), DK_OK)
        << dk_error_text();
    ASSERT_EQ(dk_evaluate(net.get(), test.get(), 0, &after), DK_OK);
    EXPECT_LT(after.loss, before.loss / 3); // a third of what guessing costs
    EXPECT_GT(after.accuracy, 0.9);
    EXPECT_EQ(result.valid_loss, after.loss);
    EXPECT_EQ(result.epochs, 80);
    EXPECT_EQ(result.steps, 80 * 15); // ⌈450/32⌉
    EXPECT_EQ(dk_trainer_steps(trainer.get()), 80 * 15);
    EXPECT_FALSE(result.stopped_early);
    EXPECT_GT(result.seconds, 0);
}

// What a rate below 0 stands for: the bits are those of the rate that the header states.
TEST_F(Fit, TheDefaultRateFollowsFromTheOptimizerAndTheHiddenLayers) {
    if (!device::is_cpu()) GTEST_SKIP() << "the defaults are the same on every device";
    const support::Dataset data = support::synth(context.get(), "synth:teacher", 200, 1, 5, 300);
    const struct {
        dk_optimizer optimizer;
        std::vector<int64_t> hidden;
        double rate;
    } cases[] = {{DK_ADAMW, {8, 200, 16}, 3e-3 * std::sqrt(128.0 / 200)},
                 {DK_ADAM, {32, 4}, 6e-3},
                 {DK_ADAM, {40, 4}, 3e-3 * std::sqrt(128.0 / 40)},
                 {DK_ADAMW, {16, 200}, 6e-3}, // there is nothing hidden behind the 200
                 {DK_ADAMW, {200}, 6e-3},
                 {DK_ADAMW, {}, 6e-3}, // 300 outputs are no hidden layer
                 {DK_SGD, {8, 200, 16}, 1e-3},
                 {DK_LION, {200}, 1e-3}};
    for (const auto &c : cases) {
        std::vector<uint32_t> bits[3];
        const double rates[3] = {-1.0, c.rate, 1.01 * c.rate};
        for (int i = 0; i < 3; ++i) {
            support::Net net = support::net_for(data.get(), c.hidden, DK_RELU);
            dk_train_options options = DK_TRAIN_OPTIONS_INIT;
            options.optimizer = c.optimizer;
            if (i > 0) options.lr = rates[i];
            support::Trainer trainer = support::trainer(net.get(), options);
            dk_fit_options fit = DK_FIT_OPTIONS_INIT;
            fit.epochs = 2;
            ASSERT_EQ(dk_trainer_fit(trainer.get(), data.get(), nullptr, &fit, nullptr), DK_OK)
                << dk_error_text();
            bits[i] = support::parameter_bits(net.get());
        }
        EXPECT_EQ(bits[0], bits[1]) << c.rate;
        EXPECT_NE(bits[0], bits[2]) << c.rate;
    }
}

// A network whose outputs don't depend on its inputs has a loss of at least ln 10, as the digits' ten
// classes are equally frequent within a per cent. With Glorot's weights 50 layers stay there.
TEST_F(Fit, FiftyLayersStartToLearnByDefault) {
    if (!device::is_cpu()) GTEST_SKIP() << "the defaults are the same on every device";
    const support::Dataset data = support::open(context.get(), "builtin:digits");
    for (const dk_init init : {DK_INIT_AUTO, DK_INIT_XAVIER_UNIFORM}) {
        std::vector<dk_layer> layers(49, support::layer(64, DK_RELU));
        layers.push_back(support::layer(10, DK_IDENTITY));
        for (dk_layer &layer : layers) layer.init = init;
        const support::Net net = support::net(
            context.get(), support::Description(64, layers, DK_LOSS_SOFTMAX_CROSS_ENTROPY));
        ASSERT_EQ(dk_net_learn_preprocessing(net.get(), data.get()), DK_OK);
        const support::Trainer trainer = support::trainer(net.get(), batches(64, -1.0));
        const dk_fit_options fit = epochs(6);
        dk_fit_result result;
        ASSERT_EQ(dk_trainer_fit(trainer.get(), data.get(), nullptr, &fit, &result), DK_OK)
            << dk_error_text();
        if (init == DK_INIT_AUTO)
            EXPECT_LT(result.train_loss, 0.95 * std::log(10.0));
        else
            EXPECT_GT(result.train_loss, 0.99 * std::log(10.0));
    }
}

TEST(Batch, FollowsFromTheRows) {
    const struct {
        int64_t rows, batch;
    } cases[] = {{INT64_MIN, 16}, {0, 16},    {511, 16},   {512, 32},       {1023, 32},
                 {1024, 64},      {2047, 64}, {2048, 128}, {INT64_MAX, 128}};
    for (const auto &c : cases) EXPECT_EQ(dk_batch_for(c.rows), c.batch) << c.rows;
}

TEST_F(Fit, LearnsTheTeacher) {
    support::Dataset train = support::synth(context.get(), "synth:teacher", 1000, 1, 4, 2);
    support::Net net = support::net_for(train.get(), {32});
    dk_metrics before, after;
    ASSERT_EQ(dk_evaluate(net.get(), train.get(), 0, &before), DK_OK);
    support::Trainer trainer = support::trainer(net.get(), batches(50));
    dk_fit_options fit = epochs(30);
    ASSERT_EQ(dk_trainer_fit(trainer.get(), train.get(), nullptr, &fit, nullptr), DK_OK)
        << dk_error_text();
    ASSERT_EQ(dk_evaluate(net.get(), train.get(), 0, &after), DK_OK);
    EXPECT_LT(after.loss, before.loss / 10);
    EXPECT_GT(after.r2, 0.9);
}

// ---- what it reports ---------------------------------------------------------------------------

TEST_F(Fit, ReportsEveryStepAndTheEndOfEveryEpoch) {
    support::Dataset data = support::synth(context.get(), "synth:spirals", 100);
    auto [train, test] = support::split(data.get(), 0.3);
    support::Net net = support::net_for(train.get(), {4});
    support::Trainer trainer = support::trainer(net.get(), batches(32)); // 70 rows: 32, 32 and 6
    Recorder recorder;
    dk_fit_options fit = recorder.options(4);
    dk_fit_result result;
    ASSERT_EQ(dk_trainer_fit(trainer.get(), train.get(), test.get(), &fit, &result), DK_OK);
    ASSERT_EQ(recorder.calls.size(), 4u * (3 + 1));
    double seconds = 0, best = INFINITY;
    for (size_t i = 0; i < recorder.calls.size(); ++i) {
        SCOPED_TRACE(i);
        const dk_progress &p = recorder.calls[i];
        int64_t epoch = static_cast<int64_t>(i) / 4, within = static_cast<int64_t>(i) % 4;
        EXPECT_EQ(p.epoch, epoch + 1);
        EXPECT_EQ(p.epochs, 4);
        EXPECT_EQ(p.steps, 12);
        EXPECT_EQ(p.step, 3 * epoch + std::min<int64_t>(within + 1, 3));
        EXPECT_EQ(p.epoch_end, within == 3);
        EXPECT_TRUE(p.has_valid);
        if (device::is_cpu() || p.epoch_end) {
            EXPECT_TRUE(std::isfinite(p.loss) && p.loss > 0);
        }
        EXPECT_GT(p.learning_rate, -1e-30);
        EXPECT_LE(p.learning_rate, 1e-2);
        EXPECT_GT(p.samples_per_second, 0);
        EXPECT_GE(p.seconds, seconds);
        EXPECT_GE(p.seconds_left, 0);
        seconds = p.seconds;
        if (!p.epoch_end) {
            EXPECT_FALSE(p.best);
            continue;
        }
        EXPECT_EQ(p.best, p.valid_loss < best);
        best = std::min(best, p.valid_loss);
        EXPECT_TRUE(p.valid_metric >= 0 && p.valid_metric <= 1);
        if (device::is_cpu()) {
            EXPECT_EQ(p.loss, recorder.calls[i - 1].loss);
        }
        if (p.best) {
            EXPECT_GE(result.best_epoch, p.epoch);
        }
    }
    EXPECT_EQ(recorder.calls.back().seconds_left, 0);
    EXPECT_EQ(result.train_loss, recorder.calls.back().loss);
    EXPECT_EQ(result.valid_loss, recorder.calls.back().valid_loss);
    EXPECT_GE(result.seconds, seconds);
}

TEST_F(Fit, WithoutValidationThereIsNone) {
    support::Dataset train = support::synth(context.get(), "synth:spirals", 40);
    support::Net net = support::net_for(train.get(), {4});
    Recorder recorder;
    dk_fit_options fit = recorder.options(2);
    dk_fit_result result;
    ASSERT_EQ(dk_trainer_fit(support::trainer(net.get(), batches(64)).get(), train.get(), nullptr,
                             &fit, &result),
              DK_OK);
    for (const dk_progress &p : recorder.calls) EXPECT_FALSE(p.has_valid || p.best);
    EXPECT_EQ(result.best_epoch, 0);
    EXPECT_TRUE(std::isnan(result.valid_loss));
    EXPECT_EQ(result.steps, 2); // a batch larger than the set is the set
}

TEST_F(Fit, TheLossIsThatOfTheEpochNotOfEarlierSteps) {
    support::Dataset train = support::synth(context.get(), "synth:spirals", 40);
    auto first_loss = [&](int steps_before) {
        support::Net net = support::net_for(train.get(), {4});
        // weights that never move: nothing but the loss can tell that steps were taken before
        for (size_t k = 1; k <= 2; ++k) EXPECT_EQ(dk_net_freeze(net.get(), k, true), DK_OK);
        dk_train_options options = batches(64);
        options.warmup = 0;
        support::Trainer trainer = support::trainer(net.get(), options);
        const float far[2] = {1e4f, -1e4f};
        const int32_t label = 1;
        dk_batch batch = DK_BATCH_INIT;
        batch.rows = 1;
        batch.x = far;
        batch.labels = &label;
        for (int i = 0; i < steps_before; ++i)
            EXPECT_EQ(dk_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
        Recorder recorder;
        dk_fit_options fit = recorder.options(1);
        EXPECT_EQ(dk_trainer_fit(trainer.get(), train.get(), nullptr, &fit, nullptr), DK_OK)
            << dk_error_text();
        return recorder.calls.back().loss;
    };
    EXPECT_EQ(first_loss(3), first_loss(0));
}

// Every row counts the same, also in a short last batch: 1² + … + 5² over 5 rows is 11, in whatever
// order they come, where the mean of the batches' means would be another number.
TEST_F(Fit, AShortBatchCountsForItsRows) {
    support::Arrays arrays;
    arrays.features = 1;
    arrays.target_count = 1;
    arrays.x = {1, 2, 3, 4, 5};
    arrays.targets = {0, 0, 0, 0, 0};
    support::Dataset data = arrays.open(context.get());
    dk_layer one = layer(1, DK_IDENTITY);
    one.init = DK_INIT_CONSTANT;
    one.init_value = 1;
    one.frozen = true;
    support::Net net = support::net(context.get(), Description(1, {one}));
    dk_fit_options fit = epochs(1);
    dk_fit_result result;
    ASSERT_EQ(dk_trainer_fit(support::trainer(net.get(), batches(4)).get(), data.get(), nullptr,
                             &fit, &result),
              DK_OK)
        << dk_error_text();
    EXPECT_EQ(result.train_loss, 11.0);
}

// The rows as they lie, every epoch: the same bits as the same batches one by one by dk_trainer_step,
// a short last one included. A permutation of the rows gives others.
TEST_F(Fit, TakesTheRowsInTheirOwnOrder) {
    support::Arrays arrays;
    arrays.features = 3;
    arrays.target_count = 2;
    arrays.x = support::normal(3 * 10, 1);
    arrays.targets = support::normal(2 * 10, 2);
    support::Dataset data = arrays.open(context.get());
    dk_train_options options = batches(4);
    options.schedule = DK_SCHEDULE_CONSTANT;
    options.warmup = 0;
    const Description description(3, {layer(5, DK_TANH), layer(2, DK_IDENTITY)});
    auto fitted = [&](bool in_order) {
        support::Net net = support::net(context.get(), description);
        dk_fit_options fit = epochs(2);
        fit.in_order = in_order;
        EXPECT_EQ(dk_trainer_fit(support::trainer(net.get(), options).get(), data.get(), nullptr,
                                 &fit, nullptr),
                  DK_OK)
            << dk_error_text();
        return support::parameter_bits(net.get());
    };
    support::Net net = support::net(context.get(), description);
    support::Trainer trainer = support::trainer(net.get(), options);
    for (int epoch = 0; epoch < 2; ++epoch)
        for (int64_t first = 0; first < 10; first += 4) {
            dk_batch batch = DK_BATCH_INIT;
            batch.rows = std::min<int64_t>(4, 10 - first);
            batch.x = arrays.x.data() + 3 * first;
            batch.targets = arrays.targets.data() + 2 * first;
            ASSERT_EQ(dk_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
        }
    EXPECT_EQ(fitted(true), support::parameter_bits(net.get()));
    EXPECT_NE(fitted(false), support::parameter_bits(net.get()));
}

// ---- stopping ----------------------------------------------------------------------------------

TEST_F(Fit, StopsWhenTheCallbackSaysSo) {
    support::Dataset data = support::synth(context.get(), "synth:spirals", 100);
    auto [train, test] = support::split(data.get(), 0.3);
    for (int64_t stop : {1, 4, 5}) {
        SCOPED_TRACE(stop);
        support::Net net = support::net_for(train.get(), {4});
        support::Trainer trainer = support::trainer(net.get(), batches(32));
        Recorder recorder;
        recorder.then = [&](const dk_progress &p) { return p.step == stop ? -7 : 0; };
        dk_fit_options fit = recorder.options(9);
        dk_fit_result result;
        EXPECT_EQ(dk_trainer_fit(trainer.get(), train.get(), test.get(), &fit, &result),
                  DK_E_STOPPED);
        support::expect_error_names("step " + std::to_string(stop));
        EXPECT_EQ(result.steps, stop);
        EXPECT_EQ(result.epochs, (stop - 1) / 3);
        EXPECT_TRUE(std::isfinite(result.train_loss)); // of every step that was taken
        if (device::is_cpu()) {
            EXPECT_EQ(result.train_loss, recorder.calls.back().loss);
        }
        EXPECT_TRUE(std::isnan(result.valid_loss)); // no loss of the network as it is left is known
        EXPECT_EQ(result.best_epoch > 0, stop > 3);
        dk_metrics metrics;
        EXPECT_EQ(dk_evaluate(net.get(), test.get(), 0, &metrics), DK_OK);
        EXPECT_EQ(dk_trainer_fit(trainer.get(), train.get(), nullptr, nullptr, nullptr), DK_OK)
            << "it can be trained on: " << dk_error_text();
    }
}

TEST_F(Fit, StoppedAtTheEndOfAnEpochItKnowsTheValidationLoss) {
    support::Dataset data = support::synth(context.get(), "synth:spirals", 100);
    auto [train, test] = support::split(data.get(), 0.3);
    support::Net net = support::net_for(train.get(), {4});
    Recorder recorder;
    recorder.then = [](const dk_progress &p) { return p.epoch_end && p.epoch == 2; };
    dk_fit_options fit = recorder.options(9);
    dk_fit_result result;
    EXPECT_EQ(
        dk_trainer_fit(support::trainer(net.get()).get(), train.get(), test.get(), &fit, &result),
        DK_E_STOPPED);
    EXPECT_EQ(result.epochs, 2);
    EXPECT_EQ(result.valid_loss, recorder.calls.back().valid_loss);
}

// A learning rate so large that validation gets worse again within a few epochs.
struct Overshoot {
    std::vector<uint32_t> best;
    double best_loss = 0;
    int64_t best_epoch = 0;
    dk_fit_result result;
    std::vector<uint32_t> left;

    Overshoot(const support::Context &context, int64_t early_stop, bool restore) {
        support::Dataset data = support::synth(context.get(), "synth:spirals", 60);
        auto [train, test] = support::split(data.get(), 0.5);
        support::Net net = support::net_for(train.get(), {16});
        dk_train_options options = batches(8, 0.3);
        options.schedule = DK_SCHEDULE_CONSTANT;
        support::Trainer trainer = support::trainer(net.get(), options);
        Recorder recorder;
        recorder.then = [&](const dk_progress &p) {
            if (p.best) {
                best = support::parameter_bits(net.get());
                best_loss = p.valid_loss;
                best_epoch = p.epoch;
            }
            return 0;
        };
        dk_fit_options fit = recorder.options(20);
        fit.early_stop = early_stop;
        fit.restore_best = restore;
        EXPECT_EQ(dk_trainer_fit(trainer.get(), train.get(), test.get(), &fit, &result), DK_OK)
            << dk_error_text();
        left = support::parameter_bits(net.get());
        dk_metrics metrics;
        EXPECT_EQ(dk_evaluate(net.get(), test.get(), 0, &metrics), DK_OK);
        EXPECT_EQ(metrics.loss, result.valid_loss);
    }
};

TEST_F(Fit, EarlyStoppingRestoresTheBestEpoch) {
    Overshoot run(context, 3, false);
    EXPECT_TRUE(run.result.stopped_early);
    EXPECT_LT(run.result.epochs, 20);
    EXPECT_EQ(run.result.epochs, run.best_epoch + 3);
    EXPECT_EQ(run.result.best_epoch, run.best_epoch);
    EXPECT_EQ(run.result.valid_loss, run.best_loss);
    EXPECT_EQ(run.left, run.best);
}

TEST_F(Fit, RestoresTheBestEpochWhereAllRan) {
    Overshoot run(context, 0, true);
    EXPECT_FALSE(run.result.stopped_early);
    EXPECT_EQ(run.result.epochs, 20);
    EXPECT_LT(run.best_epoch, 20); // else there is nothing to see
    EXPECT_EQ(run.result.best_epoch, run.best_epoch);
    EXPECT_EQ(run.result.valid_loss, run.best_loss);
    EXPECT_EQ(run.left, run.best);
    Overshoot without(context, 0, false);
    EXPECT_NE(without.left, without.best);
    EXPECT_NE(without.result.valid_loss, without.best_loss);
}

// ---- the same bits -----------------------------------------------------------------------------

TEST_F(Fit, TheSameSeedGivesTheSameBitsAtAnyNumberOfThreads) {
    auto run = [&](int threads, uint64_t net_seed, uint64_t seed, std::string *file) {
        support::Context own = support::open_repeatable(threads);
        support::Dataset data = support::synth(own.get(), "synth:spirals", 300);
        support::Net net;
        {
            support::Net made = support::net_for(data.get(), {33, 65}, DK_GELU, net_seed);
            dk_net_desc desc;
            EXPECT_EQ(dk_net_describe(made.get(), &desc), DK_OK);
            Description with_dropout(2, {desc.layers, desc.layers + 3}, desc.loss);
            with_dropout.layers[0].dropout = 0.25f;
            with_dropout.desc.seed = net_seed;
            net = support::net(own.get(), with_dropout);
        }
        dk_train_options options = batches(70);
        options.seed = seed;
        options.clip_norm = 0.5;
        dk_fit_options fit = epochs(3);
        EXPECT_EQ(dk_trainer_fit(support::trainer(net.get(), options).get(), data.get(), data.get(),
                                 &fit, nullptr),
                  DK_OK)
            << dk_error_text();
        EXPECT_EQ(dk_net_save(net.get(), path("model").c_str()), DK_OK) << dk_error_text();
        *file = support::slurp(path("model"));
        return support::parameter_bits(net.get());
    };
    std::string file, other;
    std::vector<uint32_t> bits = run(1, 1, 1, &file);
    for (int threads : {1, 2, 3}) {
        EXPECT_EQ(run(threads, 1, 1, &other), bits) << threads;
        EXPECT_EQ(other, file);
    }
    EXPECT_NE(run(1, 2, 1, &other), bits);
    EXPECT_NE(run(1, 1, 2, &other), bits);
}

// Small integers: every product and sum is exact in fp32, so that only what the two ways of
// batching do differently could make a difference.
TEST_F(Fit, AccumulatedMicroBatchesAreOneBatch) {
    support::Arrays arrays;
    arrays.features = 3;
    arrays.target_count = 1;
    std::mt19937 random(5);
    for (int i = 0; i < 3 * 30; ++i)
        arrays.x.push_back(static_cast<float>(static_cast<int>(random() % 9) - 4));
    for (int i = 0; i < 30; ++i)
        arrays.targets.push_back(static_cast<float>(static_cast<int>(random() % 9) - 4));
    support::Dataset data = arrays.open(context.get());
    auto run = [&](int64_t batch, int64_t accumulate, dk_fit_result *result) {
        dk_layer linear = layer(1, DK_IDENTITY);
        linear.init = DK_INIT_CONSTANT;
        linear.init_value = 1;
        support::Net net = support::net(context.get(), Description(3, {linear}));
        dk_train_options options = batches(batch, 1.0 / 16);
        options.accumulate = accumulate;
        options.optimizer = DK_SGD;
        options.weight_decay = 0;
        options.schedule = DK_SCHEDULE_CONSTANT;
        options.warmup = 0;
        // the first step is exact: 8 rows, and all that is divided by is a power of two
        Recorder recorder;
        std::vector<uint32_t> first;
        recorder.then = [&](const dk_progress &p) {
            if (p.step == 1) first = support::parameter_bits(net.get());
            return 0;
        };
        dk_fit_options fit = recorder.options(2);
        EXPECT_EQ(dk_trainer_fit(support::trainer(net.get(), options).get(), data.get(), nullptr,
                                 &fit, result),
                  DK_OK)
            << dk_error_text();
        return first;
    };
    dk_fit_result whole, parts;
    std::vector<uint32_t> bits = run(8, 1, &whole);
    EXPECT_EQ(whole.steps, 2 * 4); // 30 rows: 8, 8, 8, 6
    for (auto [batch, accumulate] : {std::pair(4, 2), std::pair(2, 4), std::pair(1, 8)}) {
        EXPECT_EQ(run(batch, accumulate, &parts), bits) << batch;
        EXPECT_EQ(parts.steps, whole.steps);
    }
}

} // namespace
