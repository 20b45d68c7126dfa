// Numbers far from 0 and close together keep their digits on their way into a network and out of it;
// and equal numbers give equal networks, whatever holds them.
#include "support_data.h"
#include "support_net.h"

#include <cmath>
#include <functional>
#include <limits>

namespace {

using support::bytes_of;
using support::Folder;
using support::npy;

constexpr int64_t rows = 64, features = 3;

/// Whole numbers that floats hold; a fourth column for the targets.
int value(int64_t i, int64_t j) {
    return static_cast<int>((i * 7919 + j * 104729 + i * i * j) % 9973) + (j == 1 ? 16000000 : 0);
}

std::string shape(int64_t columns) {
    return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

template <class T> std::string matrix(const char *descr, bool fortran, int64_t columns) {
    std::vector<T> all;
    if (fortran)
        for (int64_t j = 0; j < columns; ++j)
            for (int64_t i = 0; i < rows; ++i) all.push_back(static_cast<T>(value(i, j)));
    else
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < columns; ++j) all.push_back(static_cast<T>(value(i, j)));
    return npy(descr, fortran, shape(columns), bytes_of(all));
}

/// IDX: type 0x0c is i32, 0x0d f32, 0x0e f64; big-endian.
template <class T> std::string idx(char type, int64_t first, int64_t columns) {
    std::string file = {0, 0, type, columns > 1 ? char{2} : char{1}};
    const auto put = [&](const void *bytes, size_t size) {
        for (size_t k = size; k-- > 0;) file += static_cast<const char *>(bytes)[k];
    };
    const auto count = static_cast<uint32_t>(rows), wide = static_cast<uint32_t>(columns);
    put(&count, 4);
    if (columns > 1) put(&wide, 4);
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = first; j < first + columns; ++j) {
            const T element = static_cast<T>(value(i, j));
            put(&element, sizeof element);
        }
    return file;
}

/// What a network has learnt of a set in two epochs, bit by bit.
struct Learnt {
    std::vector<double> shift;
    std::vector<float> scale;
    std::vector<uint32_t> parameters;
    bool operator==(const Learnt &other) const {
        return shift == other.shift && scale == other.scale && parameters == other.parameters;
    }
};

Learnt learn(dk_dataset *data) {
    const support::Net net = support::net_for(data, {5});
    const support::Trainer trainer = support::trainer(net.get());
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = 2;
    EXPECT_EQ(dk_trainer_fit(trainer.get(), data, nullptr, &fit, nullptr), DK_OK)
        << dk_error_text();
    dk_preprocessing p;
    EXPECT_EQ(dk_net_preprocessing(net.get(), &p), DK_OK);
    Learnt all{{p.feature_shift, p.feature_shift + features},
               {p.feature_scale, p.feature_scale + features},
               support::parameter_bits(net.get())};
    all.shift.push_back(*p.target_shift);
    all.scale.push_back(*p.target_scale);
    return all;
}

template <class T> Learnt of_arrays(dk_context *context, dk_dtype type) {
    std::vector<T> x;
    std::vector<float> y;
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < features; ++j) x.push_back(static_cast<T>(value(i, j)));
        y.push_back(static_cast<float>(value(i, features)));
    }
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = rows;
    arrays.features = features;
    arrays.x = x.data();
    arrays.x_type = type;
    arrays.targets = y.data();
    arrays.target_count = 1;
    return learn(support::from_arrays(context, arrays).get());
}

// Breaks if any reader, type or way to the device subtracts in other than double.
TEST(Precision, EqualNumbersGiveEqualNetworksFromEveryReader) {
    const support::Context context = support::open_context(2);
    const Folder folder;
    std::string table;
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j <= features; ++j)
            table += std::to_string(value(i, j)) + (j < features ? "," : "\n");
    dk_data_options numbers = DK_DATA_OPTIONS_INIT;
    numbers.task = DK_TASK_REGRESSION;
    const auto open = [&](const std::string &path) {
        return support::open(context.get(), path.c_str(), numbers);
    };
    const Learnt expected = learn(open(folder.write("t.csv", table)).get());
    for (bool fortran : {false, true})
        for (const auto &[descr, bytes] : std::vector<std::pair<std::string, std::string>>{
                 {"<f4", matrix<float>("<f4", fortran, features + 1)},
                 {"<f8", matrix<double>("<f8", fortran, features + 1)},
                 {"<i4", matrix<int32_t>("<i4", fortran, features + 1)},
                 {"<i8", matrix<int64_t>("<i8", fortran, features + 1)}})
            EXPECT_TRUE(learn(open(folder.write("t.npy", bytes)).get()) == expected)
                << descr << (fortran ? ", Fortran order" : "");
    EXPECT_TRUE(of_arrays<float>(context.get(), DK_F32) == expected);
    EXPECT_TRUE(of_arrays<double>(context.get(), DK_F64) == expected);
    EXPECT_TRUE(of_arrays<int32_t>(context.get(), DK_I32) == expected);
    EXPECT_TRUE(of_arrays<int64_t>(context.get(), DK_I64) == expected);
    const std::function<std::string(int64_t, int64_t)> idx_files[] = {
        [](int64_t first, int64_t columns) { return idx<int32_t>(0x0c, first, columns); },
        [](int64_t first, int64_t columns) { return idx<float>(0x0d, first, columns); },
        [](int64_t first, int64_t columns) { return idx<double>(0x0e, first, columns); }};
    for (const auto &file : idx_files) {
        folder.write("i-labels-idx1-ubyte", file(features, 1));
        EXPECT_TRUE(learn(open(folder.write("i-images-idx3-ubyte", file(0, features))).get()) ==
                    expected);
    }
}

// Seconds since 1970: a float's neighbours are 128 apart there.
constexpr double epoch = 1.7e9;

/// A set of one feature, and targets epoch + 0.25·i, from the caller's arrays or a file.
struct Times {
    std::vector<double> x, y;
    double sigma = 0;

    Times() {
        for (int64_t i = 0; i < rows; ++i) {
            x.push_back(epoch + static_cast<double>(i));
            y.push_back(epoch + 0.25 * static_cast<double>(i));
        }
        // Σ(i − (n−1)/2)²/n = (n² − 1)/12, and the step is 1/4
        sigma = 0.25 * std::sqrt((rows * rows - 1) / 12.0);
    }
    support::Dataset open(dk_context *context) const {
        dk_arrays arrays = DK_ARRAYS_INIT;
        arrays.rows = rows;
        arrays.features = 1;
        arrays.x = x.data();
        arrays.x_type = DK_F64;
        arrays.targets_f64 = y.data();
        arrays.target_count = 1;
        return support::from_arrays(context, arrays);
    }
};

/// A network that predicts 0 in its own units: the mean.
support::Net constant(dk_dataset *data) {
    support::Net net = support::net_for(data, {});
    const float zero = 0;
    EXPECT_EQ(dk_net_set(net.get(), DK_WEIGHT, 1, &zero, 1), DK_OK);
    return net;
}

// The error of the mean is the standard deviation, to the rounding of each y′ (u = 2⁻²⁴), of 1/σ and
// of what is left of them: less than 8u.
TEST(Precision, TargetsFarFromZeroAreCentredBeforeTheyAreFloats) {
    const support::Context context = support::open_context(1);
    const Times times;
    const double mean = epoch + 0.25 * (rows - 1) / 2.0; // exact
    const Folder folder;
    std::string table;
    for (int64_t i = 0; i < rows; ++i) {
        char line[64];
        snprintf(line, sizeof line, "%.2f,%.2f\n", times.x[static_cast<size_t>(i)],
                 times.y[static_cast<size_t>(i)]);
        table += line;
    }
    folder.write("x.npy", npy("<f8", false, shape(1), bytes_of(times.x)));
    folder.write("y.npy", npy("<f8", false, shape(1), bytes_of(times.y)));
    dk_data_options numbers = DK_DATA_OPTIONS_INIT;
    numbers.task = DK_TASK_REGRESSION;
    const support::Dataset sets[] = {
        times.open(context.get()),
        support::open(context.get(), folder.write("t.csv", table).c_str(), numbers),
        support::open(context.get(), folder.path().c_str(), numbers)};
    for (const support::Dataset &set : sets) {
        const support::Net net = constant(set.get());
        dk_preprocessing p;
        ASSERT_EQ(dk_net_preprocessing(net.get(), &p), DK_OK);
        EXPECT_EQ(*p.target_shift, mean);
        dk_metrics metrics;
        ASSERT_EQ(dk_evaluate(net.get(), set.get(), 0, &metrics), DK_OK) << dk_error_text();
        EXPECT_NEAR(metrics.rmse, times.sigma, 8 * 0x1p-24 * times.sigma);
        EXPECT_NEAR(metrics.r2, 0, 8 * 0x1p-24);
        std::vector<double> wide(rows);
        ASSERT_EQ(dk_predict_dataset_f64(net.get(), set.get(), wide.data()), DK_OK);
        EXPECT_EQ(wide, std::vector<double>(rows, mean));
        EXPECT_EQ(support::predictions(net.get(), set.get()),
                  std::vector<float>(rows, static_cast<float>(mean)));
    }
}

// What a float holds, the two ways to predict give alike; classes, too.
TEST(Precision, PredictionsInDoubleAreThoseInFloats) {
    const support::Context context = support::open_context(1);
    for (const char *name : {"synth:teacher", "synth:spirals"}) {
        const support::Dataset data = support::synth(context.get(), name, 3000, 1, 0, 3);
        const support::Net net = support::net_for(data.get(), {6});
        const std::vector<float> y = support::predictions(net.get(), data.get());
        std::vector<double> wide(y.size());
        ASSERT_EQ(dk_predict_dataset_f64(net.get(), data.get(), wide.data()), DK_OK);
        EXPECT_EQ(y, std::vector<float>(wide.begin(), wide.end()));
    }
    EXPECT_EQ(dk_predict_dataset_f64(nullptr, nullptr, nullptr), DK_E_ARGUMENT);
}

TEST(Precision, DoubleTargetsOfTheCallerAreLookedThrough) {
    const support::Context context = support::open_context(1);
    const double x[] = {1, 2};
    const float narrow[] = {1, 2};
    for (double bad : {std::nan(""), HUGE_VAL, 1e39}) {
        const double y[] = {1, bad};
        dk_arrays arrays = DK_ARRAYS_INIT;
        arrays.rows = 2;
        arrays.features = 1;
        arrays.x = x;
        arrays.x_type = DK_F64;
        arrays.targets_f64 = y;
        dk_dataset *none = nullptr;
        EXPECT_EQ(dk_dataset_from_arrays(&none, context.get(), &arrays), DK_E_SHAPE);
        arrays.target_count = 1;
        EXPECT_EQ(dk_dataset_from_arrays(&none, context.get(), &arrays), DK_E_NONFINITE);
        EXPECT_NE(std::string(dk_error_text()).find("target 0 of row 1"), std::string::npos);
        arrays.targets = narrow;
        EXPECT_EQ(dk_dataset_from_arrays(&none, context.get(), &arrays), DK_E_ARGUMENT);
    }
}

// A target that is constant but for its last bit has no spread that a network could explain.
TEST(Precision, NearlyConstantTargetsHaveNoR2) {
    const support::Context context = support::open_context(1);
    Times times;
    for (size_t i = 0; i < times.y.size(); ++i) times.y[i] = i % 2 ? 0.3 : 0.1 + 0.2;
    const support::Dataset set = times.open(context.get());
    const support::Net net = constant(set.get());
    dk_metrics metrics;
    ASSERT_EQ(dk_evaluate(net.get(), set.get(), 0, &metrics), DK_OK) << dk_error_text();
    EXPECT_TRUE(std::isnan(metrics.r2)) << metrics.r2;
    EXPECT_LE(metrics.rmse, 0.3 * std::numeric_limits<double>::epsilon());
}

} // namespace
