// `deltak train --resume`: what the command adds to the library's resuming.
#include "support_cli.h"

namespace {

const Words base = {"train",    "--data", "builtin:digits", "--valid-fraction", "0.2",
                    "--hidden", "8",      "--quiet",        "--epochs",         "6"};

Words with(Words words, const Words &more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

std::vector<int64_t> epochs_of(const std::string &path) {
    std::vector<int64_t> epochs;
    std::istringstream lines(slurp(path));
    for (std::string line; std::getline(lines, line);) {
        Json object(json_loads(line.c_str(), 0, nullptr));
        EXPECT_TRUE(object) << line;
        epochs.push_back(json_integer_value(json_object_get(object.get(), "epoch")));
    }
    return epochs;
}

// An earlier process may have written more lines than its last checkpoint knows of, and half of one.
TEST_F(Command, AResumedRunHasEachEpochOnceInItsMetrics) {
    const std::string metrics = path("m.jsonl"), folder = path("run");
    ASSERT_EQ(run(with(base, {"--checkpoint", folder, "--checkpoint-every", "3epochs",
                              "--checkpoint-keep", "9", "--metrics", metrics}))
                  .code,
              0);
    const std::vector<int64_t> all = {1, 2, 3, 4, 5, 6};
    ASSERT_EQ(epochs_of(metrics), all);
    const std::string whole = slurp(metrics);
    const std::string third = folder + "/checkpoint-000000000069.safetensors";
    ASSERT_TRUE(fs::exists(third));
    for (const std::string &left :
         {whole, whole.substr(0, whole.size() / 2 + 40), whole + "{\"epo"}) {
        spit(metrics, left);
        const std::string elsewhere = path("elsewhere");
        fs::remove_all(elsewhere);
        const Outcome outcome =
            run(with(base, {"--resume", third, "--checkpoint", elsewhere, "--metrics", metrics}));
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_EQ(epochs_of(metrics), all);
    }
}

TEST_F(Command, OptionsOfCheckpointsAreChecked) {
    const std::pair<Words, const char *> wrong[] = {
        {{"--checkpoint-every", "10steps"}, "needs --checkpoint or --resume"},
        {{"--checkpoint", path("r"), "--checkpoint-every", "10"}, "isn't like 50steps"},
        {{"--checkpoint", path("r"), "--checkpoint-every", "steps"}, "isn't like 50steps"},
        {{"--checkpoint", path("r"), "--checkpoint-every", "0steps"}, "out of range"},
        {{"--checkpoint", path("r"), "--checkpoint-every", "1.5epochs"}, "isn't a whole number"},
        {{"--checkpoint", path("r"), "--checkpoint-every", "0s"}, "out of range"},
        {{"--checkpoint", path("r"), "--checkpoint-every", "1e3s"}, "isn't like 50steps"},
        {{"--checkpoint", path("r"), "--checkpoint-keep", "0"}, "out of range"},
        {{"--checkpoint", ""}, "no folder"},
        {{"--resume", ""}, "no path"},
        {{"--resume-anyway"}, "is for --resume"},
    };
    for (const auto &[words, text] : wrong) {
        const Outcome outcome = run(with(base, words));
        EXPECT_EQ(outcome.code, 2) << text;
        EXPECT_NE(outcome.err.find(text), std::string::npos) << outcome.err;
    }
    EXPECT_FALSE(fs::exists(path("r")));
}

TEST_F(Command, ResumingFromNothingIsAnError) {
    fs::create_directory(path("empty"));
    for (const char *name : {"empty", "absent"}) {
        const Outcome outcome = run(with(base, {"--resume", path(name)}));
        EXPECT_EQ(outcome.code, 4);
        EXPECT_NE(outcome.err.find(name), std::string::npos) << outcome.err;
    }
}

} // namespace
