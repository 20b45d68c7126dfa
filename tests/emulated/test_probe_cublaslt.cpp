// The probe's logic, on a GPU whose answers are known: every row is there, nodes and times are those
// of the emulation, what the library lacks is said, and without a GPU it ends with 77.
#include "support_emulated.h"

extern "C" {
#include "probe.h"
}

#include <jansson.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>

namespace emulated {
namespace {

struct Outcome {
    int code = -1;
    std::string out, err;
};

Outcome run(std::vector<std::string> words) {
    words.insert(words.begin(), "probe_cublaslt");
    std::vector<char *> argv;
    for (std::string &word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    Outcome outcome;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    outcome.code = probe_main(static_cast<int>(words.size()), argv.data());
    outcome.out = testing::internal::GetCapturedStdout();
    outcome.err = testing::internal::GetCapturedStderr();
    return outcome;
}

struct Row {
    std::string question, precision, product, variant, verdict;
    bool taken = false;
    int kernels = 0, plain_nodes = 0;
    double ms = 0, plain_ms = 0, own_ms = 0, alone_ms = 0; ///< NAN: null
};

/// Reads what the probe wrote; fails where a field is missing or of another type.
class Report {
  public:
    std::vector<Row> rows;
    bool complete = false;
    explicit Report(const std::string &text) {
        json_error_t error;
        const std::unique_ptr<json_t, void (*)(json_t *)> whole(
            json_loads(text.c_str(), 0, &error), [](json_t *json) { json_decref(json); });
        if (!whole) {
            ADD_FAILURE() << error.text << "\n" << text;
            return;
        }
        EXPECT_STREQ(json_string_value(json_object_get(whole.get(), "device_name")),
                     "emulated CUDA");
        EXPECT_GT(json_integer_value(json_object_get(whole.get(), "multiprocessors")), 0);
        complete = json_is_true(json_object_get(whole.get(), "complete"));
        size_t i = 0;
        json_t *value = nullptr;
        json_array_foreach(json_object_get(whole.get(), "rows"), i, value)
            rows.push_back(row(value));
    }
    const Row &at(const std::string &precision, const std::string &product,
                  const std::string &variant) const {
        static const Row none;
        for (const Row &row : rows)
            if (row.precision == precision && row.product == product && row.variant == variant)
                return row;
        ADD_FAILURE() << "no row " << precision << ", " << product << ", " << variant;
        return none;
    }

  private:
    static std::string text(json_t *row, const char *key) {
        const char *value = json_string_value(json_object_get(row, key));
        EXPECT_NE(value, nullptr) << key;
        return value ? value : "";
    }
    static double real(json_t *row, const char *key) {
        json_t *value = json_object_get(row, key);
        EXPECT_TRUE(json_is_real(value) || json_is_null(value)) << key;
        return json_is_real(value) ? json_real_value(value) : NAN;
    }
    static Row row(json_t *json) {
        Row made = {text(json, "question"), text(json, "precision"), text(json, "product"),
                    text(json, "variant"), text(json, "verdict")};
        made.taken = json_is_true(json_object_get(json, "taken"));
        made.kernels = static_cast<int>(json_integer_value(json_object_get(json, "kernels")));
        made.plain_nodes =
            static_cast<int>(json_integer_value(json_object_get(json, "plain_nodes")));
        made.ms = real(json, "ms");
        made.plain_ms = real(json, "plain_ms");
        made.own_ms = real(json, "own_ms");
        made.alone_ms = real(json, "alone_ms");
        EXPECT_EQ(json_integer_value(json_object_get(json, "batch")), 20);
        EXPECT_EQ(json_integer_value(json_object_get(json, "inputs")), 24);
        EXPECT_TRUE(json_is_integer(json_object_get(json, "candidates")));
        return made;
    }
};

Report measured(std::vector<std::string> words) {
    words.insert(words.end(), {"--json", "-"});
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Report(outcome.out);
}

/// Product and variant of every row of one layer.
const std::vector<std::pair<std::string, std::string>> all_rows = {
    {"forward", "plain"},
    {"forward", "BIAS"},
    {"forward", "RELU_BIAS"},
    {"forward", "GELU_BIAS"},
    {"forward", "GELU_AUX_BIAS"},
    {"data gradient", "plain"},
    {"data gradient", "DGELU"},
    {"data gradient", "DGELU_BGRAD"},
    {"weight gradient", "plain"},
    {"weight gradient", "BGRADB"},
    {"weight gradient", "host, beta 0"},
    {"weight gradient", "host, beta 1"},
    {"weight gradient", "device, beta 0"},
    {"weight gradient", "device, beta 1"},
    {"both gradients", "side by side"},
    {"data gradient", "0 left to the update"},
    {"data gradient", "4 left to the update"},
    {"data gradient", "8 left to the update"},
    {"data gradient", "16 left to the update"},
    {"data gradient", "32 left to the update"},
};

/// As the emulation has it at first.
double usual(int algorithm) {
    return algorithm == 1 ? 1 : algorithm == 2 ? 0.5 : 2;
}

/// CUDA gives milliseconds in fp32: below 1, half of 2⁻²⁴ off at most; a sum of some, with differences.
constexpr double fp32_ms = 0x1p-22;

class ProbeTest : public Test {};

// Of the emulation's algorithms the second is the fastest: 0.5 ms and one node; a kernel takes 0.01.
TEST_F(ProbeTest, EveryQuestionIsAnsweredInEveryPrecision) {
    const Report report = measured({"--shape", "20x24x16"});
    EXPECT_TRUE(report.complete);
    EXPECT_EQ(report.rows.size(), 4 * all_rows.size());
    for (const char *precision : {"bf16", "tf32", "fp16", "fp32"})
        for (const auto &[product, variant] : all_rows) {
            SCOPED_TRACE(precision + (" " + product) + " " + variant);
            const Row &row = report.at(precision, product, variant);
            EXPECT_TRUE(row.taken);
            if (row.question != "epilogue" && row.question != "scalars") continue;
            EXPECT_EQ(row.kernels, 1);
            EXPECT_EQ(row.plain_nodes, 1);
            EXPECT_EQ(row.verdict, "one pass");
            EXPECT_NEAR(row.ms, 0.5, fp32_ms);
            EXPECT_NEAR(row.plain_ms, 0.5, fp32_ms);
        }
    // Our own way is the product and one kernel, and with a bias gradient one more that adds up.
    EXPECT_NEAR(report.at("bf16", "forward", "RELU_BIAS").own_ms, 0.51, fp32_ms);
    EXPECT_NEAR(report.at("bf16", "data gradient", "DGELU").own_ms, 0.51, fp32_ms);
    EXPECT_NEAR(report.at("bf16", "data gradient", "DGELU_BGRAD").own_ms, 0.52, fp32_ms);
    EXPECT_TRUE(std::isnan(report.at("bf16", "weight gradient", "BGRADB").own_ms));
}

// Independent work takes no time of its own on the emulated CUDA.
TEST_F(ProbeTest, TwoThingsAtATimeAreTimedBesideOneAfterTheOther) {
    const Report report = measured({"--shape", "20x24x16", "--precision", "fp32"});
    const Row &pair = report.at("fp32", "both gradients", "side by side");
    EXPECT_NEAR(pair.plain_ms, 1.0, fp32_ms);
    EXPECT_NEAR(pair.ms, 0.5, fp32_ms);
    EXPECT_EQ(pair.kernels, 2);
    EXPECT_EQ(pair.verdict, "pays");
    const Row &update = report.at("fp32", "data gradient", "8 left to the update");
    EXPECT_NEAR(update.plain_ms, 0.51, fp32_ms);
    EXPECT_NEAR(update.ms, 0.5, fp32_ms);
    EXPECT_NEAR(update.alone_ms, 0.5, fp32_ms);
    EXPECT_EQ(update.kernels, 2);
    EXPECT_EQ(update.plain_nodes, 2);
}

TEST_F(ProbeTest, ProductsAreAskedForAsTheRowSays) {
    std::map<int, std::set<int>> seen; // multiprocessors and scalars, by epilogue
    set_times([&](const dki_product &p, int algorithm) {
        seen[p.epilogue].insert(p.accumulate == DKI_OVERWRITE ? static_cast<int>(p.processors)
                                                              : -p.accumulate);
        return usual(algorithm);
    });
    measured({"--shape", "20x24x16", "--precision", "bf16"});
    EXPECT_EQ(seen.size(), static_cast<size_t>(DKI_EPILOGUE_COUNT)) << "every epilogue";
    EXPECT_EQ(seen[DKI_EPILOGUE_NONE], (std::set<int>{-2, -1, 0, 100, 116, 124, 128}));
    EXPECT_EQ(seen[DKI_EPILOGUE_BIAS], (std::set<int>{0}));
}

// The third algorithm leaves two nodes: what a second pass looks like.
TEST_F(ProbeTest, ASecondPassIsSeenByItsNodes) {
    set_times([](const dki_product &p, int algorithm) {
        return p.epilogue == DKI_EPILOGUE_DGELU && algorithm == 3 ? 0.25 : usual(algorithm);
    });
    const Report report = measured({"--shape", "20x24x16", "--only", "epilogue"});
    EXPECT_EQ(report.rows.size(), 4u * 10);
    const Row &row = report.at("bf16", "data gradient", "DGELU");
    EXPECT_EQ(row.kernels, 2);
    EXPECT_EQ(row.verdict, "second pass");
    EXPECT_NEAR(row.ms, 0.25, fp32_ms);
    EXPECT_EQ(report.at("bf16", "data gradient", "DGELU_BGRAD").verdict, "one pass");
}

// Our own way needs nothing of the library's, and is measured all the same.
TEST_F(ProbeTest, WhatTheLibraryLacksIsSaid) {
    set_algorithms([](const dki_product &p) { return p.epilogue == DKI_EPILOGUE_DGELU ? 0 : 3; });
    const Report report = measured({"--shape", "20x24x12", "--precision", "fp32"});
    for (const char *variant : {"DGELU", "DGELU_BGRAD", "GELU_AUX_BIAS"}) {
        SCOPED_TRACE(variant);
        const bool forward = variant == std::string("GELU_AUX_BIAS");
        const Row &row = report.at("fp32", forward ? "forward" : "data gradient", variant);
        // Backward z has 24 columns, forward 12, which isn't a multiple of 8.
        EXPECT_EQ(row.taken, variant == std::string("DGELU_BGRAD"));
        EXPECT_EQ(row.verdict, row.taken ? "one pass" : "not there");
        EXPECT_EQ(std::isnan(row.ms), !row.taken);
        EXPECT_FALSE(std::isnan(row.own_ms));
    }
}

TEST_F(ProbeTest, PeopleGetATableAndTheFileTheSameRows) {
    const std::string path = testing::TempDir() + "deltak-probe.json";
    const Outcome outcome =
        run({"--shape", "20x24x16", "--precision", "bf16", "--only", "scalars", "--json", path});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 3 + 4) << outcome.out;
    EXPECT_NE(outcome.out.find("emulated CUDA"), std::string::npos);
    EXPECT_NE(outcome.out.find("device, beta 1"), std::string::npos);
    FILE *file = fopen(path.c_str(), "r");
    ASSERT_NE(file, nullptr);
    std::string text(1 << 16, '\0');
    text.resize(fread(text.data(), 1, text.size(), file));
    fclose(file);
    remove(path.c_str());
    EXPECT_EQ(Report(text).rows.size(), 4u);
}

TEST_F(ProbeTest, NoLayerIsBegunPastTheBudget) {
    const Outcome outcome = run({"--shape", "20x24x16", "--budget", "1e-9", "--json", "-"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.err.find("not all layers"), std::string::npos);
    const Report report(outcome.out);
    EXPECT_FALSE(report.complete);
    EXPECT_TRUE(report.rows.empty());
}

TEST_F(ProbeTest, AFailureEndsItWithWhatWasMeasured) {
    measured({"--shape", "20x24x16", "--precision", "bf16"});
    const long all = calls();
    fail_at(all / 2, DK_E_DEVICE_LOST);
    const Outcome outcome = run({"--shape", "20x24x16", "--precision", "bf16", "--json", "-"});
    EXPECT_EQ(outcome.code, 1);
    EXPECT_NE(outcome.err.find("lost"), std::string::npos) << outcome.err;
    const Report report(outcome.out);
    EXPECT_FALSE(report.rows.empty());
    EXPECT_LT(report.rows.size(), all_rows.size());
}

TEST_F(ProbeTest, WithoutAGpuItSaysSo) {
    set_driver(cudaErrorNoDevice, 13000);
    const Outcome outcome = run({"--json", "-"});
    EXPECT_EQ(outcome.code, 77);
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find("shows no GPU to this process"), std::string::npos) << outcome.err;
}

} // namespace
} // namespace emulated
