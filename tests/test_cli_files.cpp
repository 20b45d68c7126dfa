// What the command writes: never over what it reads, with the rights that were there, whole or not at all,
// and what the process was given by its parent changes none of it.
#include "support_cli.h"

#include <csignal>
#include <sys/resource.h>

namespace {

using fs::perms;

struct CommandFiles : Command {
    const std::string table = "a,b,y\n1,2,0.5\n2,1,1.5\n3,5,2.5\n4,3,3.5\n";
    std::string data, model;

    void SetUp() override {
        Command::SetUp();
        data = path("t.csv");
        spit(directory / "t.csv", table);
        model = path("m.safetensors");
        ASSERT_EQ(run(training({"--out", model})).code, 0);
    }
    Words training(const Words &more) const {
        Words words{"train",    "--data", data,       "--hidden", "4",
                    "--epochs", "1",      "--device", "cpu",      "--quiet"};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }
    Words prediction(const std::string &out) const {
        return {"predict", "--model", model, "--data", data, "--device", "cpu", "--out", out};
    }
    /// Names that aren't finished files of anybody's.
    int left_over() const {
        int count = 0;
        for (const auto &entry : fs::directory_iterator(directory))
            count += entry.path().extension() == ".tmp";
        return count;
    }
};

} // namespace

// By its name, by another path, by a hard and by a symbolic link, and as a file of a folder.
TEST_F(CommandFiles, NoInputIsOverwritten) {
    fs::create_hard_link(data, path("hard"));
    fs::create_symlink("t.csv", path("soft"));
    const std::string trained = slurp(model);
    for (const std::string &name :
         {data, directory.string() + "/./t.csv", path("hard"), path("soft")}) {
        for (const char *option : {"--out", "--plot", "--metrics"})
            fails(training({option, name}), 2, "is read, as");
        fails(prediction(name), 2, "is read, as");
        fails(training({"--valid", name, "--plot", data}), 2, "is read, as");
    }
    fails(prediction(model), 2, "is read, as");
    EXPECT_EQ(slurp(data), table);
    EXPECT_EQ(slurp(model), trained);
}

TEST_F(CommandFiles, NoOutputIsOverwrittenByAnother) {
    fails(training({"--out", path("x"), "--plot", path("x")}), 2, "two outputs");
    EXPECT_FALSE(fs::exists(path("x")));
}

// Of a picture and of predictions as of a model.
TEST_F(CommandFiles, RightsAndLinksStay) {
    for (const bool plot : {false, true}) {
        spit(directory / "real", "old");
        fs::permissions(path("real"), perms::owner_read | perms::owner_write);
        fs::remove(path("link"));
        fs::create_symlink("real", path("link"));
        const Outcome o = run(plot ? training({"--plot", path("link")}) : prediction(path("link")));
        EXPECT_EQ(o.code, 0) << o.err;
        EXPECT_TRUE(fs::is_symlink(path("link")));
        EXPECT_NE(slurp(path("real")), "old");
        EXPECT_EQ(fs::status(path("real")).permissions(), perms::owner_read | perms::owner_write);
    }
}

// A limit of file size ends no process, and leaves nothing, and the old file as it was.
TEST_F(CommandFiles, AFileSizeLimitIsAnError) {
    std::string rows;
    for (int i = 0; i < 2000; i++) rows += "1,2,0\n";
    spit(directory / "rows.csv", "a,b,y\n" + rows);
    spit(directory / "old", "old");
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit limit = before;
    limit.rlim_cur = 4096;
    setrlimit(RLIMIT_FSIZE, &limit); // the child's, too
    signal(SIGXFSZ, SIG_DFL);
    const Outcome predicted = run({"predict", "--model", model, "--data", path("rows.csv"),
                                   "--device", "cpu", "--out", path("old")});
    const Outcome trained = run({"train", "--data", "builtin:digits", "--hidden", "64", "--epochs",
                                 "1", "--device", "cpu", "--quiet", "--out", path("big")});
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(predicted.code, 1) << predicted.err;
    EXPECT_EQ(trained.code, 1) << trained.err;
    for (const Outcome &o : {predicted, trained})
        EXPECT_NE(o.err.find("a limit of the process"), std::string::npos) << o.err;
    EXPECT_EQ(slurp(path("old")), "old");
    EXPECT_FALSE(fs::exists(path("big")));
    EXPECT_EQ(left_over(), 0);
}

// A library inside somebody's process doesn't end it either, and takes no signal that wasn't its own.
TEST_F(CommandFiles, TheLibrarysWriterSurvivesItToo) {
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_DFL);
        const rlimit limit{8, 8};
        setrlimit(RLIMIT_FSIZE, &limit);
        const std::string bytes(100, 'x');
        const bool refused =
            dk_file_write(path("l").c_str(), bytes.data(), bytes.size()) == DK_E_IO;
        sigset_t pending;
        sigpending(&pending);
        _exit(refused && sigismember(&pending, SIGXFSZ) == 0 && !fs::exists(path("l")) ? 0 : 1);
    }
    EXPECT_EQ(wait_for(child), 0);
}

// Standard output gets the model and nothing else.
TEST_F(CommandFiles, AModelGoesToStandardOutput) {
    const Outcome o = run(training({"--out", "-"}));
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(o.out, slurp(model));
    EXPECT_NE(o.err.find("model saved in standard output"), std::string::npos) << o.err;
}

TEST_F(CommandFiles, WhatDoesNotFitIsSaid) {
    const Outcome o = run(training({"--hidden", "2000000,2000000", "--dry-run"}));
    EXPECT_EQ(o.code, 5);
    EXPECT_NE(o.err.find("doesn't fit"), std::string::npos) << o.err;
    EXPECT_EQ(run(training({"--dry-run"})).code, 0);
}

TEST_F(CommandFiles, HelpOfACommandByItsName) {
    EXPECT_EQ(run({"help"}).out, run({"--help"}).out);
    EXPECT_EQ(run({"help", "train"}).out, run({"train", "--help"}).out);
    fails({"help", "trian"}, 2, "did you mean \"train\"");
}
