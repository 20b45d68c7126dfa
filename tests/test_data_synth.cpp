#include "support_context.h"

extern "C" {
#include "data/dataset.h"
#include "kernels/philox.h"
#include "kernels/scalar.h"
}

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace {

struct Read {
    dk_dataset_info info;
    std::vector<float> x, targets;
    std::vector<int32_t> labels;
};

struct Synth : ::testing::Test {
    support::BareContext context;

    Read open(const char *source, const dk_data_options &options) {
        Read read{};
        dk_dataset *set = nullptr;
        EXPECT_EQ(dk_dataset_open(&set, context.get(), source, &options), DK_OK) << dk_error_text();
        if (!set) return read;
        EXPECT_EQ(dk_dataset_describe(set, &read.info), DK_OK);
        const dk_dataset_info &info = read.info;
        read.x.resize(info.rows * info.features);
        if (info.task == DK_TASK_CLASSIFICATION) read.labels.resize(info.rows);
        if (info.task == DK_TASK_REGRESSION) read.targets.resize(info.rows * info.targets);
        EXPECT_EQ(dk_dataset_read(set, 0, info.rows, read.x.data(),
                                  read.labels.empty() ? nullptr : read.labels.data(),
                                  read.targets.empty() ? nullptr : read.targets.data()),
                  DK_OK);
        dk_dataset_destroy(set);
        return read;
    }
};

TEST_F(Synth, SpiralsLieOnTheirArms) {
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    const Read set = open("synth:spirals", options);
    EXPECT_EQ(set.info.rows, 3000);
    EXPECT_EQ(set.info.features, 2);
    EXPECT_EQ(set.info.targets, 3);
    EXPECT_EQ(set.info.task, DK_TASK_CLASSIFICATION);
    const double pi = std::acos(-1.0);
    double squares = 0;
    for (int64_t i = 0; i < 3000; ++i) {
        EXPECT_EQ(set.labels[i], i % 3);
        // The documented curve, with the C library's functions.
        const double r =
            (dki_random_word(1, DKI_FOR_SYNTH, 0, 0, static_cast<uint32_t>(i), 0) + 0.5) *
            std::pow(2, -32);
        const double phi = 2 * pi * (r + static_cast<double>(i % 3) / 3);
        const double dx = set.x[2 * i] - r * std::cos(phi);
        const double dy = set.x[2 * i + 1] - r * std::sin(phi);
        squares += dx * dx + dy * dy;
        ASSERT_LT(std::hypot(dx, dy), 8 * 0.1 / 3) << i;
    }
    // The mean square of 6,000 normals of σ = 0.1/3: its own σ is √(2/6000) of it.
    const double variance = 0.01 / 9;
    EXPECT_NEAR(squares / 6000, variance, 5 * variance * std::sqrt(2.0 / 6000));
}

TEST_F(Synth, SmallerSetsAreTheBeginningOfLargerOnes) {
    for (const char *source : {"synth:spirals", "synth:teacher"}) {
        dk_data_options options = DK_DATA_OPTIONS_INIT;
        options.rows = 100;
        const Read small = open(source, options);
        options.rows = 1000;
        const Read large = open(source, options);
        ASSERT_EQ(small.info.rows, 100);
        ASSERT_EQ(large.info.rows, 1000);
        EXPECT_TRUE(std::equal(small.x.begin(), small.x.end(), large.x.begin()));
        EXPECT_TRUE(std::equal(small.targets.begin(), small.targets.end(), large.targets.begin()));
        options.seed = 2;
        EXPECT_NE(open(source, options).x, large.x);
        options.seed = 1;
        EXPECT_EQ(open(source, options).x, large.x);
    }
}

// The teacher again, in plain double loops from the documented draws.
TEST_F(Synth, TheTeacherIsATwoLayerTanhNetwork) {
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.rows = 50;
    options.features = 7;
    options.targets = 3;
    options.seed = 9;
    const Read set = open("synth:teacher", options);
    ASSERT_EQ(set.info.task, DK_TASK_REGRESSION);
    ASSERT_EQ(set.info.features, 7);
    ASSERT_EQ(set.info.targets, 3);
    const auto draw = [](uint32_t layer, uint32_t row, uint64_t column) {
        return static_cast<double>(
            dki_normal(dki_random_word(9, DKI_FOR_SYNTH, layer, 0, row, column)));
    };
    for (uint32_t i = 0; i < 50; ++i)
        for (uint32_t t = 0; t < 3; ++t) {
            double y = 0;
            for (uint32_t h = 0; h < 64; ++h) {
                double z = draw(2, 0, h);
                for (uint32_t j = 0; j < 7; ++j) {
                    EXPECT_EQ(set.x[i * 7 + j], static_cast<float>(draw(0, i, j)));
                    z += draw(2, j + 1, h) / std::sqrt(7.0) * set.x[i * 7 + j];
                }
                y += draw(3, t, h) / 8 * std::tanh(z);
            }
            // 64 terms of about 1/8, each off by a few roundings to float.
            EXPECT_NEAR(set.targets[i * 3 + t], y, 64 * 8 * 0x1p-24) << i << " " << t;
        }
}

TEST_F(Synth, TheInputsAreStandardNormal) {
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    const Read set = open("synth:teacher", options);
    ASSERT_EQ(set.x.size(), 160000u);
    ASSERT_EQ(set.targets.size(), 10000u);
    double sum = 0, squares = 0;
    for (float x : set.x) sum += x, squares += static_cast<double>(x) * x;
    EXPECT_NEAR(sum / 160000, 0, 5 / std::sqrt(160000.0));
    EXPECT_NEAR(squares / 160000, 1, 5 * std::sqrt(2.0 / 160000));
}

// Fails when a change of the generator or of a compiler flag changes what a seed means.
TEST_F(Synth, BitsArePinned) {
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.rows = 300;
    uint32_t hash = 2166136261u; // FNV-1a over the bits
    for (const char *source : {"synth:spirals", "synth:teacher"})
        for (float value : open(source, options).x) hash = (hash ^ dki_bits(value)) * 16777619u;
    EXPECT_EQ(hash, 479373306u);
}

TEST_F(Synth, RefusesWhatItDoesNotHave) {
    struct Case {
        const char *source;
        dk_task task;
        int64_t features, targets;
        dk_part part;
        dk_status status;
        const char *text;
    };
    const Case cases[] = {
        {"synth:spirals", DK_TASK_AUTO, 3, 0, DK_PART_TRAIN, DK_E_ARGUMENT, "2 features"},
        {"synth:spirals", DK_TASK_AUTO, 0, 1001, DK_PART_TRAIN, DK_E_ARGUMENT, "at most 1000"},
        {"synth:spirals", DK_TASK_REGRESSION, 0, 0, DK_PART_TRAIN, DK_E_ARGUMENT, "classes"},
        {"synth:teacher", DK_TASK_CLASSIFICATION, 0, 0, DK_PART_TRAIN, DK_E_ARGUMENT, "numbers"},
        {"synth:teacher", DK_TASK_AUTO, -1, 0, DK_PART_TRAIN, DK_E_ARGUMENT, "negative"},
        {"synth:teacher", DK_TASK_AUTO, 0, 0, DK_PART_TEST, DK_E_STATE, "no test part"},
        {"synth:teacher", DK_TASK_AUTO, INT32_MAX, 0, DK_PART_TRAIN, DK_E_MEMORY, "memory"},
        {"synth:teacher", DK_TASK_AUTO, int64_t{1} << 40, 0, DK_PART_TRAIN, DK_E_SHAPE, "at most"},
    };
    for (const Case &c : cases) {
        dk_data_options options = DK_DATA_OPTIONS_INIT;
        options.task = c.task;
        options.features = c.features;
        options.targets = c.targets;
        options.part = c.part;
        if (c.status == DK_E_MEMORY) options.rows = INT32_MAX;
        dk_dataset *set = nullptr;
        EXPECT_EQ(dk_dataset_open(&set, context.get(), c.source, &options), c.status) << c.text;
        EXPECT_EQ(set, nullptr);
        EXPECT_NE(std::string(dk_error_text()).find(c.text), std::string::npos) << dk_error_text();
    }
}

TEST_F(Synth, FeaturesAloneWhereNoLabelsAreWanted) {
    for (const char *source : {"synth:spirals", "synth:teacher"}) {
        dk_data_options options = DK_DATA_OPTIONS_INIT;
        options.task = DK_TASK_NONE;
        const Read set = open(source, options);
        EXPECT_EQ(set.info.task, DK_TASK_NONE);
        EXPECT_EQ(set.info.targets, 0);
    }
}

} // namespace
