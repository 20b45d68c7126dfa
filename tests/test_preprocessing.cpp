// What a network learns of a data set: its shape, its preprocessing, its class names.
#include "support.h"
#include "support_net.h"

#include <cmath>

namespace {

using support::Description;
using support::layer;
using support::normal;

// ---- made for a data set -----------------------------------------------------------------------

TEST(NetCreateFor, FollowsFromTheData) {
    support::Context context = support::open_context();
    support::Dataset classes = support::synth(context.get(), "synth:spirals", 50, 1, 0, 4);
    support::Net net = support::net_for(classes.get(), {5, 6}, DK_MISH, 77);
    dk_net_desc desc;
    ASSERT_EQ(dk_net_describe(net.get(), &desc), DK_OK);
    EXPECT_EQ(desc.inputs, 2);
    EXPECT_EQ(desc.seed, 77u);
    EXPECT_EQ(desc.loss, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    ASSERT_EQ(desc.layer_count, 3u);
    EXPECT_EQ(desc.layers[0].width, 5);
    EXPECT_EQ(desc.layers[1].activation, DK_MISH);
    EXPECT_EQ(desc.layers[2].width, 4);
    EXPECT_EQ(desc.layers[2].activation, DK_IDENTITY);
    for (int64_t c = 0; c < 4; ++c)
        EXPECT_STREQ(dk_net_class_name(net.get(), c), dk_dataset_class_name(classes.get(), c));
    EXPECT_EQ(dk_net_class_name(net.get(), 4), nullptr);
    EXPECT_EQ(dk_net_class_name(net.get(), -1), nullptr);

    support::Dataset numbers = support::synth(context.get(), "synth:teacher", 50, 1, 3, 2);
    net = support::net_for(numbers.get(), {});
    ASSERT_EQ(dk_net_describe(net.get(), &desc), DK_OK);
    EXPECT_EQ(desc.loss, DK_LOSS_MSE);
    ASSERT_EQ(desc.layer_count, 1u);
    EXPECT_EQ(desc.layers[0].width, 2);
    EXPECT_EQ(dk_net_class_name(net.get(), 0), nullptr);
}

TEST(NetCreateFor, RefusesWhatItCannotMake) {
    support::Context context = support::open_context();
    support::Dataset data = support::synth(context.get(), "synth:spirals", 50);
    dk_net *net = reinterpret_cast<dk_net *>(16);
    auto status = [&](const dk_dataset *set, const int64_t *hidden, size_t count) {
        dk_status result = dk_net_create_for(&net, set, hidden, count, DK_RELU, 1);
        EXPECT_EQ(net, nullptr);
        return result;
    };
    std::vector<int64_t> hidden(1024, 1);
    EXPECT_EQ(status(data.get(), hidden.data(), 1024), DK_E_ARGUMENT);
    support::expect_error_names("1024 hidden layers");
    EXPECT_EQ(status(data.get(), nullptr, 1), DK_E_ARGUMENT);
    EXPECT_EQ(status(nullptr, hidden.data(), 1), DK_E_ARGUMENT);
    hidden[1] = 0;
    EXPECT_EQ(status(data.get(), hidden.data(), 2), DK_E_ARGUMENT);
    support::expect_error_names("layer 2: width 0");
    support::Arrays arrays;
    arrays.features = 2;
    arrays.x = {1, 2, 3, 4};
    support::Dataset unlabelled = arrays.open(context.get());
    EXPECT_EQ(status(unlabelled.get(), hidden.data(), 1), DK_E_STATE);
    EXPECT_EQ(dk_net_create_for(nullptr, data.get(), nullptr, 0, DK_RELU, 1), DK_E_ARGUMENT);
}

// ---- preprocessing -----------------------------------------------------------------------------

TEST(NetPreprocessing, StandardisesByMeanAndPopulationDeviation) {
    support::Context context = support::open_context();
    support::Arrays arrays;
    arrays.features = 2;
    arrays.target_count = 2;
    arrays.x = normal(2 * 101, 3);
    arrays.targets = normal(2 * 101, 4);
    for (size_t i = 0; i < 101; ++i) {
        arrays.x[2 * i] = 1000 + 3 * arrays.x[2 * i];
        arrays.x[2 * i + 1] = 5; // constant
    }
    support::Dataset data = arrays.open(context.get());
    support::Net net = support::net_for(data.get(), {});
    dk_preprocessing p;
    ASSERT_EQ(dk_net_preprocessing(net.get(), &p), DK_OK);
    auto check = [](const std::vector<float> &values, size_t column, double shift, float scale) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < 101; ++i) mean += values[2 * i + column] / 101.0;
        for (size_t i = 0; i < 101; ++i)
            square += (values[2 * i + column] - mean) * (values[2 * i + column] - mean) / 101.0;
        // the two double sums differ by 101·2⁻⁵² at most, which can move a rounding to fp32 by one
        // ulp; this allows four
        EXPECT_FLOAT_EQ(static_cast<float>(shift), static_cast<float>(mean));
        EXPECT_FLOAT_EQ(scale, static_cast<float>(1 / std::sqrt(square)));
    };
    check(arrays.x, 0, p.feature_shift[0], p.feature_scale[0]);
    EXPECT_EQ(p.feature_shift[1], 5.0);
    EXPECT_EQ(p.feature_scale[1], 1.0f);
    for (size_t j = 0; j < 2; ++j) check(arrays.targets, j, p.target_shift[j], p.target_scale[j]);
    EXPECT_EQ(dk_net_preprocessing(nullptr, &p), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_preprocessing(net.get(), nullptr), DK_E_ARGUMENT);
}

// A column far from 0 and close together, such as seconds since 1970: fp32 can't hold its mean (it
// is off by up to 64 here, ten times the deviation), so the shift must stay a double all the way.
TEST(NetPreprocessing, AFarColumnIsCentred) {
    support::Context context = support::open_context();
    std::vector<double> x;
    for (int i = 0; i < 100; ++i) x.push_back(1.7e9 + i % 20);
    std::vector<int32_t> labels(100);
    for (int i = 0; i < 100; ++i) labels[i] = i % 20 >= 10;
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = 100;
    arrays.features = 1;
    arrays.x = x.data();
    arrays.x_type = DK_F64;
    arrays.labels = labels.data();
    arrays.classes = 2;
    const support::Dataset data = support::from_arrays(context.get(), arrays);
    // One linear layer with W = (1, −1): the outputs are the standardised column and its negative.
    support::Net net = support::net_for(data.get(), {});
    const float w[] = {1, -1};
    ASSERT_EQ(dk_net_set(net.get(), DK_WEIGHT, 1, w, 2), DK_OK);
    dk_metrics metrics;
    ASSERT_EQ(dk_evaluate(net.get(), data.get(), 0, &metrics), DK_OK) << dk_error_text();
    EXPECT_EQ(metrics.accuracy, 0.0); // every x below the mean is class 0, whose logit is negative
}

TEST(NetPreprocessing, DividesImagesBy255) {
    support::Context context = support::open_context();
    const uint8_t pixels[6] = {0, 255, 7, 9, 1, 2};
    const int32_t labels[2] = {1, 0};
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = 2;
    arrays.features = 3;
    arrays.x = pixels;
    arrays.x_type = DK_U8;
    arrays.labels = labels;
    arrays.classes = 2;
    support::Dataset data = support::from_arrays(context.get(), arrays);
    support::Net net = support::net_for(data.get(), {});
    dk_preprocessing p;
    ASSERT_EQ(dk_net_preprocessing(net.get(), &p), DK_OK);
    for (int j = 0; j < 3; ++j) {
        EXPECT_EQ(p.feature_shift[j], 0.0);
        EXPECT_EQ(p.feature_scale[j], 1.0f / 255);
    }
    EXPECT_EQ(p.target_scale, nullptr);
    EXPECT_EQ(p.target_shift, nullptr);
}

TEST(NetPreprocessing, LeavesTheTargetsOfSigmoidCrossEntropyAlone) {
    support::Context context = support::open_context();
    support::Arrays arrays;
    arrays.features = 1;
    arrays.target_count = 1;
    arrays.x = {1, 2, 3};
    arrays.targets = {0.25f, 0.5f, 1}; // probabilities: standardised ones would be none
    support::Dataset data = arrays.open(context.get());
    support::Net net = support::net(
        context.get(), Description(1, {layer(1, DK_IDENTITY)}, DK_LOSS_SIGMOID_CROSS_ENTROPY));
    ASSERT_EQ(dk_net_learn_preprocessing(net.get(), data.get()), DK_OK) << dk_error_text();
    dk_preprocessing p;
    ASSERT_EQ(dk_net_preprocessing(net.get(), &p), DK_OK);
    EXPECT_NE(p.feature_scale, nullptr);
    EXPECT_EQ(p.target_scale, nullptr);
    for (float y : support::predictions(net.get(), data.get())) EXPECT_TRUE(y > 0 && y < 1) << y;
}

TEST(NetPreprocessing, RefusesColumnsOutsideOfFp32AndKeepsWhatItHad) {
    support::Context context = support::open_context();
    const int32_t labels[2] = {0, 1};
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = 2;
    arrays.features = 2;
    arrays.x_type = DK_F64;
    arrays.labels = labels;
    arrays.classes = 2;
    auto open = [&](const double *x) {
        arrays.x = x;
        return support::from_arrays(context.get(), arrays);
    };
    const double fine[4] = {1, 2, 3, 4}, large[4] = {1, 1e300, 3, -1e299},
                 dense[4] = {1, 0, 3, 1e-45};
    support::Dataset data = open(fine);
    support::Net net = support::net_for(data.get(), {});
    dk_preprocessing before, after;
    ASSERT_EQ(dk_net_preprocessing(net.get(), &before), DK_OK);
    for (const double *bad : {large, dense}) {
        EXPECT_EQ(dk_net_learn_preprocessing(net.get(), open(bad).get()), DK_E_NONFINITE);
        support::expect_error_names("feature 1 (from 0)");
    }
    ASSERT_EQ(dk_net_preprocessing(net.get(), &after), DK_OK);
    EXPECT_EQ(before.feature_shift, after.feature_shift);
    EXPECT_EQ(before.feature_scale, after.feature_scale);
}

TEST(NetPreprocessing, RefusesSetsThatDoNotFit) {
    support::Context context = support::open_context();
    support::Dataset data = support::synth(context.get(), "synth:spirals", 50);
    support::Dataset numbers = support::synth(context.get(), "synth:teacher", 50, 1, 2, 3);
    support::Net net = support::net_for(data.get(), {4});
    EXPECT_EQ(dk_net_learn_preprocessing(nullptr, data.get()), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_learn_preprocessing(net.get(), nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_learn_preprocessing(net.get(), numbers.get()), DK_E_SHAPE);
    support::Dataset wide = support::synth(context.get(), "synth:teacher", 50, 1, 7, 3);
    EXPECT_EQ(dk_net_learn_preprocessing(net.get(), wide.get()), DK_E_SHAPE);
    support::expect_error_names("7 features");
    support::Dataset more = support::synth(context.get(), "synth:spirals", 50, 1, 0, 5);
    EXPECT_EQ(dk_net_learn_preprocessing(net.get(), more.get()), DK_E_SHAPE);
    support::expect_error_names("5 classes");
    support::Arrays arrays;
    arrays.features = 2;
    arrays.x = {1, 2, 3, 4};
    EXPECT_EQ(dk_net_learn_preprocessing(net.get(), arrays.open(context.get()).get()), DK_E_STATE);
}

} // namespace
