// The `deltak` command from outside: it is run as a program, and its exit code, its two outputs and
// the files it leaves are looked at. Every exit code of the help has a test that meets it.
#include "deltak/deltak.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <fcntl.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

struct Outcome {
    int code; // 128 + n where signal n ended the program, as a shell has it
    std::string out, err;
};

struct DropJson {
    void operator()(json_t *value) const { json_decref(value); }
};
using Json = std::unique_ptr<json_t, DropJson>;

std::string slurp(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

void spit(const fs::path &path, const std::string &text) {
    std::ofstream(path, std::ios::binary) << text;
}

[[noreturn]] void become(const Words &words) {
    // A runner in the background may have them ignored, which exec would hand on.
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    // Threads that wait for each other by spinning take a busy machine's time from each other.
    setenv("OMP_WAIT_POLICY", "passive", 1);
    std::vector<char *> argv{const_cast<char *>(DELTAK_COMMAND)};
    for (const std::string &word : words) argv.push_back(const_cast<char *>(word.c_str()));
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
}

int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

class Command : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!*DELTAK_COMMAND) GTEST_SKIP() << "the command wasn't built";
        std::string name = (fs::temp_directory_path() / "deltak_cli_XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory = name;
    }
    void TearDown() override {
        if (!directory.empty()) fs::remove_all(directory);
    }

    std::string path(const std::string &name) const { return (directory / name).string(); }

    // Starts the program with files behind its three streams.
    pid_t start(const Words &words, const std::string &input, const std::string &out) {
        spit(directory / "stdin", input);
        const pid_t child = fork();
        if (child != 0) return child;
        dup2(open(path("stdin").c_str(), O_RDONLY), 0);
        dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
        dup2(open(path("stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
        become(words);
    }

    Outcome run(const Words &words, const std::string &input = "", std::string out = "") {
        if (out.empty()) out = path("stdout");
        const int code = wait_for(start(words, input, out));
        return {code, fs::is_regular_file(out) ? slurp(out) : "", slurp(directory / "stderr")};
    }

    // Fails with `code`, says `text` in an error line, and prints no result.
    void fails(const Words &words, int code, const std::string &text,
               const std::string &input = "") {
        const Outcome o = run(words, input);
        std::string line;
        for (const std::string &word : words) line += word + " ";
        EXPECT_EQ(o.code, code) << line << "\n" << o.err;
        EXPECT_NE(o.err.find(text), std::string::npos) << line << "\n" << o.err;
        EXPECT_EQ(o.err.compare(0, 8, "deltak: "), 0) << line << "\n" << o.err;
        EXPECT_EQ(o.out, "") << line;
        EXPECT_EQ(o.err.find("DK_"), std::string::npos) << o.err;
    }

    Json json(const Words &words, const std::string &input = "") {
        const Outcome o = run(words, input);
        EXPECT_EQ(o.code, 0) << o.err;
        json_error_t error;
        Json value(json_loads(o.out.c_str(), JSON_REJECT_DUPLICATES, &error));
        EXPECT_TRUE(value) << error.text << "\n" << o.out;
        return value;
    }

    // A small trained classifier of the built-in digits.
    std::string digits_model() {
        const std::string model = path("digits.safetensors");
        const Outcome o =
            run({"train", "--data", "builtin:digits", "--hidden", "32", "--epochs", "3", "--lr",
                 "0.01", "--device", "cpu", "--threads", "1", "--quiet", "--out", model});
        EXPECT_EQ(o.code, 0) << o.err;
        return model;
    }

    // A model of two features and numbers for targets.
    std::string teacher_model() {
        const std::string model = path("teacher.safetensors");
        const Outcome o = run({"train",     "--data",    "synth:teacher",
                               "--rows",    "200",       "--features",
                               "2",         "--targets", "3",
                               "--hidden",  "8",         "--epochs",
                               "2",         "--device",  "cpu",
                               "--threads", "1",         "--quiet",
                               "--out",     model});
        EXPECT_EQ(o.code, 0) << o.err;
        return model;
    }

    fs::path directory;
};

double number(const Json &object, const char *key) {
    json_t *value = json_object_get(object.get(), key);
    EXPECT_TRUE(json_is_number(value)) << key;
    return json_number_value(value);
}

void has_keys(const Json &object, const Words &keys) {
    for (const std::string &key : keys)
        EXPECT_NE(json_object_get(object.get(), key.c_str()), nullptr) << key;
}

Words lines_of(const std::string &text) {
    Words lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

// Tags nest and close, attribute values are quoted, no bare & or <: what XML asks of our pictures.
bool is_well_formed(const std::string &xml) {
    Words open;
    bool seen_root = false;
    for (size_t at = 0; at < xml.size();) {
        if (xml[at] == '&') return false;
        if (xml[at] != '<') {
            if (open.empty() && !std::isspace(static_cast<unsigned char>(xml[at]))) return false;
            ++at;
            continue;
        }
        const size_t end = xml.find('>', at);
        if (end == std::string::npos) return false;
        const std::string tag = xml.substr(at + 1, end - at - 1);
        at = end + 1;
        if (tag.empty() || tag.find('<') != std::string::npos) return false;
        if (std::count(tag.begin(), tag.end(), '"') % 2) return false;
        if (tag[0] == '?') continue;
        if (tag[0] == '/') {
            if (open.empty() || open.back() != tag.substr(1)) return false;
            open.pop_back();
        } else if (tag.back() != '/') {
            if (open.empty() && seen_root) return false;
            seen_root = true;
            open.push_back(tag.substr(0, tag.find(' ')));
        }
    }
    return seen_root && open.empty();
}

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
        {"--seed", "-2", "out of range"},
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
    fails(with("--out", path("none/m.safetensors")), 4, "none");
    fails(with("--out", directory.string()), 4, "it is a directory");
    fails(with("--out", "/dev/full"), 4, "regular file");
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
    fails({"info", "--device", "cpu", "--precision", "bf16"}, 5, "fp32");
}

// --- what the commands give ----------------------------------------------------------------------

TEST_F(Command, TrainReportsOneObject) {
    const std::string model = path("m.safetensors");
    const Json o = json({"train",
                         "--data",
                         "builtin:digits",
                         "--valid-fraction",
                         "0.2",
                         "--hidden",
                         "64",
                         "--epochs",
                         "8",
                         "--lr",
                         "0.01",
                         "--device",
                         "cpu",
                         "--threads",
                         "1",
                         "--json",
                         "--quiet",
                         "--out",
                         model,
                         "--metrics",
                         path("run.jsonl"),
                         "--plot",
                         path("curve.svg")});
    has_keys(o, {"parameters", "epochs", "steps", "train_loss", "valid", "test", "seconds",
                 "samples_per_second", "model", "device", "kernel", "version"});
    EXPECT_EQ(number(o, "parameters"), 64 * 64 + 64 + 64 * 10 + 10);
    EXPECT_EQ(number(o, "epochs"), 8);
    EXPECT_EQ(number(o, "steps"), 8 * 12); // ceil((1797 − 359)/128) = 12
    EXPECT_TRUE(json_is_null(json_object_get(o.get(), "test")));
    Json valid(json_incref(json_object_get(o.get(), "valid")));
    EXPECT_EQ(number(valid, "samples"), 359);  // round(0.2 · 1797)
    EXPECT_GT(number(valid, "accuracy"), 0.8); // chance is 0.1
    EXPECT_TRUE(fs::exists(model));

    const Words lines = lines_of(slurp(directory / "run.jsonl"));
    ASSERT_EQ(lines.size(), 8u);
    for (size_t i = 0; i < lines.size(); ++i) {
        json_error_t error;
        const Json line(json_loads(lines[i].c_str(), 0, &error));
        ASSERT_TRUE(line) << error.text;
        EXPECT_EQ(number(line, "epoch"), static_cast<double>(i + 1));
        EXPECT_EQ(number(line, "steps"), static_cast<double>(12 * (i + 1)));
        for (const char *key :
             {"train_loss", "valid_loss", "valid_metric", "lr", "samples_per_second"})
            number(line, key);
    }
    const std::string picture = slurp(directory / "curve.svg");
    EXPECT_TRUE(is_well_formed(picture)) << picture;
    for (const char *text :
         {"<svg", "Loss", "Validation accuracy", "training", "validation", "epoch"})
        EXPECT_NE(picture.find(text), std::string::npos) << text;
}

// The checker itself must see what it is there for.
TEST(WellFormed, SeesBrokenXml) {
    EXPECT_TRUE(is_well_formed("<?xml version=\"1.0\"?>\n<a b=\"c\"><d/><e>f</e></a>\n"));
    for (const char *xml : {"", "<a>", "<a></b>", "<a b=\"></a>", "<a>&</a>", "<a/><", "x<a></a>"})
        EXPECT_FALSE(is_well_formed(xml)) << xml;
}

TEST_F(Command, TrainPrintsResultsOnStandardOutput) {
    const Outcome o =
        run({"train", "--data", "synth:teacher", "--rows", "300", "--features", "4",
             "--valid-fraction", "0.25", "--hidden", "8", "--epochs", "2", "--device", "cpu"});
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_NE(o.out.find("validation rmse"), std::string::npos) << o.out;
    EXPECT_NE(o.out.find("r2"), std::string::npos) << o.out;
    EXPECT_EQ(lines_of(o.err).size(), 2u) << o.err; // a plain line an epoch
    EXPECT_EQ(o.err.find('\r'), std::string::npos);
    EXPECT_EQ(o.err.find('\033'), std::string::npos);
    EXPECT_NE(o.err.find("epoch 2/2"), std::string::npos) << o.err;
}

TEST_F(Command, DryRunPrintsThePlanAndMakesNoFile) {
    const Words words{
        "train", "--data", "builtin:digits",      "--hidden", "100",         "--device",
        "cpu",   "--out",  path("m.safetensors"), "--plot",   path("c.svg"), "--dry-run"};
    const Outcome o = run(words);
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_NE(o.out.find("MiB"), std::string::npos) << o.out;
    Words as_json = words;
    as_json.push_back("--json");
    const Json plan = json(as_json);
    has_keys(plan, {"parameters", "gradients", "slots", "activations", "deltas", "workspace",
                    "staging", "total", "device_free", "flops_per_step"});
    EXPECT_EQ(number(plan, "parameter_count"), 64 * 100 + 100 + 100 * 10 + 10);
    EXPECT_FALSE(fs::exists(path("m.safetensors")));
    EXPECT_FALSE(fs::exists(path("c.svg")));
}

TEST_F(Command, EvaluatesAModel) {
    const std::string model = digits_model();
    const Json o =
        json({"eval", "--model", model, "--data", "builtin:digits", "--device", "cpu", "--json"});
    EXPECT_EQ(number(o, "samples"), 1797);
    EXPECT_GT(number(o, "accuracy"), 0.5); // chance is 0.1
    number(o, "loss");
    const Json r = json({"eval", "--model", teacher_model(), "--data", "synth:teacher", "--rows",
                         "50", "--features", "2", "--targets", "3", "--device", "cpu", "--json"});
    EXPECT_EQ(number(r, "samples"), 50);
    number(r, "rmse");
    number(r, "r2");
    fails({"eval", "--model", model, "--data", "synth:spirals", "--device", "cpu"}, 3, "");
}

TEST_F(Command, InspectsAModel) {
    const std::string model = digits_model();
    const Json o = json({"inspect", model, "--json"});
    EXPECT_EQ(number(o, "parameters"), 64 * 32 + 32 + 32 * 10 + 10);
    EXPECT_EQ(json_array_size(json_object_get(o.get(), "classes")), 10u);
    json_t *layers = json_object_get(o.get(), "layers");
    ASSERT_EQ(json_array_size(layers), 2u);
    json_t *weight = json_object_get(json_array_get(layers, 0), "weight");
    for (const char *key : {"mean", "std", "min", "max", "norm"})
        EXPECT_TRUE(json_is_real(json_object_get(weight, key))) << key;
    const Outcome text = run({"inspect", model});
    EXPECT_EQ(text.code, 0);
    EXPECT_NE(text.out.find("layer 1: 64 -> 32  relu"), std::string::npos) << text.out;
}

TEST_F(Command, ChecksAgainstTheReference) {
    const Json o = json({"check", "--device", "cpu", "--json"});
    EXPECT_TRUE(json_is_true(json_object_get(o.get(), "passed")));
    json_t *rows = json_object_get(o.get(), "rows");
    EXPECT_EQ(json_array_size(rows), 6u * 3 + 1);
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row) {
        EXPECT_TRUE(json_is_string(json_object_get(row, "quantity")));
        EXPECT_TRUE(json_is_number(json_object_get(row, "error")));
        EXPECT_TRUE(json_is_number(json_object_get(row, "bound")));
        EXPECT_LE(json_number_value(json_object_get(row, "worst")), 1);
    }
    EXPECT_EQ(run({"check", "--layers", "5,3,2", "--activation", "leaky_relu(0.2)", "--optimizer",
                   "lion", "--device", "cpu"})
                  .code,
              0);
}

TEST_F(Command, BenchmarksAStep) {
    const Json o = json({"bench", "--layers", "32,16,4", "--batch", "16", "--seconds", "0.05",
                         "--repeats", "3", "--device", "cpu", "--json"});
    has_keys(o, {"step_ms", "floor_ms", "ratio", "samples_per_s", "gflops", "ratio_low",
                 "ratio_high", "device", "kernel", "threads", "floor_library", "optimizer",
                 "layers", "batch", "version"});
    EXPECT_GT(number(o, "step_ms"), 0);
    EXPECT_EQ(number(o, "batch"), 16);
    EXPECT_STREQ(json_string_value(json_object_get(o.get(), "optimizer")), "sgd");
}

TEST_F(Command, InfoListsWhatThereIs) {
    const Json o = json({"info", "--device", "cpu", "--json"});
    has_keys(o, {"version", "device", "device_name", "library", "kernel", "vector", "threads",
                 "memory_total", "precision", "activations", "losses", "optimizers", "schedules"});
    EXPECT_EQ(json_array_size(json_object_get(o.get(), "activations")), 14u);
    EXPECT_EQ(run({"info", "--device", "cpu"}).code, 0);
}

// --- predict -------------------------------------------------------------------------------------

TEST_F(Command, PredictsRowsFromStandardInput) {
    const std::string model = teacher_model();
    const Words words{"predict", "--model", model, "--data", "-", "--device", "cpu"};
    std::string input;
    for (int i = 0; i < 600; ++i) input += std::to_string(i % 7) + ",0.5\n";
    const Outcome o = run(words, input);
    EXPECT_EQ(o.code, 0) << o.err;
    const Words lines = lines_of(o.out);
    ASSERT_EQ(lines.size(), 600u);
    EXPECT_EQ(std::count(lines[0].begin(), lines[0].end(), ','), 2);
    EXPECT_EQ(lines[0], lines[7]); // the same row, the same answer
    EXPECT_NE(lines[0], lines[1]);
    // Blank lines, spaces, CRLF and a missing last line end are no rows and no errors.
    const Outcome loose = run(words, " 0 ,\t0.5\r\n\n1,5e-1");
    EXPECT_EQ(loose.code, 0) << loose.err;
    EXPECT_EQ(lines_of(loose.out), (Words{lines[0], lines[1]}));
    EXPECT_EQ(run(words, "").out, "");
}

TEST_F(Command, PredictNamesLineAndColumn) {
    const std::string model = teacher_model(), out = path("answers");
    const Words words{"predict", "--model", model, "--data", "-", "--device", "cpu", "--out", out};
    fails(words, 3, "line 2, column 2: \"x\"", "1,2\n3,x\n");
    fails(words, 3, "line 1, column 1: \"a\" isn't a finite number: leave the header out",
          "a,b\n1,2\n");
    fails(words, 3, "column 2: \"nan\"", "1,nan\n");
    fails(words, 3, "column 1: \"inf\"", "inf,1\n");
    fails(words, 3, "column 1: \"1e39\"", "1e39,1\n"); // beyond a float
    fails(words, 3, "column 2: \"\"", "1,\n");
    fails(words, 3, "line 1: 1 fields, and the model takes 2", "1\n");
    fails(words, 3, "line 3: 3 fields, and the model takes 2: drop the label", "1,2\n\n1,2,3\n");
    fails(words, 3, "line 1: longer than", std::string(1 << 20, '1'));
    fails(words, 3, "zero byte", std::string("1,2\0\n", 5));
    for (const auto &entry : fs::directory_iterator(directory))
        EXPECT_EQ(entry.path().string().find("answers"), std::string::npos)
            << entry.path() << " was left behind";
    EXPECT_EQ(run(words, "1,2\n").code, 0);
    EXPECT_EQ(lines_of(slurp(out)).size(), 1u);
}

// A row that is typed gets its answer before the next one is.
TEST_F(Command, PredictAnswersEachRowAtOnce) {
    const std::string model = teacher_model();
    int in[2], out[2];
    ASSERT_EQ(pipe(in), 0);
    ASSERT_EQ(pipe(out), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        become({"predict", "--model", model, "--data", "-", "--device", "cpu"});
    }
    close(in[0]);
    close(out[1]);
    for (int row = 0; row < 3; ++row) {
        ASSERT_EQ(write(in[1], "1,2\n", 4), 4);
        std::string answer;
        char c;
        while (read(out[0], &c, 1) == 1 && c != '\n') answer += c; // would block for ever
        EXPECT_EQ(std::count(answer.begin(), answer.end(), ','), 2) << answer;
    }
    close(in[1]);
    close(out[0]);
    EXPECT_EQ(wait_for(child), 0);
}

TEST_F(Command, PredictsClassesAndProbabilities) {
    const std::string model = digits_model();
    std::string rows;
    for (int i = 0; i < 5; ++i) {
        for (int j = 0; j < 64; ++j) rows += (j ? "," : "") + std::to_string((i + j) % 17);
        rows += "\n";
    }
    spit(directory / "rows.csv", rows);
    const Outcome names =
        run({"predict", "--model", model, "--data", path("rows.csv"), "--device", "cpu"});
    EXPECT_EQ(names.code, 0) << names.err;
    const Words classes = lines_of(names.out);
    ASSERT_EQ(classes.size(), 5u);
    const Outcome streamed =
        run({"predict", "--model", model, "--data", "-", "--device", "cpu"}, rows);
    EXPECT_EQ(streamed.out, names.out);
    const Outcome table = run(
        {"predict", "--model", model, "--data", path("rows.csv"), "--device", "cpu", "--proba"});
    const Words lines = lines_of(table.out);
    ASSERT_EQ(lines.size(), 6u);
    EXPECT_EQ(lines[0], "0,1,2,3,4,5,6,7,8,9");
    for (size_t i = 1; i < lines.size(); ++i) {
        std::istringstream fields(lines[i]);
        std::vector<double> p;
        for (std::string field; std::getline(fields, field, ',');) p.push_back(std::stod(field));
        ASSERT_EQ(p.size(), 10u);
        double sum = 0;
        for (double v : p) sum += v;
        // Ten floats, each rounded to within 2^-24 relative: far inside 10 · 2^-24 · 4.
        EXPECT_NEAR(sum, 1, 40.0 / (1 << 24));
        const auto best = std::max_element(p.begin(), p.end()) - p.begin();
        EXPECT_EQ(classes[i - 1], std::to_string(best));
    }
    fails({"predict", "--model", teacher_model(), "--data", "-", "--proba", "--device", "cpu"}, 2,
          "--proba needs a classifier");
}

TEST_F(Command, PredictSaysToDropTheLabel) {
    const std::string model = teacher_model();
    spit(directory / "with_label.csv", "1,2,3\n4,5,6\n");
    fails({"predict", "--model", model, "--data", path("with_label.csv"), "--device", "cpu"}, 3,
          "drop the label column");
}

// --- training as a run ---------------------------------------------------------------------------

TEST_F(Command, SameSeedSameBytes) {
    const auto train = [&](const char *threads, const char *seed, const char *name) {
        const Outcome o = run({"train", "--data", "builtin:digits", "--hidden", "48,33",
                               "--dropout", "0.1", "--epochs", "2", "--threads", threads, "--seed",
                               seed, "--device", "cpu", "--quiet", "--out", path(name)});
        EXPECT_EQ(o.code, 0) << o.err;
        return slurp(path(name));
    };
    const std::string first = train("1", "5", "a");
    EXPECT_GT(first.size(), 4u * (64 * 48 + 48 * 33 + 33 * 10));
    EXPECT_TRUE(first == train("1", "5", "b")) << "another run";
    EXPECT_TRUE(first == train("2", "5", "c")) << "two threads";
    EXPECT_FALSE(first == train("1", "6", "d")) << "another seed";
}

TEST_F(Command, SaysThatTrainingDiverged) {
    const std::string model = path("m.safetensors");
    fails({"train",    "--data",     "synth:teacher", "--rows",   "500",
           "--hidden", "16",         "--optimizer",   "sgd",      "--lr",
           "1e30",     "--schedule", "constant",      "--warmup", "0",
           "--epochs", "20",         "--device",      "cpu",      "--quiet",
           "--out",    model},
          6, "");
    EXPECT_FALSE(fs::exists(model));
}

TEST_F(Command, SavesTheModelSoFarOnASignal) {
    for (const int number : {SIGINT, SIGTERM}) {
        const std::string model = path("m" + std::to_string(number));
        const pid_t child = start({"train", "--data", "builtin:digits", "--hidden", "16",
                                   "--epochs", "1000000", "--device", "cpu", "--out", model},
                                  "", path("stdout"));
        // A plain line an epoch: the first says that training is under way.
        for (int i = 0; i < 1000 && slurp(directory / "stderr").find("epoch") == std::string::npos;
             ++i)
            usleep(10000);
        kill(child, number);
        EXPECT_EQ(wait_for(child), 128 + number);
        EXPECT_NE(slurp(directory / "stderr").find("the model so far is in"), std::string::npos);
        const Outcome o =
            run({"eval", "--model", model, "--data", "builtin:digits", "--device", "cpu"});
        EXPECT_EQ(o.code, 0) << o.err;
    }
}

TEST_F(Command, StopsEarly) {
    const Json o = json({"train",
                         "--data",
                         "builtin:digits",
                         "--valid-fraction",
                         "0.5",
                         "--hidden",
                         "64",
                         "--epochs",
                         "200",
                         "--early-stop",
                         "1",
                         "--device",
                         "cpu",
                         "--quiet",
                         "--lr",
                         "0.3",
                         "--schedule",
                         "constant",
                         "--threads",
                         "1",
                         "--json"});
    EXPECT_TRUE(json_is_true(json_object_get(o.get(), "stopped_early")));
    EXPECT_LT(number(o, "epochs"), 200);
    EXPECT_EQ(number(o, "best_epoch"), number(o, "epochs") - 1);
}

// A version 1.0 NPY file of little-endian elements.
void write_npy(const fs::path &path, const std::string &type, const std::string &shape,
               const std::string &bytes) {
    std::string header =
        "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + "}";
    header.resize(117, ' '); // 10 + 118 = 2 * 64
    header += '\n';
    spit(path, std::string("\x93NUMPY\x01\x00v\x00", 10) + header + bytes);
}

// A directory with a test part: train evaluates it at the end, eval takes it and nothing else.
TEST_F(Command, EvaluatesTheTestPartOfADirectory) {
    const auto write_part = [&](const std::string &suffix, int32_t rows) {
        std::string x, y;
        for (int32_t i = 0; i < rows; ++i) {
            const int32_t label = i % 2;
            const float features[2] = {static_cast<float>(label), static_cast<float>(i % 5)};
            x.append(reinterpret_cast<const char *>(features), sizeof features);
            y.append(reinterpret_cast<const char *>(&label), sizeof label);
        }
        const std::string n = std::to_string(rows);
        write_npy(directory / "set" / ("x" + suffix + ".npy"), "<f4", "(" + n + ", 2)", x);
        write_npy(directory / "set" / ("y" + suffix + ".npy"), "<i4", "(" + n + ",)", y);
    };
    fs::create_directory(directory / "set");
    write_part("", 200);
    const Words train{"train",    "--data", path("set"), "--epochs", "5",
                      "--hidden", "8",      "--device",  "cpu",      "--quiet",
                      "--lr",     "0.05",   "--json",    "--out",    path("m")};
    EXPECT_TRUE(json_is_null(json_object_get(json(train).get(), "test")));
    write_part("_test", 30);
    const Json o = json(train);
    const Json test(json_incref(json_object_get(o.get(), "test")));
    EXPECT_EQ(number(test, "samples"), 30);
    EXPECT_EQ(number(test, "accuracy"), 1); // the first feature is the label
    const Json e =
        json({"eval", "--model", path("m"), "--data", path("set"), "--device", "cpu", "--json"});
    EXPECT_EQ(number(e, "samples"), 30);
    EXPECT_EQ(number(e, "loss"), number(test, "loss"));
    // A test part that is there but damaged is not one that is missing.
    spit(directory / "set" / "y_test.npy", "damaged");
    fails(train, 3, "y_test.npy");
}

// On a terminal one line is rewritten: never wider than the terminal, and with a curve at the end.
TEST_F(Command, RewritesOneLineOnATerminal) {
    winsize size{};
    size.ws_row = 24;
    size.ws_col = 70;
    int terminal = -1;
    setenv("TERM", "xterm", 1);
    const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
    ASSERT_GE(child, 0);
    if (child == 0) {
        setenv("NO_COLOR", "1", 1);
        become({"train", "--data", "builtin:digits", "--valid-fraction", "0.2", "--hidden", "16",
                "--epochs", "4", "--device", "cpu"});
    }
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = read(terminal, buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<size_t>(got));
    EXPECT_EQ(wait_for(child), 0);
    close(terminal);
    EXPECT_EQ(text.find('\033'), std::string::npos) << "colour in spite of NO_COLOR";
    const size_t first = text.find("\repoch ");
    ASSERT_NE(first, std::string::npos) << text;
    const size_t end = text.find('\n', first);
    std::istringstream drawn(text.substr(first, end - first));
    for (std::string line; std::getline(drawn, line, '\r');) EXPECT_LT(line.size(), 70u) << line;
    EXPECT_NE(text.find("epochs\r\n"), std::string::npos) << "no curve:\n" << text;
}

} // namespace
