// What a shell sees of numbers that go wrong: exit code 6 with the place of a training that diverged, 3
// for data; and no model beside or over an old one.
#include "support_cli.h"
#include "support_promise.h"

namespace {

TEST_F(Command, SaysWhereATrainingDiverged) {
    const std::string old = path("old.safetensors");
    spit(old, "old");
    int64_t tried = 0;
    for (const char *optimizer :
         {"sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "lion"}) {
        const Words words{"train", "--data",      "synth:teacher", "--hidden", "8",
                          "--lr",  "1e20",        "--epochs",      "3",        "--device",
                          "cpu",   "--optimizer", optimizer,       "--out",    old};
        for (const char *part : {"epoch 1: step ", " of layer ", "learning rate"})
            fails(words, 6, part);
        EXPECT_EQ(slurp(old), "old") << optimizer;
        ++tried;
    }
    support::promise("Numbers don't go wrong in silence", "diverging trainings by the command",
                     tried);
}

TEST_F(Command, RefusesColumnsWithoutNumbers) {
    spit(directory / "nan.csv", "1,nan,0\n2,nan,1\n");
    fails({"train", "--data", path("nan.csv"), "--device", "cpu", "--out", path("m.st")}, 3,
          "nan.csv:1: column 1");
    EXPECT_FALSE(fs::exists(path("m.st")));
}

} // namespace
