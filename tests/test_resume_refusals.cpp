// What must be the same for a run to go on, what is taken from the checkpoint, and what a refusal leaves.
#include "support_promise.h"
#include "support_resume.h"

extern "C" {
#include "train/run_state.h"
}

#include <cmath>

namespace {

using support::Dataset;
using support::expect_error_names;
using support::parameter_bits;

using Refusals = support::StoppedRun;

TEST_F(Refusals, OptionsMustBeThoseOfThenUnlessWanted) {
    struct {
        const char *name;
        void (*change)(dk_train_options *);
    } const changes[] = {
        {"batch", [](dk_train_options *o) { o->batch = 8; }},
        {"accumulate", [](dk_train_options *o) { o->accumulate = 2; }},
        {"seed", [](dk_train_options *o) { o->seed = 2; }},
        {"lr", [](dk_train_options *o) { o->lr = 2e-3; }},
        {"beta1", [](dk_train_options *o) { o->beta1 = 0.8; }},
        {"beta2", [](dk_train_options *o) { o->beta2 = 0.8; }},
        {"epsilon", [](dk_train_options *o) { o->epsilon = 1e-7; }},
        {"weight_decay", [](dk_train_options *o) { o->weight_decay = 0.5; }},
        {"decay", [](dk_train_options *o) { o->decay = DK_DECAY_COUPLED; }},
        {"decay_biases", [](dk_train_options *o) { o->decay_biases = true; }},
        {"clip_norm", [](dk_train_options *o) { o->clip_norm = 1; }},
        {"clip_value", [](dk_train_options *o) { o->clip_value = 1; }},
        {"schedule", [](dk_train_options *o) { o->schedule = DK_SCHEDULE_CONSTANT; }},
        {"total_steps", [](dk_train_options *o) { o->total_steps = 50; }},
        {"warmup", [](dk_train_options *o) { o->warmup = 0.5; }},
        {"final_factor", [](dk_train_options *o) { o->final_factor = 0.5; }},
        {"gamma", [](dk_train_options *o) { o->gamma = 0.5; }},
        {"power", [](dk_train_options *o) { o->power = 2; }},
        {"period", [](dk_train_options *o) { o->period = 2; }},
        {"keep", [](dk_train_options *o) { o->keep = DK_KEEP_ALL; }},
        {"fuse_update", [](dk_train_options *o) { o->fuse_update = true; }},
    };
    const std::vector<uint32_t> before = parameter_bits(net.get());
    for (const auto &change : changes) {
        SCOPED_TRACE(change.name);
        dk_train_options options = training();
        change.change(&options);
        EXPECT_EQ(resume(net.get(), &options), DK_E_STATE);
        expect_error_names((std::string("it was made with ") + change.name + " = ").c_str());
        EXPECT_EQ(resume(net.get(), &options, true), DK_OK) << dk_error_text();
    }
    dk_train_options options = training();
    options.optimizer = DK_SGD;
    for (bool anyway : {false, true}) {
        EXPECT_EQ(resume(net.get(), &options, anyway), DK_E_STATE);
        expect_error_names("with the optimizer adamw, not sgd");
    }
    EXPECT_EQ(parameter_bits(net.get()), before);
    support::promise("Resume is bit-exact", "refused: other options", std::size(changes) + 1);
}

TEST_F(Refusals, OptionsMayBeLeftToTheCheckpoint) {
    ASSERT_EQ(resume(net.get(), nullptr), DK_OK) << dk_error_text();
    EXPECT_EQ(dk_trainer_steps(trainer.get()), 12);
}

TEST_F(Refusals, TheNetworkMustBeTheOneOfThen) {
    support::Net wider = support::net_for(data.get(), {6});
    EXPECT_EQ(resume(wider.get(), nullptr), DK_E_SHAPE);
    EXPECT_EQ(resume(wider.get(), nullptr, true), DK_E_SHAPE);
    support::Net others[] = {
        support::net_for(data.get(), {5}, DK_RELU), support::net_for(data.get(), {5}, DK_TANH, 2),
        support::net_for(support::synth(context.get(), "synth:spirals", 60, 2).get(), {5})};
    for (const support::Net &other : others) {
        const std::vector<uint32_t> before = parameter_bits(other.get());
        EXPECT_EQ(resume(other.get(), nullptr), DK_E_STATE);
        expect_error_names("the network isn't the checkpoint's");
        EXPECT_EQ(parameter_bits(other.get()), before);
        EXPECT_EQ(resume(other.get(), nullptr, true), DK_OK) << dk_error_text();
        EXPECT_EQ(parameter_bits(other.get()), parameter_bits(net.get()));
        trainer.reset();
    }
    ASSERT_EQ(resume(net.get(), nullptr), DK_OK);
    dk_trainer *second = nullptr;
    EXPECT_EQ(dk_trainer_resume(&second, net.get(), nullptr, folder_.c_str(), true), DK_E_STATE);
}

// With its weights from the checkpoint, it doesn't matter how a network's own were drawn: not to a command
// of a later version, whose default is another one.
TEST_F(Refusals, TheNetworkMayHaveStartedFromOtherWeights) {
    dk_net_desc desc;
    ASSERT_EQ(dk_net_describe(net.get(), &desc), DK_OK);
    std::vector<dk_layer> layers(desc.layers, desc.layers + desc.layer_count);
    for (dk_layer &layer : layers) layer.init = DK_INIT_HE_UNIFORM;
    desc.layers = layers.data();
    dk_net *made = nullptr;
    ASSERT_EQ(dk_net_create(&made, context.get(), &desc), DK_OK) << dk_error_text();
    const support::Net other(made);
    ASSERT_EQ(dk_net_learn_preprocessing(other.get(), data.get()), DK_OK);
    ASSERT_NE(parameter_bits(other.get()), parameter_bits(net.get()));
    EXPECT_EQ(resume(other.get(), nullptr), DK_OK) << dk_error_text();
    EXPECT_EQ(parameter_bits(other.get()), parameter_bits(net.get()));
}

// A checkpoint is a model, too, and the network may be made of it.
TEST_F(Refusals, TheNetworkMayBeLoadedFromTheCheckpoint) {
    const std::string file = folder_ + "/checkpoint-000000000012.safetensors";
    dk_net *made = nullptr;
    ASSERT_EQ(dk_net_load(&made, context.get(), file.c_str()), DK_OK) << dk_error_text();
    support::Net loaded(made);
    EXPECT_EQ(parameter_bits(loaded.get()), parameter_bits(net.get()));
    EXPECT_EQ(resume(loaded.get(), nullptr), DK_OK) << dk_error_text();
}

TEST_F(Refusals, TheFitMustBeTheOneOfThenUnlessWanted) {
    Dataset longer = support::synth(context.get(), "synth:spirals", 61);
    Dataset other = support::synth(context.get(), "synth:spirals", 60, 2);
    auto refused = [&](const dk_dataset *train, const dk_dataset *valid, const char *name,
                       void (*change)(dk_fit_options *)) {
        SCOPED_TRACE(name);
        for (bool anyway : {false, true}) {
            ASSERT_EQ(resume(net.get(), nullptr, anyway), DK_OK) << dk_error_text();
            dk_fit_options fit = fitting();
            change(&fit);
            EXPECT_EQ(go_on(train, valid, fit), anyway ? DK_OK : DK_E_STATE) << dk_error_text();
            if (!anyway) expect_error_names(name);
            std::filesystem::remove_all(folder_);
            net = support::net_for(data.get(), {5});
            trainer.reset();
            interrupt();
        }
    };
    auto same = [](dk_fit_options *) {};
    refused(data.get(), data.get(),
            "it was made with epochs = ", [](dk_fit_options *o) { o->epochs = 4; });
    refused(data.get(), data.get(),
            "it was made with early_stop = ", [](dk_fit_options *o) { o->early_stop = 4; });
    refused(data.get(), data.get(),
            "it was made with restore_best = ", [](dk_fit_options *o) { o->restore_best = true; });
    refused(data.get(), data.get(),
            "it was made with in_order = ", [](dk_fit_options *o) { o->in_order = true; });
    refused(longer.get(), data.get(), "the training data", same);
    refused(other.get(), data.get(), "the training data", same);
    refused(data.get(), other.get(), "the validation data", same);
    refused(data.get(), nullptr, "the validation data", same);
}

// A fit that is refused can be asked for again, as it was.
TEST_F(Refusals, ARefusedFitMayBeTriedAgain) {
    support::Net whole = support::net_for(data.get(), {5});
    support::Trainer uninterrupted = support::trainer(whole.get(), training());
    dk_fit_options fit = fitting();
    fit.checkpoint = nullptr;
    ASSERT_EQ(dk_trainer_fit(uninterrupted.get(), data.get(), data.get(), &fit, nullptr), DK_OK);
    ASSERT_EQ(resume(net.get(), nullptr), DK_OK) << dk_error_text();
    fit.epochs = 4;
    ASSERT_EQ(go_on(data.get(), data.get(), fit), DK_E_STATE);
    fit.epochs = 3;
    dk_fit_result result{};
    ASSERT_EQ(go_on(data.get(), data.get(), fit, &result), DK_OK) << dk_error_text();
    EXPECT_EQ(result.steps, 27);
    EXPECT_EQ(parameter_bits(net.get()), parameter_bits(whole.get()));
}

// The next fit is a new one, with its own schedule; what was resumed was the first.
TEST_F(Refusals, AResumedFitIsGoneOnWithOnce) {
    ASSERT_EQ(resume(net.get(), nullptr), DK_OK) << dk_error_text();
    dk_fit_options fit = fitting();
    fit.checkpoint = nullptr;
    dk_fit_result result{};
    ASSERT_EQ(go_on(data.get(), data.get(), fit, &result), DK_OK);
    EXPECT_EQ(result.steps, 27);
    EXPECT_EQ(dk_trainer_steps(trainer.get()), 27);
    ASSERT_EQ(go_on(data.get(), nullptr, fit, &result), DK_OK) << dk_error_text();
    EXPECT_EQ(result.steps, 27);
    EXPECT_EQ(dk_trainer_steps(trainer.get()), 54);
}

TEST_F(Refusals, AFitThatIsOverIsOverWhenResumed) {
    ASSERT_EQ(resume(net.get(), nullptr), DK_OK) << dk_error_text();
    ASSERT_EQ(go_on(data.get(), data.get(), fitting()), DK_OK);
    const std::vector<uint32_t> bits = parameter_bits(net.get());
    ASSERT_EQ(resume(net.get(), nullptr), DK_OK) << dk_error_text();
    dk_fit_result result{};
    ASSERT_EQ(go_on(data.get(), data.get(), fitting(), &result), DK_OK) << dk_error_text();
    EXPECT_EQ(result.epochs, 3);
    EXPECT_EQ(result.steps, 27);
    EXPECT_TRUE(std::isfinite(result.train_loss));
    EXPECT_EQ(parameter_bits(net.get()), bits);
}

// Steps of the caller's own: saved and resumed outside of dk_trainer_fit.
TEST_F(Refusals, SingleStepsGoOnWithTheSameBits) {
    dk_train_options options = training();
    options.total_steps = 20;
    const std::vector<float> x = support::normal(2 * 8, 3);
    const std::vector<int32_t> labels = {0, 1, 2, 0, 1, 2, 0, 1};
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 8;
    batch.x = x.data();
    batch.labels = labels.data();
    const std::string file = path("steps.safetensors");
    auto made = [&] { return support::net_for(data.get(), {5}); };
    support::Net whole = made(), part = made(), rest = made();
    support::Trainer one = support::trainer(whole.get(), options),
                     two = support::trainer(part.get(), options);
    for (int step = 0; step < 20; ++step)
        ASSERT_EQ(dk_trainer_step(one.get(), &batch, nullptr), DK_OK);
    for (int step = 0; step < 9; ++step)
        ASSERT_EQ(dk_trainer_step(two.get(), &batch, nullptr), DK_OK);
    ASSERT_EQ(dk_trainer_save(two.get(), file.c_str()), DK_OK) << dk_error_text();
    dk_trainer *third = nullptr;
    ASSERT_EQ(dk_trainer_resume(&third, rest.get(), &options, file.c_str(), false), DK_OK)
        << dk_error_text();
    support::Trainer three(third);
    EXPECT_EQ(dk_trainer_steps(three.get()), 9);
    for (int step = 9; step < 20; ++step)
        ASSERT_EQ(dk_trainer_step(three.get(), &batch, nullptr), DK_OK);
    EXPECT_EQ(parameter_bits(rest.get()), parameter_bits(whole.get()));
}

TEST_F(Refusals, WhatIsNoCheckpointIsRefused) {
    const std::string model = path("model.safetensors");
    ASSERT_EQ(dk_net_save(net.get(), model.c_str()), DK_OK);
    auto status = [&](const std::string &file) {
        dk_trainer *made = nullptr;
        const dk_status result = dk_trainer_resume(&made, net.get(), nullptr, file.c_str(), true);
        dk_trainer_destroy(made);
        return result;
    };
    EXPECT_EQ(status(model), DK_E_MODEL);
    expect_error_names("it isn't a checkpoint");
    EXPECT_EQ(status(path("absent")), DK_E_IO);
    std::filesystem::create_directory(path("empty"));
    EXPECT_EQ(status(path("empty")), DK_E_IO);
    expect_error_names("there is no checkpoint in this folder");
}

// Device, versions and precision are compared one by one.
TEST_F(Refusals, TheEnvironmentIsComparedFieldByField) {
    dki_environment here, other;
    dki_environment_of(context.get(), &here);
    EXPECT_EQ(dki_environment_compare(&here, &here), DK_OK);
    EXPECT_STREQ(here.device, device::is_cpu() ? "cpu" : "cuda");
    const std::pair<const char *, char *> fields[] = {{"deltak", other.deltak},
                                                      {"device", other.device},
                                                      {"library", other.library},
                                                      {"kernel", other.kernel},
                                                      {"precision", other.precision}};
    for (const auto &[name, text] : fields) {
        other = here;
        text[0] = text[0] == 'x' ? 'y' : 'x';
        EXPECT_EQ(dki_environment_compare(&other, &here), DK_E_STATE);
        expect_error_names((std::string("it was made with ") + name + " = ").c_str());
    }
}

} // namespace
