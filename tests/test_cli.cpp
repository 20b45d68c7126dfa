// The `deltak` command and what goes wrong: every exit code of the help has a test that meets it.
#include "support_cli.h"

namespace {

// --- help and usage ------------------------------------------------------------------------------

TEST_F(Command, ShowsHelpAndVersion) {
    const Outcome version = run({"--version"});
    EXPECT_EQ(version.code, 0);
    EXPECT_EQ(version.out, std::string("deltak ") + dk_version() + "\n");
    const Outcome help = run({"--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_EQ(help.err, "");
    for (const char *name : {"train", "eval", "predict", "inspect", "check", "bench", "info"}) {
        EXPECT_NE(help.out.find(name), std::string::npos);
        const Outcome one = run({name, "--help"});
        EXPECT_EQ(one.code, 0) << name;
        EXPECT_EQ(one.out.find("Usage: deltak "), 0u) << one.out;
        EXPECT_NE(one.out.find("Example"), std::string::npos) << name;
        EXPECT_EQ(one.err, "") << name;
    }
}

// Every name that the library knows is in the help, and no default was left out.
TEST_F(Command, HelpListsTheLibrarysNames) {
    const std::string help = run({"train", "--help"}).out;
    for (int i = 0; dk_activation_name(static_cast<dk_activation>(i)); ++i)
        EXPECT_NE(help.find(dk_activation_name(static_cast<dk_activation>(i))), std::string::npos);
    for (int i = 0; dk_optimizer_name(static_cast<dk_optimizer>(i)); ++i)
        EXPECT_NE(help.find(dk_optimizer_name(static_cast<dk_optimizer>(i))), std::string::npos);
    EXPECT_EQ(help.find("{}"), std::string::npos) << "a default is missing";
    EXPECT_EQ(help.find("nan"), std::string::npos) << "a default is missing";
    // Options beside --help don't change the defaults that it shows.
    EXPECT_EQ(run({"train", "--lr", "7", "--help"}).out, help);
}

TEST_F(Command, SuggestsTheNearestName) {
    fails({"trian"}, 2, "did you mean \"train\"");
    fails({"zzzzzzzz"}, 2, "unknown command");
    fails({}, 2, "a command is missing");
    fails({"train", "--epocs", "3"}, 2, "did you mean --epochs");
    fails({"train", "--data", "builtin:digits", "--activation", "rellu"}, 2, "\"relu\"");
    fails({"train", "--data", "builtin:digits", "--loss", "hubber"}, 2, "\"huber\"");
    fails({"train", "--data", "builtin:digits", "--optimizer", "adamww"}, 2, "\"adamw\"");
    fails({"train", "--data", "builtin:digits", "--schedule", "cosin"}, 2, "\"cosine\"");
    fails({"train", "--data", "builtin:digits", "--init", "he_norml"}, 2, "\"he_normal\"");
    fails({"train", "--data", "builtin:digits", "--precision", "fp33"}, 2, "\"fp32\"");
    fails({"train", "--data", "builtin:digits", "--task", "regresion"}, 2, "\"regression\"");
    fails({"bench", "--workload", "minst"}, 2, "\"mnist\"");
    fails({"train", "--data", "builtin:digit", "--device", "cpu"}, 2, "builtin:digit");
}

TEST_F(Command, RefusesBadNumbers) {
    const struct {
        const char *option, *value, *text;
    } cases[] = {
        {"--epochs", "-1", "out of range"},
        {"--epochs", "ten", "isn't a whole number"},
        {"--epochs", "3x", "isn't a whole number"},
        {"--epochs", "", "isn't a whole number"},
        {"--epochs", "99999999999999999999", "out of range"},
        {"--batch", "0", "out of range"},
        {"--batch", "1.5", "isn't a whole number"},
        {"--seed", "-2", "at least 0"},
        {"--seed", "9223372036854775808", "0 to 9223372036854775807"},
        {"--lr", "abc", "isn't a number"},
        {"--lr", "nan", "isn't a number"},
        {"--lr", "inf", "isn't a number"},
        {"--lr", "0x1p3", "isn't a number"},
        {"--lr", "1e999", "isn't a number"},
        {"--lr", " 1", "isn't a number"},
        {"--lr", "0", "greater than 0"},
        {"--dropout", "1", "out of range"},
        {"--dropout", "-0.1", "out of range"},
        {"--valid-fraction", "0", "out of range"},
        {"--valid-fraction", "1", "out of range"},
        {"--beta1", "1", "out of range"},
        {"--momentum", "2", "out of range"},
        {"--weight-decay", "-1", "out of range"},
        {"--hidden", "0", "out of range"},
        {"--hidden", "12,", "missing"},
        {"--hidden", "12,,3", "commas"},
        {"--hidden", "a", "isn't a whole number"},
        {"--threads", "-1", "out of range"},
    };
    for (const auto &c : cases)
        fails({"train", "--data", "builtin:digits", c.option, c.value}, 2, c.text);
    fails({"check", "--layers", "12"}, 2, "at least two widths");
}

TEST_F(Command, RefusesOptionsThatDontGoTogether) {
    fails({"train"}, 2, "--data is missing");
    fails({"train", "--data"}, 2, "needs a value");
    fails({"train", "--data", "builtin:digits", "--json=1"}, 2, "takes no value");
    fails({"train", "--data", "builtin:digits", "extra"}, 2, "unexpected argument \"extra\"");
    fails({"train", "--data", "builtin:digits", "--early-stop", "2"}, 2,
          "--early-stop needs a validation set");
    fails({"train", "--data", "builtin:digits", "--valid", "builtin:digits", "--valid-fraction",
           "0.2"},
          2, "exclude each other");
    fails(
        {"train", "--data", "synth:teacher", "--device", "cpu", "--loss", "softmax_cross_entropy"},
        2, "needs classes");
    fails({"train", "--data", "builtin:digits", "--device", "cpu", "--loss", "mae"}, 2,
          "needs numbers");
    fails({"bench", "--workload", "mnist", "--layers", "3,4"}, 2, "exclude each other");
    fails({"eval", "--data", "builtin:digits"}, 2, "--model is missing");
    fails({"predict", "--data", "-"}, 2, "--model is missing");
    fails({"inspect"}, 2, "model file is missing");
    fails({"train", "--data", "builtin:digits", "--hidden", "4000000000000,4000000000000",
           "--device", "cpu"},
          2, "");
}

// --- files ---------------------------------------------------------------------------------------

TEST_F(Command, NamesTheFileThatIsMissingOrMalformed) {
    fails({"train", "--data", path("none.csv"), "--device", "cpu"}, 3, "none.csv");
    spit(directory / "empty.csv", "");
    fails({"train", "--data", path("empty.csv"), "--device", "cpu"}, 3, "empty.csv");
    spit(directory / "text.csv", "1,2,0\n3,four,1\n5,6,0\n");
    fails({"train", "--data", path("text.csv"), "--device", "cpu"}, 3, "text.csv");
    spit(directory / "ragged.csv", "1,2,0\n3,4\n5,6,0\n");
    fails({"train", "--data", path("ragged.csv"), "--device", "cpu"}, 3, "ragged.csv");
    spit(directory / "nan.csv", "1,2,0\n3,nan,1\n5,6,0\n");
    fails({"train", "--data", path("nan.csv"), "--device", "cpu"}, 3, "nan.csv");
    fails({"train", "--data", "builtin:digits", "--device", "cpu", "--valid", path("none.csv")}, 3,
          "none.csv");
    fails({"eval", "--model", path("none.st"), "--data", "builtin:digits", "--device", "cpu"}, 4,
          "none.st");
    fails({"inspect", path("none.st")}, 4, "none.st");
    spit(directory / "bad.st", "not a model");
    fails({"inspect", path("bad.st")}, 4, "bad.st");
    fails({"predict", "--model", path("bad.st"), "--data", "-"}, 4, "bad.st");
}

// A path that can't be written is found before the training, and nothing there is touched.
TEST_F(Command, RefusesOutputsBeforeTraining) {
    const Words train{"train", "--data",   "builtin:digits", "--device",
                      "cpu",   "--epochs", "1000000"};
    const auto with = [&](const char *option, const std::string &value) {
        Words words = train;
        words.insert(words.end(), {option, value});
        return words;
    };
    fails(with("--out", path("none/m.safetensors")), 1, "none");
    fails(with("--out", directory.string()), 1, "it is a directory");
    fails(with("--out", "/dev/full"), 1, "regular file");
    fails(with("--metrics", path("none/run.jsonl")), 1, "none");
    fails(with("--plot", path("none/curve.svg")), 1, "none");
}

TEST_F(Command, AFailureLeavesTheOldModel) {
    spit(directory / "m.safetensors", "old");
    fails({"train", "--data", path("none.csv"), "--device", "cpu", "--out", path("m.safetensors")},
          3, "none.csv");
    EXPECT_EQ(slurp(directory / "m.safetensors"), "old");
}

TEST_F(Command, TellsOfAFullDisk) {
    for (const Words &words :
         {Words{"--help"}, Words{"--version"}, Words{"train", "--help"},
          Words{"info", "--device", "cpu"}, Words{"info", "--device", "cpu", "--json"}}) {
        const Outcome o = run(words, "", "/dev/full");
        EXPECT_EQ(o.code, 1) << words[0];
        EXPECT_NE(o.err.find("standard output"), std::string::npos) << o.err;
    }
}

TEST_F(Command, SaysThatADeviceIsMissing) {
    fails({"info", "--device", "quantum"}, 2, "quantum");
    fails({"info", "--device", "cuda:99"}, 5, "");
    fails({"info", "--device", "cpu", "--precision", "tf32"}, 5, "tf32");
    fails({"info", "--device", "cpu", "--precision", "fp16"}, 5, "fp16");
}

// A processor with AVX-512 and without its bf16 products, which oneDNN would emulate.
TEST_F(Command, SaysWhatBf16NeedsOfTheProcessor) {
    setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", 1);
    fails({"info", "--device", "cpu", "--precision", "bf16"}, 5, "AVX512_BF16");
    unsetenv("ONEDNN_MAX_CPU_ISA");
}

} // namespace
