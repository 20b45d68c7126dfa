// The command: signals, a second signal, refusals, a run that diverges, a full disk.
#include "support_cli.h"
#include "support_crash.h"
#include "support_promise.h"

#include <sys/resource.h>

namespace {

constexpr const char *checkpoints = "Checkpoints survive anything";

class Survival : public Command {
  protected:
    std::string folder() const { return path("run"); }
    std::string model() const { return path("model.safetensors"); }

    // A run of 600 steps.
    Words train(const std::string &out, const Words &more, const std::string &lr = "0.001") const {
        Words words = {"train",      "--data",   "builtin:digits",
                       "--batch",    "128",      "--hidden",
                       "16",         "--epochs", "40",
                       "--device",   "cpu",      "--threads",
                       "1",          "--lr",     lr,
                       "--schedule", "constant", "--warmup",
                       "0",          "--quiet",  "--out",
                       out};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }
    Words saving(const std::string &keep = "3") const {
        return {"--checkpoint",      folder(), "--checkpoint-every", "1steps",
                "--checkpoint-keep", keep};
    }
    // Whether the folder has a file of that kind.
    bool has_file(const std::string &begin) const {
        const Words found = names();
        return std::any_of(found.begin(), found.end(),
                           [&](const std::string &name) { return name.rfind(begin, 0) == 0; });
    }
    Words names() const {
        Words found;
        std::error_code error;
        for (const auto &entry : fs::directory_iterator(folder(), error))
            found.push_back(entry.path().filename());
        return found;
    }
    void expect_whole() const {
        for (const auto &[name, bytes] : crash::files_of(folder()))
            EXPECT_TRUE(!crash::is_checkpoint(name) || crash::verify(bytes) == DK_OK)
                << name << ": " << dk_error_text();
    }
    // A new run in the folder, stopped by a signal when it has saved; on a busy machine it may be over before
    // this process has seen that, and another one is begun.
    bool stop(int number) {
        bool sent = false;
        int code = 0;
        for (int tries = 0; tries < 20 && !sent; ++tries) {
            fs::remove_all(folder());
            fs::remove(model());
            const pid_t child = start(train(model(), saving()), "", path("stdout"));
            wait_until(child, [&] { return has_file("checkpoint-"); });
            sent = signal_while(child, number, [&] { return !fs::exists(model()); });
            code = wait_for(child);
        }
        EXPECT_EQ(code, 128 + number) << slurp(directory / "stderr");
        return code == 128 + number;
    }
};

TEST_F(Survival, ASignalEndsARunThatGoesOnByTheHint) {
    ASSERT_EQ(run(train(path("whole"), {})).code, 0);
    for (const int number : {SIGINT, SIGTERM}) {
        SCOPED_TRACE(number);
        ASSERT_TRUE(stop(number));
        EXPECT_EQ(crash::verify(slurp(model())), DK_OK) << dk_error_text();
        expect_whole();
        const std::string said = slurp(directory / "stderr"), hint = "--resume " + folder();
        ASSERT_NE(said.find(hint), std::string::npos) << said;
        const Outcome o = run(train(model(), {"--resume", folder()}));
        ASSERT_EQ(o.code, 0) << o.err;
        EXPECT_EQ(slurp(model()), slurp(path("whole")));
    }
    support::promise(checkpoints, "the command stopped by a signal, and resumed", 2);
}

// While the first one's checkpoint is being written: 60 MB take a while.
TEST_F(Survival, ASecondSignalStopsAtOnceAndLeavesAllWhole) {
    const Words words = {"train",      "--data",   "synth:teacher", "--rows",       "8",
                         "--features", "2",        "--hidden",      "2200,2200",    "--optimizer",
                         "adamw",      "--epochs", "100000",        "--device",     "cpu",
                         "--quiet",    "--out",    model(),         "--checkpoint", folder()};
    spit(model(), "an older model");
    int by_signal = 0;
    for (int tries = 0; tries < 10 && !by_signal; ++tries) {
        fs::remove_all(folder());
        const pid_t child = start(words, "", path("stdout"));
        ASSERT_TRUE(wait_until(child, [&] { return fs::exists(folder()); }));
        usleep(200000); // training
        kill(child, SIGINT);
        const auto writing = [&] { return has_file(".deltak-"); };
        wait_until(child, writing);
        signal_while(child, SIGINT, writing);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        by_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        expect_whole();
        if (!by_signal) continue; // it was done before
        EXPECT_EQ(by_signal, SIGINT) << slurp(directory / "stderr");
        EXPECT_EQ(slurp(model()), "an older model");
    }
    EXPECT_EQ(by_signal, SIGINT);
}

TEST_F(Survival, RefusalsHaveTheirExitCodes) {
    ASSERT_TRUE(stop(SIGTERM));
    const crash::Files before = crash::files_of(folder());
    fails(train(model(), saving()), 2, "has checkpoints of another run");
    EXPECT_EQ(crash::files_of(folder()), before);
    fails(train(model(), {"--resume", path("nowhere")}), 4, "nowhere");
    fs::create_directory(path("empty"));
    fails(train(model(), {"--resume", path("empty")}), 4, "no checkpoint in this folder");
    fails(train(model(), {"--resume", folder()}, "0.002"), 4, "lr");
    fails(train(model(), {"--checkpoint", path("no/parent")}), 3, "no/parent");
    // A damaged one: the one before is offered, and can be taken.
    const std::string newest = before.rbegin()->first, older = std::next(before.rbegin())->first;
    spit(folder() + "/" + newest, before.at(newest).substr(0, 5000));
    fails(train(model(), {"--resume", folder()}), 4, "resume from " + folder() + "/" + older);
    EXPECT_EQ(run(train(model(), {"--resume", folder() + "/" + older})).code, 0);
    EXPECT_TRUE(fs::exists(folder() + "/" + newest + ".old"));
}

// What diverges leaves the good checkpoint as it was, and saves nothing that isn't finite.
TEST_F(Survival, NothingIsSavedOfARunThatDiverged) {
    ASSERT_TRUE(stop(SIGTERM));
    const crash::Files before = crash::files_of(folder());
    Words words = train(path("diverged"), saving("1000"), "1e30");
    for (const char *word : {"--resume", "--resume-anyway"}) {
        words.emplace_back(word);
        if (words.back() == "--resume") words.push_back(folder());
    }
    const Outcome o = run(words);
    EXPECT_EQ(o.code, 6) << o.err;
    EXPECT_FALSE(fs::exists(path("diverged")));
    const crash::Files after = crash::files_of(folder());
    for (const auto &[name, bytes] : before) EXPECT_TRUE(after.at(name) == bytes) << name;
    support::Context context = support::open_context();
    for (const auto &[name, bytes] : after) {
        dk_net *net = nullptr; // which takes finite parameters only
        EXPECT_EQ(dk_net_load(&net, context.get(), (folder() + "/" + name).c_str()), DK_OK)
            << dk_error_text();
        dk_net_destroy(net);
    }
    support::promise(checkpoints, "a run that diverged while it saved", 1);
}

// A limit between the sizes of the model and of a checkpoint, which has slots, too.
TEST_F(Survival, WithoutRoomForCheckpointsTheModelIsSaved) {
    rlimit before{}, limit{};
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 10000;
    signal(SIGXFSZ, SIG_IGN); // a child inherits both
    setrlimit(RLIMIT_FSIZE, &limit);
    const Outcome o = run(
        train(model(), {"--checkpoint", folder(), "--checkpoint-every", "200steps"})); // few lines
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
    EXPECT_EQ(o.code, 1) << o.err;
    // Those before the last step may be of a later one, as the thread that writes them has the time.
    EXPECT_NE(o.err.find("no checkpoint of step 600"), std::string::npos) << o.err;
    EXPECT_EQ(crash::verify(slurp(model())), DK_OK) << dk_error_text();
    EXPECT_TRUE(names().empty());
}

} // namespace
