#include "support_context.h"

extern "C" {
#include "data/dataset.h"
}

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

struct Statistics : ::testing::Test {
    support::BareContext context;

    template <class T>
    dk_dataset *make(const std::vector<T> &x, dk_dtype type, int64_t rows, int64_t features,
                     const std::vector<float> &targets = {}) {
        dk_arrays arrays = DK_ARRAYS_INIT;
        arrays.rows = rows;
        arrays.features = features;
        arrays.x = x.data();
        arrays.x_type = type;
        if (!targets.empty()) {
            arrays.targets = targets.data();
            arrays.target_count = static_cast<int64_t>(targets.size()) / rows;
        }
        dk_dataset *set = nullptr;
        EXPECT_EQ(dk_dataset_from_arrays(&set, context.get(), &arrays), DK_OK) << dk_error_text();
        return set;
    }
};

struct Moments {
    long double mean, sigma;
};

// Plain loops in extended precision: the textbook's definition.
template <class T>
Moments plain(const std::vector<T> &x, int64_t rows, int64_t features, int64_t j) {
    long double sum = 0, squares = 0;
    for (int64_t i = 0; i < rows; ++i) sum += x[i * features + j];
    const long double mean = sum / rows;
    for (int64_t i = 0; i < rows; ++i) {
        const long double d = x[i * features + j] - mean;
        squares += d * d;
    }
    return {mean, std::sqrt(squares / rows)};
}

// Bounds: the mean's error is that of Σd over n terms of size |d|, u·n·max|d|, plus one rounding of
// the mean; σ² is a sum of n non-negative terms, of relative error (n + 4)u, σ of half that.
template <class T>
void compare(const dk_dataset *set, const std::vector<T> &x, int64_t rows, int64_t features) {
    std::vector<double> mean(features), sigma(features);
    ASSERT_EQ(dki_dataset_statistics(set, mean.data(), sigma.data(), nullptr, nullptr), DK_OK)
        << dk_error_text();
    const double u = std::numeric_limits<double>::epsilon() / 2;
    for (int64_t j = 0; j < features; ++j) {
        const Moments exact = plain(x, rows, features, j);
        double largest = 0;
        for (int64_t i = 0; i < rows; ++i)
            largest = std::max(largest, std::fabs(static_cast<double>(x[i * features + j]) -
                                                  static_cast<double>(exact.mean)));
        const auto m = static_cast<double>(exact.mean), s = static_cast<double>(exact.sigma);
        EXPECT_NEAR(mean[j], m, u * (rows * largest + 2 * std::fabs(m))) << j;
        EXPECT_NEAR(sigma[j], s, u * (rows + 8) * s + 4 * u * std::fabs(m) / rows) << j;
    }
}

TEST_F(Statistics, AgreeWithPlainLoopsForEveryType) {
    std::mt19937 random(3);
    for (int64_t rows : {2, 3, 31, 1025, 2049}) {
        const int64_t features = rows == 31 ? 1500 : 5;
        std::vector<float> f32(rows * features);
        std::vector<double> f64(rows * features);
        std::vector<uint8_t> u8(rows * features);
        std::vector<int32_t> i32(rows * features);
        std::vector<int64_t> i64(rows * features);
        std::normal_distribution<double> normal(1.5, 2);
        for (size_t k = 0; k < f32.size(); ++k) {
            f64[k] = normal(random);
            f32[k] = static_cast<float>(f64[k]);
            u8[k] = static_cast<uint8_t>(random());
            i32[k] = static_cast<int32_t>(random());
            i64[k] = i32[k] / 3;
        }
        dk_dataset *sets[] = {make(f32, DK_F32, rows, features), make(f64, DK_F64, rows, features),
                              make(u8, DK_U8, rows, features), make(i32, DK_I32, rows, features),
                              make(i64, DK_I64, rows, features)};
        compare(sets[0], f32, rows, features);
        compare(sets[1], f64, rows, features);
        compare(sets[2], u8, rows, features);
        compare(sets[3], i32, rows, features);
        compare(sets[4], i64, rows, features);
        for (dk_dataset *set : sets) dk_dataset_destroy(set);
    }
}

// Σx² − (Σx)²/n would leave nothing of σ here.
TEST_F(Statistics, KeepTheirDigitsAtAnOffsetOfABillion) {
    const int64_t rows = 1000;
    std::vector<double> x(rows);
    for (int64_t i = 0; i < rows; ++i) x[i] = 1e9 + static_cast<double>(i % 10) / 8;
    dk_dataset *set = make(x, DK_F64, rows, 1);
    double mean = 0, sigma = 0;
    ASSERT_EQ(dki_dataset_statistics(set, &mean, &sigma, nullptr, nullptr), DK_OK);
    EXPECT_EQ(mean, 1e9 + 4.5 / 8); // every sum is exact in double
    EXPECT_NEAR(sigma, std::sqrt(8.25) / 8, 1e-15);
    dk_dataset_destroy(set);
}

// 0.1 isn't a binary fraction: a mean by Σx/n is off by an ulp, and σ would be 1e-17, not 1.
TEST_F(Statistics, AConstantColumnHasSigmaOne) {
    const int64_t rows = 1234;
    std::vector<double> x(rows * 3);
    for (int64_t i = 0; i < rows; ++i)
        x[i * 3] = 0.1, x[i * 3 + 1] = -1e300, x[i * 3 + 2] = static_cast<double>(i);
    dk_dataset *set = make(x, DK_F64, rows, 3);
    double mean[3], sigma[3];
    ASSERT_EQ(dki_dataset_statistics(set, mean, sigma, nullptr, nullptr), DK_OK) << dk_error_text();
    EXPECT_EQ(mean[0], 0.1);
    EXPECT_EQ(sigma[0], 1.0);
    EXPECT_EQ(mean[1], -1e300);
    EXPECT_EQ(sigma[1], 1.0);
    EXPECT_GT(sigma[2], 300.0);
    dk_dataset_destroy(set);
}

// Two neighbouring numbers are one, rounded in two ways; a spread of 64 such steps, or of whole numbers,
// is a spread. Breaks if the step follows the type and not the numbers: floats stay floats as doubles.
TEST_F(Statistics, AColumnWithinRoundingIsConstant) {
    const int64_t rows = 400;
    const float near_float = std::nextafterf(0.3f, 1);
    const struct {
        double a, b;
        bool constant;
    } cases[] = {{0.1 + 0.2, 0.3, true},
                 {-0.3, std::nextafter(-0.3, 0), true},
                 {1e100, std::nextafter(1e100, 0), true},
                 {1e18 + 0x1p7, 1e18, true}, // beyond 2^53 whole numbers are rounded, too
                 {0.3f, near_float, true},
                 {0.3, 0.3 * (1 + 64 * 0x1p-52), false},
                 {0.3f, 0.3f * (1 + 64 * 0x1p-23f), false},
                 {0.3, 0.3 * (1 + 0x1p-24), false}, // one step of a float, and no floats
                 {1.7e9 + 0.25, 1.7e9 + 0.75, false},
                 {16777216, 16777220, false},
                 {9007199254740991, 9007199254740992, false},
                 {0, 1e-100, false}};
    for (const auto &c : cases) {
        std::vector<double> x(rows);
        std::vector<float> narrow(rows);
        for (int64_t i = 0; i < rows; ++i)
            x[i] = i % 2 ? c.a : c.b, narrow[i] = static_cast<float>(x[i]);
        const bool floats = static_cast<float>(c.a) == c.a && static_cast<float>(c.b) == c.b;
        dk_dataset *sets[] = {make(x, DK_F64, rows, 1),
                              floats ? make(narrow, DK_F32, rows, 1) : nullptr};
        for (dk_dataset *set : sets) {
            if (!set) continue;
            double mean = 0, sigma = 0;
            ASSERT_EQ(dki_dataset_statistics(set, &mean, &sigma, nullptr, nullptr), DK_OK);
            EXPECT_EQ(sigma == 1.0, c.constant) << c.a << " " << c.b << " " << sigma;
            dk_dataset_destroy(set);
        }
    }
}

TEST_F(Statistics, OfTargetsAndOfAPart) {
    const int64_t rows = 200;
    std::vector<float> x(rows), y(rows * 2);
    for (int64_t i = 0; i < rows; ++i)
        x[i] = static_cast<float>(i * i), y[2 * i] = static_cast<float>(i), y[2 * i + 1] = 7;
    dk_dataset *set = make(x, DK_F32, rows, 1, y), *rest, *part;
    ASSERT_EQ(dk_dataset_split(set, 0.25, 5, &rest, &part), DK_OK);
    std::vector<float> px(50), py(100);
    ASSERT_EQ(dk_dataset_read(part, 0, 50, px.data(), nullptr, py.data()), DK_OK);
    double mean, sigma, target_mean[2], target_sigma[2];
    ASSERT_EQ(dki_dataset_statistics(part, &mean, &sigma, target_mean, target_sigma), DK_OK);
    const Moments x0 = plain(px, 50, 1, 0), y0 = plain(py, 50, 2, 0);
    EXPECT_NEAR(mean, static_cast<double>(x0.mean), 1e-10);
    EXPECT_NEAR(sigma, static_cast<double>(x0.sigma), 1e-10);
    EXPECT_NEAR(target_mean[0], static_cast<double>(y0.mean), 1e-12);
    EXPECT_NEAR(target_sigma[0], static_cast<double>(y0.sigma), 1e-12);
    EXPECT_EQ(target_mean[1], 7.0);
    EXPECT_EQ(target_sigma[1], 1.0);
    dk_dataset_destroy(set);
    dk_dataset_destroy(rest);
    dk_dataset_destroy(part);
}

// The same numbers in Fortran order take another path, and must give the same bits.
TEST_F(Statistics, DoNotDependOnTheOrderOfStorage) {
    const int64_t rows = 1500, features = 7;
    std::mt19937 random(9);
    std::normal_distribution<float> normal(100, 3);
    std::vector<float> c(rows * features), f(rows * features);
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < features; ++j)
            c[i * features + j] = f[j * rows + i] = normal(random);
    dk_dataset *sets[] = {make(c, DK_F32, rows, features), make(f, DK_F32, rows, features)};
    sets[1]->storage->row_stride = 1;
    sets[1]->storage->col_stride = rows;
    dk_dataset *rest[2], *part[2];
    std::vector<double> mean[4], sigma[4];
    for (int k = 0; k < 2; ++k) {
        ASSERT_EQ(dk_dataset_split(sets[k], 0.3, 1, &rest[k], &part[k]), DK_OK);
        for (int p = 0; p < 2; ++p) {
            mean[2 * p + k].resize(features);
            sigma[2 * p + k].resize(features);
            ASSERT_EQ(dki_dataset_statistics(p ? part[k] : sets[k], mean[2 * p + k].data(),
                                             sigma[2 * p + k].data(), nullptr, nullptr),
                      DK_OK);
        }
    }
    EXPECT_EQ(mean[0], mean[1]);
    EXPECT_EQ(sigma[0], sigma[1]);
    EXPECT_EQ(mean[2], mean[3]);
    EXPECT_EQ(sigma[2], sigma[3]);
    for (int k = 0; k < 2; ++k) {
        dk_dataset_destroy(rest[k]);
        dk_dataset_destroy(part[k]);
        dk_dataset_destroy(sets[k]);
    }
}

TEST_F(Statistics, NameRowAndColumnOfWhatIsNotFinite) {
    const int64_t rows = 50, features = 4;
    for (float bad : {std::nanf(""), INFINITY, -INFINITY}) {
        std::vector<float> x(rows * features, 1.0f);
        dk_dataset *set = make(x, DK_F32, rows, features);
        x[33 * features + 2] = bad; // as in a mapped file, which isn't looked through at the start
        double mean[4], sigma[4];
        EXPECT_EQ(dki_dataset_statistics(set, mean, sigma, nullptr, nullptr), DK_E_NONFINITE);
        EXPECT_NE(std::string(dk_error_text()).find("feature 2 of row 33"), std::string::npos)
            << dk_error_text();
        dk_dataset_destroy(set);
    }
}

TEST_F(Statistics, SayWhenTheSquaresOverflow) {
    const std::vector<double> x = {1e200, -1e200, 1, 1};
    dk_dataset *set = make(x, DK_F64, 4, 1);
    double mean, sigma;
    EXPECT_EQ(dki_dataset_statistics(set, &mean, &sigma, nullptr, nullptr), DK_E_NONFINITE);
    EXPECT_NE(std::string(dk_error_text()).find("too large"), std::string::npos);
    dk_dataset_destroy(set);
}

TEST_F(Statistics, RefuseTargetsThatAreNotThereAndSurviveAFailedAllocation) {
    const std::vector<float> x = {1, 2, 3};
    dk_dataset *set = make(x, DK_F32, 3, 1);
    double mean, sigma;
    EXPECT_EQ(dki_dataset_statistics(set, &mean, &sigma, &mean, &sigma), DK_E_STATE);
    context.fail_at(1);
    EXPECT_EQ(dki_dataset_statistics(set, &mean, &sigma, nullptr, nullptr), DK_E_MEMORY);
    dk_dataset_destroy(set);
}

} // namespace
