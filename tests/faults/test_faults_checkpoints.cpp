// Failures while a fit saves checkpoints: a checkpoint may fail, training goes on, and whatever lies
// in the folder is whole. Resumed from there, or begun anew, it ends at the bits of a fit without
// failures.
#include "subjects.h"
#include "support.h"
#include "support_promise.h"

#include <cstring>

namespace faults {
namespace {

namespace fs = std::filesystem;

constexpr int64_t epochs = 3;

dk_train_options adam() {
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.optimizer = DK_ADAMW;
    options.batch = 16;
    return options;
}

dk_status fit(const Objects &all, const std::string &folder, dk_fit_result *result = nullptr) {
    dk_fit_options options = DK_FIT_OPTIONS_INIT;
    options.epochs = epochs;
    options.early_stop = epochs;
    options.checkpoint = folder.c_str();
    options.checkpoint_steps = 2;
    options.checkpoint_keep = 2;
    return dk_trainer_fit(all.trainer.get(), all.data.get(), all.valid.get(), &options, result);
}

std::shared_ptr<Objects> ready() {
    auto all = trainable();
    all->trainer = support::trainer(all->net.get(), adam());
    return all;
}

std::vector<std::string> names_in(const std::string &folder) {
    std::vector<std::string> names;
    if (!fs::exists(folder)) return names;
    for (const auto &entry : fs::directory_iterator(folder))
        names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
}

// Goes on from the newest checkpoint, or from the beginning, in the same folder.
std::string finished(const std::string &folder) {
    auto all = trainable();
    dk_trainer *made = nullptr;
    if (names_in(folder).empty())
        all->trainer = support::trainer(all->net.get(), adam());
    else if (dk_trainer_resume(&made, all->net.get(), nullptr, folder.c_str(), false) == DK_OK)
        all->trainer.reset(made);
    else
        ADD_FAILURE() << dk_error_text();
    if (all->trainer) {
        EXPECT_EQ(fit(*all, folder), DK_OK) << dk_error_text();
    }
    return seen(all->net);
}

class Checkpoints : public testing::Test {
  protected:
    // Failures of one kind, in all places. Only what is no checkpoint's own may end the fit.
    void try_all(const Kind &kind) {
        for (bool for_ever : {false, true})
            // Allocations one after the other fail in test_faults_model: here some of them.
            for (long n = 1; !HasFatalFailure(); n += 1 + (kind.ends_steps ? n / 4 : 0)) {
                SCOPED_TRACE(testing::Message() << kind.name << ", call " << n
                                                << (for_ever ? " and all later ones" : ""));
                const support::Folder place;
                const std::string folder = place / "checkpoints";
                auto all = ready();
                dk_fit_result result{};
                kind.arm(n, for_ever);
                const dk_status status = fit(*all, folder, &result);
                if (!kind.disarm()) break;
                ++failures;
                look_at(kind, status, result, *all, folder);
                all.reset();
                EXPECT_TRUE(finished(folder) == right) << "other bits after going on";
                ASSERT_FALSE(HasFailure());
            }
    }

    void look_at(const Kind &kind, dk_status status, const dk_fit_result &result,
                 const Objects &all, const std::string &folder) {
        const std::string text = dk_error_text();
        EXPECT_TRUE(status == DK_OK || status == kind.status) << text;
        if (status == DK_OK) {
            EXPECT_TRUE(seen(all.net) == right) << "other bits: " << text;
        } else if (kind.names_a_file) {
            EXPECT_NE(text.find(folder), std::string::npos) << text;
        }
        refused += result.checkpoints_failed;
        for (const std::string &name : names_in(folder))
            EXPECT_EQ(name.compare(0, 11, "checkpoint-"), 0) << name << " was left behind";
    }

    const std::string right = [] {
        const support::Folder place;
        return finished(place / "checkpoints");
    }();
    long failures = 0;
    int64_t refused = 0;
};

TEST_F(Checkpoints, MayFailAnywhere) {
    for (const Meaning &meaning : meanings()) try_all(kind_of(meaning, meaning.errors[0]));
    EXPECT_GT(refused, 0) << "no checkpoint failed";
    support::promise("Every failure is survived", "a call fails while a fit saves checkpoints",
                     failures);
}

// Signals, and writes of a few bytes: nothing is missing.
TEST_F(Checkpoints, WeatherIsBorne) {
    for (const Weather &kind : {Weather{3, 0, -1, 0}, Weather{0, 11, -1, 0}}) {
        const support::Folder place;
        const std::string folder = place / "checkpoints";
        const auto all = ready();
        dk_fit_result result{};
        set_weather(kind);
        EXPECT_EQ(fit(*all, folder, &result), DK_OK) << dk_error_text();
        EXPECT_GT(effects().interruptions + effects().shortened, 0);
        set_weather({});
        EXPECT_EQ(result.checkpoints_failed, 0);
        EXPECT_EQ(names_in(folder).size(), 2u);
        EXPECT_TRUE(seen(all->net) == right);
    }
}

// Room for one checkpoint and no more. Which ones are tried depends on how fast the first one is
// written; the last one always is.
TEST_F(Checkpoints, TheFirstOneStaysWhereTheDiskIsFull) {
    const support::Folder place;
    const std::string folder = place / "checkpoints";
    ASSERT_TRUE(finished(folder) == right);
    const auto newest = static_cast<int64_t>(fs::file_size(folder + "/" + names_in(folder).back()));
    for (int64_t space : {int64_t{0}, newest / 4, newest}) {
        SCOPED_TRACE(space);
        fs::remove_all(folder);
        auto all = ready();
        dk_fit_result result{};
        set_weather({0, 0, space, ENOSPC});
        EXPECT_EQ(fit(*all, folder, &result), DK_E_IO) << "the last one couldn't be saved";
        set_weather({});
        EXPECT_NE(std::string(dk_error_text()).find(strerror(ENOSPC)), std::string::npos)
            << dk_error_text();
        EXPECT_TRUE(seen(all->net) == right) << "the network is trained all the same";
        EXPECT_EQ(names_in(folder).size(), space == newest ? 1u : 0u);
        all.reset();
        EXPECT_TRUE(finished(folder) == right);
    }
}

} // namespace
} // namespace faults
