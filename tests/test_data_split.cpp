#include "support_context.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <vector>

namespace {

struct Split : ::testing::Test {
    support::BareContext context;
    std::vector<float> x;
    std::vector<int32_t> labels;

    dk_dataset *make(int64_t rows) {
        x.resize(rows);
        labels.resize(rows);
        for (int64_t i = 0; i < rows; ++i) x[i] = static_cast<float>(i), labels[i] = i % 3;
        dk_arrays arrays = DK_ARRAYS_INIT;
        arrays.rows = rows;
        arrays.features = 1;
        arrays.x = x.data();
        arrays.labels = labels.data();
        arrays.classes = 3;
        dk_dataset *set = nullptr;
        EXPECT_EQ(dk_dataset_from_arrays(&set, context.get(), &arrays), DK_OK) << dk_error_text();
        return set;
    }
    static std::vector<float> values(const dk_dataset *set) {
        dk_dataset_info info;
        EXPECT_EQ(dk_dataset_describe(set, &info), DK_OK);
        std::vector<float> read(info.rows);
        EXPECT_EQ(dk_dataset_read(set, 0, info.rows, read.data(), nullptr, nullptr), DK_OK);
        return read;
    }
};

// Fails if a row is lost, doubled or out of order, or if a part has the wrong size.
TEST_F(Split, PartsAreDisjointCompleteAndInOrder) {
    for (int64_t rows : {2, 3, 10, 97, 1000}) {
        for (double fraction : {0.1, 0.2, 0.5, 0.9}) {
            const auto expected = static_cast<int64_t>(std::floor(fraction * rows + 0.5));
            dk_dataset *set = make(rows), *rest = nullptr, *part = nullptr;
            const dk_status status = dk_dataset_split(set, fraction, 7, &rest, &part);
            if (expected == 0 || expected == rows) {
                EXPECT_EQ(status, DK_E_SHAPE);
                EXPECT_EQ(rest, nullptr);
                EXPECT_EQ(part, nullptr);
            } else {
                ASSERT_EQ(status, DK_OK) << dk_error_text();
                std::vector<float> a = values(rest), b = values(part);
                EXPECT_EQ(static_cast<int64_t>(b.size()), expected);
                EXPECT_TRUE(std::is_sorted(a.begin(), a.end()));
                EXPECT_TRUE(std::is_sorted(b.begin(), b.end()));
                std::set<float> all(a.begin(), a.end());
                all.insert(b.begin(), b.end());
                EXPECT_EQ(all.size(), static_cast<size_t>(rows));
                EXPECT_EQ(a.size() + b.size(), static_cast<size_t>(rows));
            }
            dk_dataset_destroy(rest);
            dk_dataset_destroy(part);
            dk_dataset_destroy(set);
        }
    }
}

// The choice depends on the seed, and on nothing else.
TEST_F(Split, IsAFunctionOfTheSeed) {
    dk_dataset *set = make(500), *rest[3], *part[3];
    const uint64_t seeds[] = {1, 1, 2};
    for (int k = 0; k < 3; ++k)
        ASSERT_EQ(dk_dataset_split(set, 0.3, seeds[k], &rest[k], &part[k]), DK_OK);
    EXPECT_EQ(values(part[0]), values(part[1]));
    EXPECT_NE(values(part[0]), values(part[2]));
    for (int k = 0; k < 3; ++k) dk_dataset_destroy(rest[k]), dk_dataset_destroy(part[k]);
    dk_dataset_destroy(set);
}

// A part of a part refers to the rows of the first set; the sets may be destroyed in any order.
TEST_F(Split, SplitsAPartAndOutlivesItsParent) {
    dk_dataset *set = make(100), *rest, *part, *rest2, *part2;
    ASSERT_EQ(dk_dataset_split(set, 0.4, 1, &rest, &part), DK_OK);
    dk_dataset_destroy(set);
    const std::vector<float> outer = values(part);
    ASSERT_EQ(dk_dataset_split(part, 0.5, 1, &rest2, &part2), DK_OK);
    dk_dataset_destroy(part);
    std::vector<float> a = values(rest2), b = values(part2), both;
    std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
    EXPECT_EQ(both, outer);
    std::vector<int32_t> read(20);
    ASSERT_EQ(dk_dataset_read(part2, 0, 20, nullptr, read.data(), nullptr), DK_OK);
    for (size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i], static_cast<int>(b[i]) % 3);
    dk_dataset_destroy(rest);
    dk_dataset_destroy(rest2);
    dk_dataset_destroy(part2);
}

TEST_F(Split, RefusesWhatIsNoFraction) {
    dk_dataset *set = make(10), *rest, *part;
    for (double fraction : {0.0, 1.0, -0.5, 1.5, std::nan("")})
        EXPECT_EQ(dk_dataset_split(set, fraction, 1, &rest, &part), DK_E_ARGUMENT) << fraction;
    EXPECT_EQ(dk_dataset_split(nullptr, 0.5, 1, &rest, &part), DK_E_ARGUMENT);
    EXPECT_EQ(dk_dataset_split(set, 0.5, 1, nullptr, &part), DK_E_ARGUMENT);
    dk_dataset_destroy(set);
}

TEST_F(Split, SurvivesEveryFailedAllocation) {
    dk_dataset *set = make(10), *rest, *part;
    for (int n = 1;; ++n) {
        context.fail_at(n);
        const dk_status status = dk_dataset_split(set, 0.5, 1, &rest, &part);
        if (!context.failed()) {
            EXPECT_EQ(status, DK_OK);
            EXPECT_GT(n, 4);
            break;
        }
        EXPECT_EQ(status, DK_E_MEMORY);
        EXPECT_EQ(rest, nullptr);
        EXPECT_EQ(part, nullptr);
    }
    context.fail_at(0);
    dk_dataset_destroy(rest);
    dk_dataset_destroy(part);
    dk_dataset_destroy(set);
}

} // namespace
