// What the commands of `deltak` give: results, files, and the line on a terminal.
#include "every.h"
#include "support_cli.h"

namespace {

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
    EXPECT_EQ(number(o, "steps"), 8 * 23); // ceil((1797 − 359)/64) = 23
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
        EXPECT_EQ(number(line, "steps"), static_cast<double>(23 * (i + 1)));
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
    EXPECT_EQ(lines_of(o.err).size(), 4u) << o.err; // what was read, how, and a plain line an epoch
    EXPECT_NE(o.err.find("300 rows, 4 features"), std::string::npos) << o.err;
    EXPECT_NE(o.err.find("features standardised; targets standardised"), std::string::npos);
    // 225 rows make batches of 16; the rate of 32 units is that of the 8, which are narrower
    EXPECT_NE(o.err.find("adamw at a rate of 0.006, cosine, batches of 16\n"), std::string::npos)
        << o.err;
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
    has_keys(o,
             {"step_ms",        "step_ms_low", "step_ms_high",  "floor_ms",        "floor_ms_low",
              "floor_ms_high",  "ratio",       "ratio_low",     "ratio_high",      "forward_ms",
              "backward_ms",    "update_ms",   "samples_per_s", "gflops",          "tflops",
              "floor_fraction", "host_us",     "device_bytes",  "host_peak_bytes", "repeats",
              "floor_library",  "device",      "device_name",   "kernel",          "precision",
              "threads",        "version",     "workload",      "layers",          "batch",
              "optimizer",      "activation"});
    EXPECT_GT(number(o, "step_ms"), 0);
    EXPECT_EQ(number(o, "batch"), 16);
    EXPECT_STREQ(json_string_value(json_object_get(o.get(), "optimizer")), "sgd");
    EXPECT_EQ(json_object_get(o.get(), "operations"), nullptr) << "only with --explain";
}

TEST_F(Command, ExplainsAStep) {
    const std::vector<std::string> options = {
        "bench",     "--layers", "32,16,4",  "--batch", "16",          "--seconds", "0",
        "--repeats", "2",        "--device", "cpu",     "--optimizer", "adamw",     "--explain"};
    std::vector<std::string> as_json = options;
    as_json.emplace_back("--json");
    const Json o = json(as_json);
    has_keys(o, {"matrix_gflops", "bandwidth_gb_s", "launch_us", "operations"});
    json_t *rows = json_object_get(o.get(), "operations");
    EXPECT_EQ(json_array_size(rows), 11u)
        << "begin, gather, 2 forward, loss, 2 weight gradients, 1 data gradient, 3 updates";
    size_t index;
    json_t *row;
    double flops = 0;
    json_array_foreach(rows, index, row) {
        EXPECT_TRUE(json_is_string(json_object_get(row, "operation")));
        for (const char *key :
             {"layer", "lane", "flops", "bytes", "launches", "predicted_ms", "measured_ms"})
            EXPECT_TRUE(json_is_number(json_object_get(row, key))) << key;
        flops += json_number_value(json_object_get(row, "flops"));
    }
    EXPECT_EQ(flops, number(o, "flops"));
    EXPECT_GE(json_array_size(json_object_get(o.get(), "bandwidth_gb_s")), 1u);
    const Outcome table = run(options);
    EXPECT_EQ(table.code, 0) << table.err;
    for (const char *text :
         {"weight gradient", "should, ms", "launches", "above the bare products"})
        EXPECT_NE(table.out.find(text), std::string::npos) << text;
}

TEST_F(Command, InfoListsWhatThereIs) {
    const Json o = json({"info", "--device", "cpu", "--json"});
    has_keys(o, {"version", "device", "device_name", "library", "kernel", "vector", "threads",
                 "memory_total", "precision", "activations", "losses", "optimizers", "schedules"});
    EXPECT_EQ(json_array_size(json_object_get(o.get(), "activations")),
              support::activations().size());
    EXPECT_EQ(run({"info", "--device", "cpu"}).code, 0);
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
        fs::remove(directory / "stderr"); // the last child's lines would be taken for this one's
        const pid_t child = start({"train", "--data", "builtin:digits", "--hidden", "16",
                                   "--epochs", "1000000", "--device", "cpu", "--out", model},
                                  "", path("stdout"));
        // A plain line an epoch: the first says that training is under way.
        wait_until(child,
                   [&] { return slurp(directory / "stderr").find("epoch") != std::string::npos; });
        kill(child, number);
        EXPECT_EQ(wait_for(child), 128 + number);
        EXPECT_NE(slurp(directory / "stderr").find("the model so far is in"), std::string::npos);
        const Outcome o =
            run({"eval", "--model", model, "--data", "builtin:digits", "--device", "cpu"});
        EXPECT_EQ(o.code, 0) << o.err;
    }
}

// A signal after the last step stops a run as one before it: a script's Ctrl-C must end the script.
TEST_F(Command, ReportsASignalThatCameWhileSaving) {
    const fs::path folder = directory / "models";
    const std::string model = (folder / "m").string();
    // 64 MB: a while to write. On a busy machine the file may be there before this process has seen that it
    // was begun.
    const Words words = {"train", "--data",   "synth:teacher", "--rows",      "8",     "--features",
                         "2",     "--hidden", "4000,4000",     "--optimizer", "sgd",   "--epochs",
                         "1",     "--device", "cpu",           "--quiet",     "--out", model};
    bool saving = false;
    int code = 0;
    for (int tries = 0; tries < 20 && !saving; ++tries) {
        fs::remove_all(folder);
        fs::create_directory(folder);
        const pid_t child = start(words, "", path("stdout"));
        wait_until(child, [&] { return !fs::is_empty(folder); });
        saving = signal_while(child, SIGTERM, [&] { return !fs::exists(model); });
        code = wait_for(child);
    }
    ASSERT_TRUE(saving);
    EXPECT_EQ(code, 128 + SIGTERM);
    EXPECT_NE(slurp(directory / "stderr").find("the model so far is in"), std::string::npos);
    EXPECT_EQ(run({"inspect", model}).code, 0);
}

// 16 million rows would take gigabytes: the answer shows that none were taken.
TEST_F(Command, PlansNoMemoryForRowsThatTheDataDontHave) {
    const Words words{"train", "--data", "builtin:digits", "--hidden", "8", "--device", "cpu"};
    Words small = words, large = words;
    small.insert(small.end(), {"--batch", "1797", "--dry-run", "--json"});
    large.insert(large.end(), {"--batch", "16000000", "--dry-run", "--json"});
    EXPECT_EQ(number(json(large), "total"), number(json(small), "total"));
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
