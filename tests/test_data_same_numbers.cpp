// Equal numbers give equal results, whatever type and file they come from; numbers far from zero keep
// their differences; columns that are constant but for rounding are constant.
#include "support.h"
#include "support_data.h"
#include "support_net.h"

#include <cmath>
#include <string>
#include <vector>

namespace {

constexpr int64_t ROWS = 60, COLUMNS = 3;

/// Numbers that every one of the types holds, far from zero and not at all centred.
int64_t number(int64_t i, int64_t j) {
    return (int64_t{1} << 22) * j + 3 * ((i * 37 + j * 11) % 101);
}

template <class T> std::vector<T> features() {
    std::vector<T> values;
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLUMNS; j++) values.push_back(static_cast<T>(number(i, j)));
    return values;
}

/// A target that a float holds, 10⁶ ± some.
float target(int64_t i) {
    return 1e6f + 0.25f * static_cast<float>(i * 29 % 64);
}

std::vector<uint32_t> bits_after_training(const support::Dataset &set) {
    const support::Net net = support::net_for(set.get(), {7});
    const support::Trainer trainer = support::trainer(net.get(), DK_TRAIN_OPTIONS_INIT);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 2;
    EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), set.get(), nullptr, &fit, nullptr))
        << dk_error_text();
    return support::parameter_bits(net.get());
}

template <class T>
std::vector<uint32_t> of_arrays(dk_context *context, dk_dtype type, const std::vector<float> &y) {
    const std::vector<T> x = features<T>();
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = ROWS;
    arrays.features = COLUMNS;
    arrays.x = x.data();
    arrays.x_type = type;
    arrays.targets = y.data();
    arrays.target_count = 1;
    dk_dataset *made = nullptr;
    EXPECT_EQ(DK_OK, dk_dataset_from_arrays(&made, context, &arrays)) << dk_error_text();
    const support::Dataset set(made);
    return bits_after_training(set);
}

/// y[i] = a + b·x[i] of 200 rows, as a table.
support::Dataset line(dk_context *context, const support::Folder &folder, double a, double b,
                      const std::string &column = "") {
    std::string text = "x,c,y\n";
    for (int i = 0; i < 200; i++) {
        char row[128];
        const double x = std::sin(i);
        snprintf(row, sizeof row, "%.17g,%s,%.17g\n", x,
                 column.empty() ? "0" : (i % 2 ? column.c_str() : "0.3"), a + b * x);
        text += row;
    }
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.task = DK_TASK_REGRESSION;
    return support::open(context, folder.write("line.csv", text).c_str(), options);
}

} // namespace

// Breaks where a type is centred in other arithmetic than another one.
TEST(SameNumbers, GiveTheSameBitsFromEveryReader) {
    const support::Context context = support::open_context(1);
    const support::Folder folder;
    std::vector<float> y;
    std::string text;
    for (int64_t i = 0; i < ROWS; i++) {
        y.push_back(target(i));
        for (int64_t j = 0; j < COLUMNS; j++) text += std::to_string(number(i, j)) + ",";
        text += std::to_string(static_cast<double>(y.back())) + "\n"; // two binary digits: exact
    }
    const std::vector<uint32_t> expected = of_arrays<double>(context.get(), DK_F64, y);
    EXPECT_EQ(expected, of_arrays<float>(context.get(), DK_F32, y));
    EXPECT_EQ(expected, of_arrays<int32_t>(context.get(), DK_I32, y));
    EXPECT_EQ(expected, of_arrays<int64_t>(context.get(), DK_I64, y));
    EXPECT_EQ(expected, bits_after_training(
                            support::open(context.get(), folder.write("t.csv", text).c_str())));
}

// Seconds since 1970 differ by less than floats do there: a target is centred as it is read.
TEST(SameNumbers, TargetsFarFromZeroAreLearnt) {
    const support::Context context = support::open_context(1);
    const support::Folder folder;
    const support::Dataset near = line(context.get(), folder, 0.0, 32.0);
    const support::Dataset far = line(context.get(), folder, 1717986918.0, 32.0);
    const auto r2 = [](const support::Dataset &set) {
        const support::Net net = support::net_for(set.get(), {16});
        dk_train_options options = DK_TRAIN_OPTIONS_INIT;
        options.lr = 0.01;
        options.batch = 20;
        const support::Trainer trainer = support::trainer(net.get(), options);
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.epochs = 60;
        EXPECT_EQ(DK_OK, dk_trainer_fit(trainer.get(), set.get(), nullptr, &fit, nullptr));
        dk_metrics metrics;
        EXPECT_EQ(DK_OK, dk_evaluate(net.get(), set.get(), 0, &metrics)) << dk_error_text();
        return metrics.r2;
    };
    // Floats are 128 apart there, and y spans 64: two values at most would be left of it.
    EXPECT_GT(r2(near), 0.9);
    EXPECT_GT(r2(far), 0.9);
}

// A column of 0.3 and 0.1 + 0.2 isn't a feature: its scale is 1, and not 10¹⁶.
TEST(SameNumbers, AColumnWithinItsRoundingIsConstant) {
    const support::Context context = support::open_context(1);
    const support::Folder folder;
    const auto scale = [&](const std::string &other) {
        const support::Dataset set = line(context.get(), folder, 0.0, 1.0, other);
        const support::Net net = support::net_for(set.get(), {2});
        dk_preprocessing learnt;
        EXPECT_EQ(DK_OK, dk_net_preprocessing(net.get(), &learnt));
        return learnt.feature_scale[1];
    };
    EXPECT_EQ(scale("0.30000000000000004"), 1.0f);
    EXPECT_EQ(scale("0.3"), 1.0f);
    EXPECT_GT(scale("0.3000000001"), 1e10f); // half the difference is σ
}
