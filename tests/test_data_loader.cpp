#include "support_context.h"

extern "C" {
#include "data/loader.h"
#include "kernels/shuffle.h"
}

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace {

enum class Stored { in_memory, mapped, fortran };

// A set whose row i is (i, −i) with label i mod 5 or targets (2i, 3i), and weight i mod 7. "Mapped"
// sets are marked as such: the loader then copies rows out, as it does from a file.
struct Loader : ::testing::Test {
    support::BareContext context;
    std::vector<float> x, targets, weights;
    std::vector<int32_t> labels;

    dk_dataset *make(int64_t rows, Stored stored, bool regression = false) {
        x.resize(2 * rows);
        targets.resize(2 * rows);
        labels.resize(rows);
        weights.resize(rows);
        const bool fortran = stored == Stored::fortran;
        for (int64_t i = 0; i < rows; ++i) {
            const auto value = static_cast<float>(i);
            x[fortran ? i : 2 * i] = value;
            x[fortran ? rows + i : 2 * i + 1] = -value;
            targets[2 * i] = 2 * value;
            targets[2 * i + 1] = 3 * value;
            labels[i] = static_cast<int32_t>(i % 5);
            weights[i] = static_cast<float>(i % 7);
        }
        dk_arrays arrays = DK_ARRAYS_INIT;
        arrays.rows = rows;
        arrays.features = 2;
        arrays.x = x.data();
        if (regression) {
            arrays.targets = targets.data();
            arrays.target_count = 2;
        } else {
            arrays.labels = labels.data();
            arrays.classes = 5;
        }
        arrays.weights = weights.data();
        dk_dataset *set = nullptr;
        EXPECT_EQ(dk_dataset_from_arrays(&set, context.get(), &arrays), DK_OK) << dk_error_text();
        set->storage->mapped = stored != Stored::in_memory;
        if (fortran) set->storage->row_stride = 1, set->storage->col_stride = rows;
        return set;
    }
};

struct Epoch {
    std::vector<int64_t> rows;    // which row came when, by its first feature
    std::vector<int64_t> batches; // sizes
};

// Reads one epoch and checks that everything of a row belongs together.
Epoch read_epoch(dki_loader *loader, bool staged) {
    Epoch epoch;
    for (;;) {
        dki_loaded batch;
        EXPECT_EQ(dki_loader_next(loader, &batch), DK_OK) << dk_error_text();
        if (batch.rows == 0) break;
        EXPECT_EQ(batch.order == nullptr, staged);
        const auto *features = static_cast<const float *>(batch.features);
        double weight = 0;
        for (int64_t i = 0; i < batch.rows; ++i) {
            const int64_t at = batch.order ? batch.order[i] : i;
            const float value = features[at * batch.row_stride];
            const auto row = static_cast<int64_t>(value);
            EXPECT_EQ(features[at * batch.row_stride + batch.col_stride], -value);
            if (batch.labels) {
                EXPECT_EQ(batch.labels[at], row % 5);
            } else {
                EXPECT_EQ(batch.targets[2 * at], 2 * value);
                EXPECT_EQ(batch.targets[2 * at + 1], 3 * value);
            }
            EXPECT_EQ(batch.weights[at], static_cast<float>(row % 7));
            weight += static_cast<double>(row % 7);
            epoch.rows.push_back(row);
        }
        EXPECT_EQ(dki_loaded_weight(&batch, nullptr), weight);
        epoch.batches.push_back(batch.rows);
    }
    return epoch;
}

dk_status begin(dki_loader *loader, bool shuffle, uint64_t seed, uint64_t epoch, int64_t row = 0) {
    const dki_epoch_start start{shuffle, seed, epoch, row};
    return dki_loader_begin(loader, &start);
}

constexpr Stored all_stored[] = {Stored::in_memory, Stored::mapped, Stored::fortran};

// Fails if a row is lost or doubled, if a batch but the last isn't full, or if the order isn't the
// documented permutation. A million and a half rows are more chunks than there is room for when
// they are staged.
TEST_F(Loader, ShowsEveryRowOnceInTheSameOrderHoweverStored) {
    for (int64_t rows : {1, 2, 127, 10000, 1500000}) {
        for (int64_t batch_rows : {1, 100, 4097, 2000000}) {
            if (rows == 1500000 && batch_rows != 4097) continue;
            std::vector<int64_t> expected(rows);
            for (int64_t i = 0; i < rows; ++i)
                expected[i] = static_cast<int64_t>(dki_shuffle(11, 3, rows, i));
            for (Stored stored : all_stored) {
                dk_dataset *set = make(rows, stored, batch_rows == 100);
                dki_loader *loader = nullptr;
                ASSERT_EQ(dki_loader_create(&loader, set, batch_rows, DKI_LOAD_IN_PLACE), DK_OK);
                ASSERT_EQ(begin(loader, true, 11, 3), DK_OK);
                const Epoch epoch = read_epoch(loader, stored != Stored::in_memory);
                EXPECT_EQ(epoch.rows, expected);
                ASSERT_EQ(static_cast<int64_t>(epoch.batches.size()),
                          (rows + batch_rows - 1) / batch_rows);
                for (size_t b = 0; b + 1 < epoch.batches.size(); ++b)
                    ASSERT_EQ(epoch.batches[b], batch_rows);
                EXPECT_EQ(epoch.batches.back(), (rows - 1) % batch_rows + 1);
                dki_loader_destroy(loader);
                dk_dataset_destroy(set);
            }
        }
    }
}

// An epoch that is gone on with: the rest of the same order, in the same batches.
TEST_F(Loader, BeginsAtAnyRowOfTheOrder) {
    for (Stored stored : all_stored) {
        dk_dataset *set = make(10000, stored);
        dki_loader *loader = nullptr;
        ASSERT_EQ(dki_loader_create(&loader, set, 64, DKI_LOAD_IN_PLACE), DK_OK);
        ASSERT_EQ(begin(loader, true, 11, 3), DK_OK);
        const Epoch whole = read_epoch(loader, stored != Stored::in_memory);
        for (int64_t batches : {0, 1, 2, 63, 64, 65, 155, 156, 157}) {
            const int64_t row = std::min<int64_t>(64 * batches, 10000);
            ASSERT_EQ(begin(loader, true, 11, 3, row), DK_OK);
            const Epoch rest = read_epoch(loader, stored != Stored::in_memory);
            EXPECT_EQ(rest.rows, std::vector<int64_t>(whole.rows.begin() + row, whole.rows.end()));
            const size_t done = std::min<size_t>(batches, whole.batches.size());
            EXPECT_EQ(rest.batches,
                      std::vector<int64_t>(whole.batches.begin() + done, whole.batches.end()));
        }
        dki_loader_destroy(loader);
        dk_dataset_destroy(set);
    }
}

TEST_F(Loader, EpochsDifferAndRepeat) {
    dk_dataset *set = make(5000, Stored::mapped);
    dki_loader *loader = nullptr;
    ASSERT_EQ(dki_loader_create(&loader, set, 64, DKI_LOAD_IN_PLACE), DK_OK);
    dki_loaded batch;
    EXPECT_EQ(dki_loader_next(loader, &batch), DK_E_STATE);
    std::vector<int64_t> first, second, again, in_order;
    ASSERT_EQ(begin(loader, true, 1, 0), DK_OK);
    first = read_epoch(loader, true).rows;
    ASSERT_EQ(begin(loader, true, 1, 1), DK_OK);
    second = read_epoch(loader, true).rows;
    ASSERT_EQ(begin(loader, true, 1, 0), DK_OK);
    again = read_epoch(loader, true).rows;
    ASSERT_EQ(begin(loader, false, 1, 0), DK_OK);
    in_order = read_epoch(loader, true).rows;
    EXPECT_NE(first, second);
    EXPECT_EQ(first, again);
    EXPECT_TRUE(std::is_sorted(in_order.begin(), in_order.end()));
    // The end of an epoch stays the end.
    ASSERT_EQ(dki_loader_next(loader, &batch), DK_OK);
    EXPECT_EQ(batch.rows, 0);
    ASSERT_EQ(dki_loader_next(loader, &batch), DK_OK);
    EXPECT_EQ(batch.rows, 0);
    dki_loader_destroy(loader);
    dk_dataset_destroy(set);
}

// The order is a permutation of the part's rows, mapped to the storage's.
TEST_F(Loader, ReadsAPart) {
    for (Stored stored : all_stored) {
        dk_dataset *set = make(1000, stored), *rest, *part;
        ASSERT_EQ(dk_dataset_split(set, 0.3, 1, &rest, &part), DK_OK);
        dki_loader *loader = nullptr;
        ASSERT_EQ(dki_loader_create(&loader, part, 32, DKI_LOAD_IN_PLACE), DK_OK);
        dk_dataset_destroy(set);
        ASSERT_EQ(begin(loader, true, 2, 0), DK_OK);
        std::vector<int64_t> rows = read_epoch(loader, stored != Stored::in_memory).rows, expected;
        for (int64_t i = 0; i < 300; ++i)
            expected.push_back(part->subset[dki_shuffle(2, 0, 300, i)]);
        EXPECT_EQ(rows, expected);
        dk_dataset_destroy(rest);
        dk_dataset_destroy(part);
        dki_loader_destroy(loader); // it held the part
    }
}

// Destroying or beginning anew with the thread at work, waiting for room, or done.
TEST_F(Loader, StopsMidEpoch) {
    for (Stored stored : all_stored) {
        dk_dataset *set = make(200000, stored);
        for (int taken : {0, 1, 50}) {
            dki_loader *loader = nullptr;
            ASSERT_EQ(dki_loader_create(&loader, set, 100, DKI_LOAD_IN_PLACE), DK_OK);
            for (uint64_t epoch = 0; epoch < 3; ++epoch) {
                ASSERT_EQ(begin(loader, true, 1, epoch), DK_OK);
                dki_loaded batch;
                for (int k = 0; k < taken; ++k) {
                    ASSERT_EQ(dki_loader_next(loader, &batch), DK_OK);
                    ASSERT_EQ(batch.rows, 100);
                }
            }
            dki_loader_destroy(loader);
        }
        dk_dataset_destroy(set);
    }
    dki_loader_destroy(nullptr);
}

// The thread's error arrives on the caller's thread, after the rows before it, and stays.
TEST_F(Loader, ReportsWhatIsNotFiniteWithItsRow) {
    const int64_t rows = 700000;
    dk_dataset *set = make(rows, Stored::mapped);
    x[2 * 654321 + 1] = std::nanf("");
    dki_loader *loader = nullptr;
    ASSERT_EQ(dki_loader_create(&loader, set, 1000, DKI_LOAD_IN_PLACE), DK_OK);
    ASSERT_EQ(begin(loader, false, 0, 0), DK_OK);
    dki_loaded batch;
    int64_t seen = 0;
    dk_status status;
    while ((status = dki_loader_next(loader, &batch)) == DK_OK && batch.rows > 0)
        seen += batch.rows;
    EXPECT_EQ(status, DK_E_NONFINITE);
    EXPECT_GT(seen, 0);
    EXPECT_LE(seen, 654000);
    EXPECT_NE(std::string(dk_error_text()).find("feature 1 of row 654321"), std::string::npos)
        << dk_error_text();
    EXPECT_EQ(dki_loader_next(loader, &batch), DK_E_NONFINITE);
    x[2 * 654321 + 1] = -654321;
    ASSERT_EQ(begin(loader, false, 0, 0), DK_OK);
    EXPECT_EQ(read_epoch(loader, true).rows.size(), static_cast<size_t>(rows));
    dki_loader_destroy(loader);
    dk_dataset_destroy(set);
}

TEST_F(Loader, SumsClassAndSampleWeights) {
    const int64_t order[] = {3, 0, 4};
    const int32_t class_of[] = {0, 1, 1, 0, 2};
    const float sample[] = {1, 2, 3, 4, 5}, of_class[] = {0.5f, 1, 2};
    dki_loaded batch{};
    batch.rows = 3;
    EXPECT_EQ(dki_loaded_weight(&batch, nullptr), 3.0);
    EXPECT_EQ(dki_loaded_weight(&batch, of_class), 3.0); // no labels
    batch.order = order;
    batch.labels = class_of;
    EXPECT_EQ(dki_loaded_weight(&batch, of_class), 0.5 + 0.5 + 2);
    batch.weights = sample;
    EXPECT_EQ(dki_loaded_weight(&batch, nullptr), 4.0 + 1 + 5);
    EXPECT_EQ(dki_loaded_weight(&batch, of_class), 4 * 0.5 + 1 * 0.5 + 5 * 2);
    batch.order = nullptr;
    EXPECT_EQ(dki_loaded_weight(&batch, of_class), 1 * 0.5 + 2 * 1 + 3 * 1);
}

TEST_F(Loader, RefusesABatchOfNothingAndSurvivesEveryFailedAllocation) {
    for (bool regression : {false, true}) {
        dk_dataset *set = make(100, Stored::mapped, regression);
        dki_loader *loader = nullptr;
        EXPECT_EQ(dki_loader_create(&loader, set, 0, DKI_LOAD_IN_PLACE), DK_E_ARGUMENT);
        for (int n = 1;; ++n) {
            context.fail_at(n);
            const dk_status status = dki_loader_create(&loader, set, 10, DKI_LOAD_IN_PLACE);
            if (!context.failed()) {
                EXPECT_EQ(status, DK_OK);
                EXPECT_GT(n, 12);
                break;
            }
            EXPECT_EQ(status, DK_E_MEMORY);
            EXPECT_EQ(loader, nullptr);
        }
        context.fail_at(0);
        dki_loader_destroy(loader);
        dk_dataset_destroy(set);
    }
}

} // namespace
