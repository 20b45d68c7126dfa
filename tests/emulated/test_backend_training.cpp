// The whole library with the device "cuda", on the emulated CUDA: the same bits in whatever order the
// streams let work run, the reference's values within the reference's bounds, and an orderly end
// whichever call fails.
#include "support_emulated.h"

#include "deltak/deltak_cuda.h"
#include "support_extent.h"
#include "support_net.h"
#include "support_promise.h"

#include <cmath>
#include <set>

namespace emulated {
namespace {

support::Context cuda(dk_precision precision = DK_FP32, bool deterministic = true) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cuda:0";
    options.precision = precision;
    options.deterministic = deterministic;
    options.no_plan_cache = true;
    dk_context *context = nullptr;
    EXPECT_EQ(dk_context_create(&context, &options), DK_OK) << dk_error_text();
    return support::Context(context);
}

constexpr dk_precision precisions[] = {DK_FP32, DK_TF32, DK_BF16, DK_FP16};

/// A net with widths that no vector fits, dropout, and activations with and without a mask.
support::Description description() {
    support::Description made(7,
                              {support::layer(13, DK_RELU), support::layer(9, DK_GELU),
                               support::layer(11, DK_RELU), support::layer(3, DK_IDENTITY)},
                              DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    made.layers[1].dropout = 0.25f;
    made.desc.seed = 5;
    return made;
}

/// 70 rows of 7 features in 3 classes; batches of 16 leave a last one of 6.
support::Arrays rows() {
    support::Arrays made;
    made.features = 7;
    made.classes = 3;
    made.x = support::normal(70 * 7, 3);
    for (size_t i = 0; i < 70; ++i) {
        const float *x = &made.x[7 * i];
        made.labels.push_back(x[0] > 0.5f ? 2 : x[1] + x[2] > 0 ? 1 : 0);
    }
    return made;
}

dk_train_options adam() {
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.batch = 16;
    options.optimizer = DK_ADAMW;
    options.lr = 1e-2;
    return options;
}

/// Plain SGD with its updates inside the products.
dk_train_options fused_sgd() {
    dk_train_options options = adam();
    options.optimizer = DK_SGD;
    options.lr = 0.1;
    options.weight_decay = 0.01;
    options.fuse_update = true;
    return options;
}

/// All weights after an epoch, and the loss.
std::vector<float> trained(dk_precision precision, const dk_train_options &options,
                           bool deterministic) {
    const support::Context context = cuda(precision, deterministic);
    const support::Arrays arrays = rows();
    const support::Dataset data = arrays.open(context.get());
    const support::Net net = support::net(context.get(), description());
    const support::Trainer trainer = support::trainer(net.get(), options);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 1;
    dk_fit_result result;
    EXPECT_EQ(dk_trainer_fit(trainer.get(), data.get(), data.get(), &fit, &result), DK_OK)
        << dk_error_text();
    std::vector<float> all = {static_cast<float>(result.train_loss),
                              static_cast<float>(result.valid_loss)};
    for (size_t k = 1; k <= 4; ++k) {
        const std::vector<float> w = support::tensor(net.get(), DK_WEIGHT, k);
        all.insert(all.end(), w.begin(), w.end());
    }
    return all;
}

TEST_F(Test, TrainingGivesTheSameBitsUnderEverySchedule) {
    for (dk_precision precision : precisions)
        for (int variant = 0; variant < 3; ++variant) {
            SCOPED_TRACE(testing::Message() << dk_precision_name(precision) << " " << variant);
            dk_train_options options = variant < 2 ? adam() : fused_sgd();
            if (variant == 1) options.clip_norm = 0.5;
            for (bool deterministic : {true, false}) {
                if (!deterministic && precision != DK_FP32) continue; // nothing new, much to time
                std::vector<float> first;
                for (uint64_t seed = 0; seed < schedules; seed += support::one_in(3)) {
                    set_schedule(seed);
                    const std::vector<float> weights = trained(precision, options, deterministic);
                    if (HasFailure()) return;
                    for (float w : weights) ASSERT_TRUE(std::isfinite(w));
                    if (seed == 0) first = weights;
                    ASSERT_EQ(weights, first) << "schedule " << seed;
                }
            }
        }
}

TEST_F(Test, TheCheckPasses) {
    const support::Context context = cuda();
    support::Description net = description();
    dk_train_options options = adam();
    dk_check_row rows[25];
    size_t count = 0;
    ASSERT_EQ(dk_check(context.get(), net.get(), &options, rows, 25, &count), DK_OK)
        << dk_error_text();
    EXPECT_EQ(count, 25u) << "6 for each of 4 layers, and the loss";
    for (size_t i = 0; i < count; ++i)
        EXPECT_TRUE(rows[i].passed)
            << rows[i].quantity << " " << rows[i].layer << ": " << rows[i].worst;
}

TEST_F(Test, AlgorithmsAreChosenByTimeUnlessItIsToBeDeterministic) {
    trained(DK_FP32, adam(), true);
    EXPECT_GT(counts().products_by[1], 0);
    EXPECT_EQ(counts().products_by[2] + counts().products_by[3], 0);
    reset_counts();
    trained(DK_FP32, adam(), false);
    const Counts timed = counts(); // each once or more to time it, the second to train
    EXPECT_GT(timed.products_by[2], timed.products_by[1]);
    EXPECT_GT(timed.products_by[2], timed.products_by[3]);
    EXPECT_GT(timed.products_by[3], 0);
}

// Blank rows under biases of 0 make every z of the hidden layers exactly 0, where g′ of ReLU is 0: no
// gradient goes below the last layer. Kernels of ours take so long here that whatever can be in an
// epilogue is. Breaks with the mask that cuBLASLt's epilogues keep of ReLU, whose bits are set for
// z ≥ 0.
TEST_F(Test, AtZeroReluHasNoGradientWhateverIsInEpilogues) {
    set_times([](const dki_product &, int) { return 0.5; }, 5);
    set_dependent_launches(5);
    for (dk_precision precision : precisions) {
        SCOPED_TRACE(dk_precision_name(precision));
        const support::Context context = cuda(precision, false);
        std::vector<dk_layer> layers = {support::layer(13, DK_RELU), support::layer(9, DK_RELU),
                                        support::layer(3, DK_IDENTITY)};
        for (dk_layer &layer : layers) layer.init = DK_INIT_XAVIER_UNIFORM; // biases start at 0
        const support::Net net = support::net(
            context.get(), support::Description(7, layers, DK_LOSS_SOFTMAX_CROSS_ENTROPY));
        dk_train_options options = fused_sgd();
        options.total_steps = 10;
        const support::Trainer trainer = support::trainer(net.get(), options);
        const std::vector<float> x(16 * 7, 0.0f);
        const std::vector<int32_t> labels(16, 1);
        dk_batch batch = DK_BATCH_INIT;
        batch.rows = 16;
        batch.x = x.data();
        batch.labels = labels.data();
        ASSERT_EQ(dk_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
        EXPECT_EQ(support::tensor(net.get(), DK_BIAS, 1), std::vector<float>(13, 0.0f));
        EXPECT_EQ(support::tensor(net.get(), DK_BIAS, 2), std::vector<float>(9, 0.0f));
        EXPECT_NE(support::tensor(net.get(), DK_BIAS, 3), std::vector<float>(3, 0.0f));
    }
}

// How many products of a step have the update in them: of 4 layers all in low precision, all but the
// lowest in fp32, those that gain by it where that is timed; none in fp16, or by another rule.
TEST_F(Test, UpdatesAreInTheProductsThatGainByIt) {
    long scaled = 0;
    double time_of_scaled = 0;
    set_times([&](const dki_product &product, int) {
        scaled += product.accumulate == DKI_SCALE;
        return product.accumulate == DKI_SCALE ? time_of_scaled : 1.0;
    });
    const auto in_a_step = [&](dk_precision precision, bool deterministic, double time,
                               const dk_train_options &options) {
        time_of_scaled = time;
        const support::Context context = cuda(precision, deterministic);
        const support::Net net = support::net(context.get(), description());
        const support::Trainer trainer = support::trainer(net.get(), options);
        const support::Arrays arrays = rows();
        dk_batch batch = DK_BATCH_INIT;
        batch.rows = 16;
        batch.x = arrays.x.data();
        batch.labels = arrays.labels.data();
        double loss = 0;
        scaled = 0;
        EXPECT_EQ(dk_trainer_step(trainer.get(), &batch, &loss), DK_OK) << dk_error_text();
        return scaled;
    };
    dk_train_options fused = fused_sgd();
    fused.total_steps = 10;
    dk_train_options unfused = fused, momentum = fused, clamped = fused;
    unfused.fuse_update = false;
    momentum.optimizer = DK_MOMENTUM;
    clamped.clip_value = 1;
    for (dk_precision precision : {DK_FP32, DK_TF32, DK_BF16}) {
        const long all = precision == DK_BF16 ? 4 : 3;
        EXPECT_EQ(in_a_step(precision, true, 9, fused), all) << "untimed";
        EXPECT_EQ(in_a_step(precision, false, 1, fused), all);
        EXPECT_EQ(in_a_step(precision, false, 2, fused), 0) << "slower than both";
        EXPECT_EQ(in_a_step(precision, true, 1, unfused), 0);
        EXPECT_EQ(in_a_step(precision, true, 1, momentum), 0);
        EXPECT_EQ(in_a_step(precision, true, 1, clamped), 0);
    }
    EXPECT_EQ(in_a_step(DK_FP16, true, 1, fused), 0) << "loss scaling decides first";
}

// A library without such a product: the update stays behind the gradient.
TEST_F(Test, WhereTheLibraryHasNoSuchProductNothingIsFused) {
    const std::vector<float> separate = [&] {
        dk_train_options options = fused_sgd();
        options.fuse_update = false;
        return trained(DK_FP32, options, true);
    }();
    set_algorithms(
        [](const dki_product &product) { return product.accumulate == DKI_SCALE ? 0 : 3; });
    EXPECT_EQ(trained(DK_FP32, fused_sgd(), true), separate) << "to the bit";
    EXPECT_EQ(trained(DK_FP32, fused_sgd(), false).size(), separate.size());
}

// Dependent launches where they are faster by more than measurements differ, only there, never where
// nothing is to be timed; not where they fail, and not of kernels that don't wait. The bits are the same.
// Products are short here, or what is saved between them wouldn't count.
TEST_F(Test, LaunchesAreDependentWhereThatPays) {
    set_times([](const dki_product &, int) { return 0.01; });
    const auto dependent_kernels = [](double time, bool work, bool deterministic) {
        set_dependent_launches(time, work);
        const std::vector<float> weights = trained(DK_FP32, adam(), deterministic);
        const Counts all = counts();
        reset_counts();
        return std::make_pair(all.dependent_kernels, weights);
    };
    const auto plain = dependent_kernels(0.01, true, false),
               faster = dependent_kernels(0.005, true, false);
    EXPECT_EQ(plain.second, faster.second);
    EXPECT_GT(plain.first, 0) << "tried";
    EXPECT_GT(faster.first, 2 * plain.first) << "and kept";
    EXPECT_EQ(dependent_kernels(0.0099, true, false).first, plain.first) << "by 1 % only";
    const auto broken = dependent_kernels(0.001, false, false);
    EXPECT_EQ(broken.first, 0);
    EXPECT_EQ(broken.second, plain.second);
    EXPECT_EQ(dependent_kernels(0.001, true, true).first, 0) << "deterministic";
    set_kernels(80);
    const auto older = dependent_kernels(0.001, true, false);
    EXPECT_EQ(older.first, 0) << "compiled for 8.0: they wouldn't wait for the product before them";
    EXPECT_EQ(older.second, plain.second);
}

// What was tried on a chain of kernels may fail in a step: then it is recorded without dependent
// launches, says so, and gives the same bits; and no later recording tries them again.
TEST_F(Test, AStepThatCannotBeRecordedWithDependentLaunchesIsWithout) {
    set_times([](const dki_product &, int) { return 0.01; });
    const auto run = [](bool work) {
        set_dependent_launches(0.001);
        const support::Context context = cuda(DK_FP32, false);
        const support::Net net = support::net(context.get(), description());
        dk_train_options options = adam();
        options.total_steps = 10;
        const support::Trainer trainer = support::trainer(net.get(), options);
        const support::Arrays arrays = rows();
        dk_batch batch = DK_BATCH_INIT;
        batch.x = arrays.x.data();
        batch.labels = arrays.labels.data();
        set_dependent_launches(0.001, work);
        reset_counts();
        for (int64_t rows : {16, 16, 9}) {
            batch.rows = rows;
            EXPECT_EQ(dk_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
        }
        const std::vector<float> w = support::tensor(net.get(), DK_WEIGHT, 1);
        EXPECT_EQ(counts().captures, work ? 2 : 3);
        EXPECT_EQ(counts().dependent_kernels > 0, work);
        return w;
    };
    EXPECT_EQ(run(false), run(true));
}

// What is timed and recorded is on the backend's own streams: an application's default stream, which
// can't be recorded, changes nothing of what is chosen.
TEST_F(Test, AnApplicationsDefaultStreamLeavesTheChoicesAsTheyAre) {
    set_times([](const dki_product &, int) { return 0.01; });
    set_dependent_launches(0.005);
    const auto run = [](bool on_default_stream) {
        const support::Context context = cuda(DK_FP32, false);
        if (on_default_stream) {
            EXPECT_EQ(dk_cuda_use_stream(context.get(), nullptr), DK_OK) << dk_error_text();
        }
        const support::Net net = support::net(context.get(), description());
        dk_train_options options = adam();
        options.total_steps = 10;
        const support::Trainer trainer = support::trainer(net.get(), options);
        const support::Arrays arrays = rows();
        dk_batch batch = DK_BATCH_INIT;
        batch.rows = 16;
        batch.x = arrays.x.data();
        batch.labels = arrays.labels.data();
        double loss = 0;
        reset_counts();
        for (int step = 0; step < 3; ++step)
            EXPECT_EQ(dk_trainer_step(trainer.get(), &batch, &loss), DK_OK) << dk_error_text();
        return std::make_pair(counts().dependent_kernels, support::tensor(net.get(), DK_WEIGHT, 1));
    };
    const auto own = run(false);
    EXPECT_GT(own.first, 0);
    EXPECT_EQ(run(true), own);
}

// --- failures ----------------------------------------------------------------------------------

/// Opens a GPU, trains an epoch of 70 rows and evaluates. `loss` and `made`: the loss, and the calls
/// until then.
dk_status work(const dk_train_options &train, double *loss, long *made) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cuda";
    options.deterministic = true;
    dk_context *context = nullptr;
    DKI_TRY(dk_context_create(&context, &options));
    const support::Context owned(context);
    const support::Arrays arrays = rows();
    const support::Dataset data = arrays.open(context);
    dk_net *net = nullptr;
    DKI_TRY(dk_net_create(&net, context, description().get()));
    const support::Net owned_net(net);
    dk_trainer *trainer = nullptr;
    DKI_TRY(dk_trainer_create(&trainer, net, &train));
    const support::Trainer owned_trainer(trainer);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 1;
    DKI_TRY(dk_trainer_fit(trainer, data.get(), data.get(), &fit, nullptr));
    dk_metrics metrics;
    DKI_TRY(dk_evaluate(net, data.get(), 32, &metrics));
    *loss = metrics.loss;
    *made = calls();
    return DK_OK;
}

/// Every call (or one in seven) that `work` makes fails once, and `work` says so; but for the waits before memory is
/// given back, which nobody can be told of: then the result is the right one. Adds their number to *failures.
void fail_each(dk_status status, const dk_train_options &train, long *failures) {
    double right = 0;
    long total = 0;
    const std::set<std::string> waits = {"cublasLtMatmulAlgoCheck", "cudaEventRecord",
                                         "cudaEventSynchronize", "cudaStreamSynchronize"};
    fail_at(0, DK_OK);
    ASSERT_EQ(work(train, &right, &total), DK_OK) << dk_error_text();
    for (long n = 1; n <= total; n += support::one_in(7)) {
        SCOPED_TRACE(testing::Message() << "call " << n << " of " << total);
        double loss = 0;
        long unused = 0;
        fail_at(n, status);
        const dk_status got = work(train, &loss, &unused);
        ASSERT_EQ(got, got == DK_OK ? DK_OK : status) << dk_error_text();
        ASSERT_EQ(loss, got == DK_OK ? right : 0);
        if (got == DK_OK) {
            EXPECT_EQ(waits.count(failed_call()), 1u) << failed_call();
        }
        expect_clean();
        ASSERT_EQ(open_gpus(), 0);
        if (testing::Test::HasFailure()) return;
        reset();
        ++*failures;
    }
}

void promise_survived(long failures) {
    support::promise("Every failure is survived",
                     "each call to CUDA for an epoch and an evaluation fails (emulated)", failures);
}

TEST_F(Test, AnyCallMayRunOutOfMemory) {
    long failures = 0;
    fail_each(DK_E_MEMORY, adam(), &failures);
    fail_each(DK_E_MEMORY, fused_sgd(), &failures);
    promise_survived(failures);
}

TEST_F(Test, TheDeviceMayBeLostAtAnyCall) {
    long failures = 0;
    fail_each(DK_E_DEVICE_LOST, adam(), &failures);
    promise_survived(failures);
}

TEST_F(Test, AMissingDriverIsReported) {
    set_driver(cudaErrorInsufficientDriver, 0);
    double loss = 0;
    long unused = 0;
    EXPECT_EQ(work(adam(), &loss, &unused), DK_E_DEVICE);
    EXPECT_NE(std::string(dk_error_text()).find("no NVIDIA driver"), std::string::npos)
        << dk_error_text();
}

} // namespace
} // namespace emulated
