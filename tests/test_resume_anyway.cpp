// Going on under other circumstances than then, because somebody wants it: what it means, and that it never
// costs a checkpoint. Which folders a run saves into.
#include "support_resume.h"

#include <cmath>

namespace {

using support::expect_error_names;
using support::parameter_bits;
using Anyway = support::StoppedRun;

std::vector<std::string> files_of(const std::string &folder) {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(folder))
        names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
}

// It ends at once, and what it saves then can be gone on with.
TEST_F(Anyway, FewerEpochsThanAreOverEndTheRun) {
    ASSERT_EQ(resume(net.get(), nullptr, true), DK_OK) << dk_error_text();
    dk_fit_options fit = fitting();
    fit.epochs = 1; // 12 of 27 steps are in the second
    dk_fit_result result{};
    ASSERT_EQ(go_on(data.get(), data.get(), fit, &result), DK_OK) << dk_error_text();
    EXPECT_EQ(result.steps, 12);
    ASSERT_EQ(resume(net.get(), nullptr, true), DK_OK) << dk_error_text();
    ASSERT_EQ(go_on(data.get(), data.get(), fitting(), &result), DK_OK) << dk_error_text();
    EXPECT_EQ(result.steps, 27);
}

// The schedule is laid over all epochs that are wanted now, not left at its end.
TEST_F(Anyway, MoreEpochsGoOnLearning) {
    ASSERT_EQ(resume(net.get(), nullptr), DK_OK) << dk_error_text();
    ASSERT_EQ(go_on(data.get(), data.get(), fitting()), DK_OK) << dk_error_text();
    const std::vector<uint32_t> before = parameter_bits(net.get());
    ASSERT_EQ(resume(net.get(), nullptr, true), DK_OK) << dk_error_text();
    dk_fit_options fit = fitting();
    fit.epochs = 6;
    double least = INFINITY;
    fit.progress = [](void *user, const dk_progress *progress) {
        if (!progress->epoch_end && progress->step < 54)
            *static_cast<double *>(user) =
                std::fmin(*static_cast<double *>(user), progress->learning_rate);
        return 0;
    };
    fit.progress_user = &least;
    dk_fit_result result{};
    ASSERT_EQ(go_on(data.get(), data.get(), fit, &result), DK_OK) << dk_error_text();
    EXPECT_EQ(result.steps, 54);
    EXPECT_GT(least, 0.0);
    EXPECT_NE(parameter_bits(net.get()), before);
}

TEST_F(Anyway, MorePatienceGoesOn) {
    dk_fit_options fit = fitting();
    fit.epochs = 200;
    fit.early_stop = 1;
    dk_train_options options = training();
    options.lr = 1.0; // so that the validation loss soon rises
    std::filesystem::remove_all(folder_);
    {
        support::Trainer first = support::trainer(net.get(), options);
        dk_fit_result result{};
        ASSERT_EQ(dk_trainer_fit(first.get(), data.get(), data.get(), &fit, &result), DK_OK)
            << dk_error_text();
        ASSERT_TRUE(result.stopped_early);
    }
    ASSERT_EQ(resume(net.get(), nullptr, true), DK_OK) << dk_error_text();
    const int64_t steps = dk_trainer_steps(trainer.get());
    fit.early_stop = 50;
    stop_at_ = steps + 9;
    EXPECT_EQ(go_on(data.get(), data.get(), fit), DK_E_STOPPED);
    EXPECT_EQ(dk_trainer_steps(trainer.get()), steps + 9);
}

// Another optimizer's state has no place for the best parameters of a fit that isn't gone on with.
TEST_F(Anyway, WhatIsSavedAfterwardsCanBeResumed) {
    dk_fit_options fit = fitting(20);
    fit.restore_best = true;
    std::filesystem::remove_all(folder_);
    {
        support::Trainer first = support::trainer(net.get(), training());
        ASSERT_EQ(dk_trainer_fit(first.get(), data.get(), data.get(), &fit, nullptr), DK_E_STOPPED);
    }
    ASSERT_EQ(resume(net.get(), nullptr, true), DK_OK) << dk_error_text();
    ASSERT_EQ(go_on(data.get(), data.get(), fitting()), DK_OK) << dk_error_text();
    const std::string file = path("after.safetensors");
    ASSERT_EQ(dk_trainer_save(trainer.get(), file.c_str()), DK_OK) << dk_error_text();
    trainer.reset();
    dk_trainer *made = nullptr;
    EXPECT_EQ(dk_trainer_resume(&made, net.get(), nullptr, file.c_str(), false), DK_OK)
        << dk_error_text();
    dk_trainer_destroy(made);
}

// ---- folders -----------------------------------------------------------------------------------

TEST_F(Anyway, TheLastStepIsAlwaysSaved) {
    std::filesystem::remove_all(folder_);
    support::Trainer first = support::trainer(net.get(), training());
    dk_fit_options fit = fitting(6);
    fit.checkpoint_steps = 5;
    ASSERT_EQ(dk_trainer_fit(first.get(), data.get(), nullptr, &fit, nullptr), DK_E_STOPPED);
    EXPECT_EQ(files_of(folder_).back(), "checkpoint-000000000006.safetensors");
}

TEST_F(Anyway, AnotherRunsFolderIsLeftAlone) {
    const std::string other = path("other");
    std::filesystem::copy(folder_, other);
    const std::vector<std::string> before = files_of(other);
    ASSERT_EQ(resume(net.get(), nullptr), DK_OK) << dk_error_text();
    dk_fit_options fit = fitting();
    fit.checkpoint = other.c_str();
    EXPECT_EQ(go_on(data.get(), data.get(), fit), DK_E_STATE);
    expect_error_names("has checkpoints of another run");
    EXPECT_EQ(files_of(other), before);
    const std::string elsewhere = path("elsewhere");
    fit.checkpoint = elsewhere.c_str();
    EXPECT_EQ(go_on(data.get(), data.get(), fit), DK_OK) << dk_error_text();
    EXPECT_EQ(files_of(elsewhere).size(), 1u);
}

// A copy under a name of its own belongs to no folder.
TEST_F(Anyway, ACopyElsewhereDoesNotMakeThatFolderItsOwn) {
    const std::string copy = path("other/mine.safetensors");
    std::filesystem::copy(folder_, path("other"));
    std::filesystem::copy(folder_ + "/checkpoint-000000000012.safetensors", copy);
    dk_trainer *made = nullptr;
    ASSERT_EQ(dk_trainer_resume(&made, net.get(), nullptr, copy.c_str(), false), DK_OK)
        << dk_error_text();
    trainer.reset(made);
    const std::string other = path("other");
    dk_fit_options fit = fitting();
    fit.checkpoint = other.c_str();
    EXPECT_EQ(go_on(data.get(), data.get(), fit), DK_E_STATE);
}

// A checkpoint describes the network as it is then, not as it was at the one before.
TEST_F(Anyway, AChangeOfTheNetworkIsInTheNextCheckpoint) {
    const support::Net changed = support::net_for(data.get(), {5});
    const support::Trainer own = support::trainer(changed.get(), training());
    const std::string elsewhere = path("elsewhere");
    dk_fit_options fit = fitting();
    fit.epochs = 1;
    fit.checkpoint = elsewhere.c_str();
    fit.checkpoint_steps = 1;
    fit.checkpoint_keep = 9;
    fit.progress_user = changed.get();
    fit.progress = [](void *user, const dk_progress *progress) {
        return progress->step == 4 ? int(dk_net_freeze(static_cast<dk_net *>(user), 1, true)) : 0;
    };
    ASSERT_EQ(dk_trainer_fit(own.get(), data.get(), nullptr, &fit, nullptr), DK_OK)
        << dk_error_text();
    int64_t seen = 0, frozen = 0;
    for (const auto &entry : std::filesystem::directory_iterator(elsewhere)) {
        if (entry.path().extension() != ".safetensors") continue;
        dk_net *made = nullptr;
        ASSERT_EQ(dk_net_load(&made, context.get(), entry.path().c_str()), DK_OK)
            << dk_error_text();
        const support::Net saved(made);
        dk_net_desc desc;
        ASSERT_EQ(dk_net_describe(saved.get(), &desc), DK_OK);
        const int64_t step = std::stoll(entry.path().stem().string().substr(11));
        EXPECT_EQ(desc.layers[0].frozen, step >= 4) << step;
        ++seen;
        frozen += step >= 4;
    }
    EXPECT_GT(frozen, 0);
    EXPECT_GT(seen, frozen);
}

TEST_F(Anyway, LaterStepsAreSetAsideUnderNamesThatAreFree) {
    const std::string first = folder_ + "/checkpoint-000000000012.safetensors";
    const std::string later = folder_ + "/checkpoint-000000000099.safetensors";
    for (int round = 1; round <= 2; ++round) {
        std::filesystem::copy(first, later);
        trainer.reset();
        dk_trainer *made = nullptr;
        ASSERT_EQ(dk_trainer_resume(&made, net.get(), nullptr, first.c_str(), false), DK_OK)
            << dk_error_text();
        trainer.reset(made);
        ASSERT_EQ(go_on(data.get(), data.get(), fitting(13)), DK_E_STOPPED) << dk_error_text();
        EXPECT_FALSE(std::filesystem::exists(later));
        EXPECT_TRUE(std::filesystem::exists(later + (round == 1 ? ".old" : ".old2")));
    }
}

} // namespace
