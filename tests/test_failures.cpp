// Memory that runs out: the n-th allocation of each operation fails, for every n. The operation
// says DK_E_MEMORY, nothing is leaked, and what was there before works as if nothing had happened.
#include "support.h"
#include "support_net.h"

namespace {

using support::Allocator;

// Makes each allocation of `work` fail in turn, then lets it succeed. Between two runs exactly what
// was alive before must be alive. `work` releases what it makes.
void fails_cleanly(Allocator &allocator, const char *name, const std::function<dk_status()> &work) {
    SCOPED_TRACE(name);
    const long blocks = allocator.live_blocks, bytes = allocator.live_bytes;
    for (long n = 1; n < 1000; ++n) {
        const long before = allocator.calls;
        allocator.fail_at = before + n;
        dk_status status = work();
        allocator.fail_at = 0;
        ASSERT_EQ(allocator.live_blocks, blocks) << "a leak after allocation " << n;
        ASSERT_EQ(allocator.live_bytes, bytes) << "sizes disagree after allocation " << n;
        if (allocator.calls < before + n) {
            ASSERT_EQ(status, DK_OK) << dk_error_text();
            EXPECT_GT(n, 1) << "it allocates nothing: the test tests nothing";
            return;
        }
        ASSERT_EQ(status, DK_E_MEMORY) << "allocation " << n << ": " << dk_error_text();
        ASSERT_NE(std::string(dk_error_text()).find("memory"), std::string::npos)
            << dk_error_text();
    }
    ADD_FAILURE() << "still allocating";
}

class Failures : public support::TempDirectory {
  protected:
    Allocator allocator;
    support::Context context = support::open_context(2, allocator.get());
    support::Dataset data = support::synth(context.get(), "synth:spirals", 60);
    support::Dataset numbers = support::synth(context.get(), "synth:teacher", 60, 1, 2, 3);
};

TEST_F(Failures, OfContexts) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = "cpu";
    options.allocator = allocator.hooks;
    fails_cleanly(allocator, "dk_context_create", [&] {
        dk_context *made = reinterpret_cast<dk_context *>(16);
        dk_status status = dk_context_create(&made, &options);
        EXPECT_EQ(made == nullptr, status != DK_OK);
        dk_context_destroy(made);
        return status;
    });
}

TEST_F(Failures, OfCreation) {
    support::Description given(2, {support::layer(4, DK_TANH), support::layer(3, DK_IDENTITY)},
                               DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    given.class_weights = {1, 2, 3};
    const int64_t hidden[] = {4};
    dk_net *made = nullptr;
    auto net = [&](dk_status status) {
        EXPECT_EQ(made == nullptr, status != DK_OK);
        dk_net_destroy(made);
        return status;
    };
    fails_cleanly(allocator, "dk_net_create",
                  [&] { return net(dk_net_create(&made, context.get(), given.get())); });
    for (const dk_dataset *set : {data.get(), numbers.get()})
        fails_cleanly(allocator, "dk_net_create_for",
                      [&] { return net(dk_net_create_for(&made, set, hidden, 1, DK_RELU, 1)); });
    support::Net owner = support::net_for(data.get(), {4});
    for (dk_optimizer optimizer : {DK_SGD, DK_MOMENTUM, DK_ADAMW}) {
        dk_train_options options = DK_TRAIN_OPTIONS_INIT;
        options.optimizer = optimizer;
        fails_cleanly(allocator, "dk_trainer_create", [&] {
            dk_trainer *trainer = reinterpret_cast<dk_trainer *>(16);
            dk_status status = dk_trainer_create(&trainer, owner.get(), &options);
            EXPECT_EQ(trainer == nullptr, status != DK_OK);
            dk_trainer_destroy(trainer);
            return status;
        });
    }
    for (dk_session_kind kind : {DK_SESSION_INFERENCE, DK_SESSION_GRADIENTS})
        fails_cleanly(allocator, "dk_session_create", [&] {
            dk_session *session = reinterpret_cast<dk_session *>(16);
            dk_status status = dk_session_create(&session, owner.get(), 8, kind);
            EXPECT_EQ(session == nullptr, status != DK_OK);
            dk_session_destroy(session);
            return status;
        });
    fails_cleanly(allocator, "dk_plan", [&] {
        dk_memory_plan plan;
        return dk_plan(context.get(), given.get(), nullptr, &plan);
    });
}

TEST_F(Failures, OfTrainingLeaveTheTrainerAsItWas) {
    support::Net net = support::net_for(data.get(), {4});
    support::Trainer trainer = support::trainer(net.get());
    std::vector<uint32_t> before = support::parameter_bits(net.get());
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 1;
    fit.restore_best = true;
    fails_cleanly(allocator, "dk_trainer_fit", [&] {
        dk_status status = dk_trainer_fit(trainer.get(), data.get(), data.get(), &fit, nullptr);
        EXPECT_EQ(support::parameter_bits(net.get()) == before, status != DK_OK);
        return status;
    });
    // and the run that succeeded is the one that there would have been without the failures
    support::Net other = support::net_for(data.get(), {4});
    ASSERT_EQ(
        dk_trainer_fit(support::trainer(other.get()).get(), data.get(), data.get(), &fit, nullptr),
        DK_OK);
    EXPECT_EQ(support::parameter_bits(other.get()), support::parameter_bits(net.get()));
}

TEST_F(Failures, OfPreprocessingKeepTheOldOne) {
    support::Dataset others = support::synth(context.get(), "synth:teacher", 60, 2, 2, 3);
    support::Net net = support::net_for(numbers.get(), {});
    auto values = [&] {
        dk_preprocessing p;
        EXPECT_EQ(dk_net_preprocessing(net.get(), &p), DK_OK);
        std::vector<double> all(p.feature_shift, p.feature_shift + 2);
        all.insert(all.end(), p.feature_scale, p.feature_scale + 2);
        all.insert(all.end(), p.target_shift, p.target_shift + 3);
        all.insert(all.end(), p.target_scale, p.target_scale + 3);
        return all;
    };
    std::vector<double> before = values();
    fails_cleanly(allocator, "dk_net_learn_preprocessing", [&] {
        dk_status status = dk_net_learn_preprocessing(net.get(), others.get());
        EXPECT_EQ(values() == before, status != DK_OK);
        return status;
    });
}

TEST_F(Failures, OfEvaluationAndPrediction) {
    for (const dk_dataset *set : {data.get(), numbers.get()}) {
        support::Net net = support::net_for(set, {4});
        fails_cleanly(allocator, "dk_evaluate", [&] {
            dk_metrics metrics;
            return dk_evaluate(net.get(), set, 16, &metrics);
        });
        std::vector<float> y(60 * 3);
        const float x[2] = {1, 2};
        fails_cleanly(allocator, "dk_predict",
                      [&] { return dk_predict(net.get(), x, 1, y.data()); });
        fails_cleanly(allocator, "dk_predictor_create", [&] {
            dk_predictor *made = reinterpret_cast<dk_predictor *>(16);
            const dk_status status = dk_predictor_create(&made, net.get(), 8);
            EXPECT_EQ(made == nullptr, status != DK_OK);
            dk_predictor_destroy(made);
            return status;
        });
        fails_cleanly(allocator, "dk_predict_dataset",
                      [&] { return dk_predict_dataset(net.get(), set, y.data()); });
    }
}

TEST_F(Failures, OfSavingKeepTheOldFile) {
    support::Net old = support::net_for(data.get(), {3}), net = support::net_for(data.get(), {4});
    ASSERT_EQ(dk_net_save(old.get(), path("model").c_str()), DK_OK) << dk_error_text();
    std::string before = support::slurp(path("model"));
    fails_cleanly(allocator, "dk_net_save", [&] {
        dk_status status = dk_net_save(net.get(), path("model").c_str());
        EXPECT_EQ(support::slurp(path("model")) == before, status != DK_OK);
        EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
        return status;
    });
}

TEST_F(Failures, OfLoading) {
    for (const dk_dataset *set : {data.get(), numbers.get()}) {
        support::Net net = support::net_for(set, {4});
        ASSERT_EQ(dk_net_save(net.get(), path("model").c_str()), DK_OK) << dk_error_text();
        fails_cleanly(allocator, "dk_net_load", [&] {
            dk_net *made = reinterpret_cast<dk_net *>(16);
            dk_status status = dk_net_load(&made, context.get(), path("model").c_str());
            EXPECT_EQ(made == nullptr, status != DK_OK);
            dk_net_destroy(made);
            return status;
        });
    }
}

TEST_F(Failures, AnywhereInAWholeRun) {
    const std::string file = path("model");
    long count = support::fail_each_allocation([&](const dk_allocator *hooks) {
        dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
        options.device = "cpu";
        options.threads = 1;
        options.allocator = *hooks;
        dk_context *made_context = nullptr;
        dk_dataset *made_data = nullptr, *made_rest = nullptr, *made_part = nullptr;
        dk_net *made_net = nullptr, *made_copy = nullptr;
        dk_trainer *made_trainer = nullptr;
        dk_data_options spirals = DK_DATA_OPTIONS_INIT;
        spirals.rows = 40;
        const int64_t hidden[] = {4};
        dk_metrics metrics;
        dk_status status = dk_context_create(&made_context, &options);
        if (!status) status = dk_dataset_open(&made_data, made_context, "synth:spirals", &spirals);
        if (!status) status = dk_dataset_split(made_data, 0.25, 1, &made_rest, &made_part);
        if (!status) status = dk_net_create_for(&made_net, made_rest, hidden, 1, DK_RELU, 1);
        if (!status) status = dk_trainer_create(&made_trainer, made_net, nullptr);
        if (!status) status = dk_trainer_fit(made_trainer, made_rest, made_part, nullptr, nullptr);
        if (!status) status = dk_net_save(made_net, file.c_str());
        if (!status) status = dk_net_load(&made_copy, made_context, file.c_str());
        if (!status) status = dk_evaluate(made_copy, made_part, 0, &metrics);
        dk_context_destroy(made_context);
        dk_net_destroy(made_copy);
        dk_trainer_destroy(made_trainer);
        dk_net_destroy(made_net);
        dk_dataset_destroy(made_part);
        dk_dataset_destroy(made_rest);
        dk_dataset_destroy(made_data);
        return status;
    });
    EXPECT_GT(count, 50);
}

} // namespace
