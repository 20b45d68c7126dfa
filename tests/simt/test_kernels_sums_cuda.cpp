// sums.cu on the thread emulator: column sums of tiles of rows, and the sums over the tiles, exactly
// on small integers, within γ of sums in double, and the same bits in any order of threads.
#include "simt/kernels.h"

using namespace kernels;

namespace {

Floats column_sums(dki_element type, const Size &size, const Place &place, const Floats &values,
                   uint64_t order) {
    simt::set_order(order);
    Matrix x(type, size.rows, size.cols, place, values);
    Matrix partial(DKI_ELEMENT_F32, dki_sum_tiles(size.rows), size.cols, {0, place.offset});
    EXPECT_EQ(0, dki_cuda_column_sums(nullptr, type, x.view(), partial.floats()));
    EXPECT_TRUE(same_bits(x.read(), values));
    return partial.read();
}

void expect_sums(const Size &size, const Floats &values, const Floats &partial, bool exact,
                 const std::string &what) {
    const int64_t tile_rows = dki_sum_tile_rows(size.rows);
    Doubles sums(partial.size()), bounds(partial.size());
    for (int64_t i = 0; i < size.rows; ++i)
        for (int64_t j = 0; j < size.cols; ++j) {
            const double x = static_cast<double>(values[static_cast<size_t>(i * size.cols + j)]);
            const size_t to = static_cast<size_t>(i / tile_rows * size.cols + j);
            sums[to] += x;
            if (!exact) bounds[to] += gamma_n(static_cast<double>(tile_rows)) * std::fabs(x);
        }
    expect_within(partial, sums, bounds, what);
}

struct Added {
    int64_t tiles, cols;
    bool accumulate;
    Floats partial, db;
};

Floats add_sums(const Added &f, int64_t offset, uint64_t order) {
    simt::set_order(order);
    Array<float> partial(f.partial, static_cast<size_t>(offset));
    Array<float> db(f.db, static_cast<size_t>(offset));
    EXPECT_EQ(0,
              dki_cuda_add_sums(nullptr, db.data(), partial.data(), f.tiles, f.cols, f.accumulate));
    EXPECT_TRUE(same_bits(partial.read(), f.partial));
    return db.read();
}

void expect_added(const Added &f, const Floats &db, bool exact) {
    Doubles sums(f.db.begin(), f.db.end()), bounds(f.db.size());
    for (size_t j = 0; j < sums.size(); ++j) {
        if (!f.accumulate) sums[j] = 0.0;
        double size = std::fabs(sums[j]);
        for (size_t i = j; i < f.partial.size(); i += sums.size()) {
            sums[j] += static_cast<double>(f.partial[i]);
            size += std::fabs(static_cast<double>(f.partial[i]));
        }
        if (!exact) bounds[j] = gamma_n(static_cast<double>(f.tiles + 1)) * size;
    }
    expect_within(db, sums, bounds,
                  std::to_string(f.tiles) + " tiles of " + std::to_string(f.cols) + " columns");
}

} // namespace

// Breaks with a tail, a row or a tile left out or counted twice, padding read, a missing barrier, an
// order of additions that depends on threads or alignment.
TEST(ColumnSumsKernel, DependOnTheShapeAlone) {
    Random random(1);
    for (const Size &size : sizes)
        for (dki_element type : elements) {
            const Floats values = random.normal(type, size.rows * size.cols);
            Floats first;
            for (size_t i = 0; i < orders.size(); ++i) {
                const Place &place = places[i % places.size()];
                const Floats partial = column_sums(type, size, place, values, orders[i]);
                const std::string what = describe("column_sums", type, size, place);
                expect_sums(size, values, partial, false, what);
                if (i == 0) first = partial;
                EXPECT_TRUE(same_bits(first, partial)) << what;
                if (HasFailure()) return;
            }
        }
}

// Breaks with a pack at a row's end whose padding gets into a sum: it is NaN.
TEST(ColumnSumsKernel, AreOfRowsThatEndInTheMiddleOfAPack) {
    Random random(5);
    for (const Size &size : padded_sizes)
        for (dki_element type : elements) {
            const Floats values = random.integers(size.rows * size.cols);
            const Place place = padded_rows(type, size.cols);
            const Floats partial =
                column_sums(type, size, place, values, orders[random() % orders.size()]);
            expect_sums(size, values, partial, true, describe("column_sums", type, size, place));
            if (HasFailure()) return;
        }
}

TEST(ColumnSumsKernel, AreExactOnIntegers) {
    Random random(2);
    for (const Size &size : sizes)
        for (dki_element type : elements) {
            const Place &place = places[random() % places.size()];
            const Floats values = random.integers(size.rows * size.cols);
            expect_sums(size, values, column_sums(type, size, place, values, random() % 5), true,
                        describe("column_sums", type, size, place));
        }
}

// Breaks with tiles of 64 rows where there are more than 1024 of those.
TEST(ColumnSumsKernel, TakesLargerTilesOfManyRows) {
    Random random(3);
    const Size size = {70001, 5};
    const Floats values = random.integers(size.rows * size.cols);
    expect_sums(size, values, column_sums(DKI_ELEMENT_F16, size, {}, values, 2), true, "70001×5");
}

// Breaks where a thread of a wide block leaves out rows: with enough blocks to fill a GPU each thread
// has eight, which it loads four at a time.
TEST(ColumnSumsKernel, HaveWideBlocksWhereThereAreManyTiles) {
    Random random(5);
    for (dki_element type : elements) {
        const bool wide = type == DKI_ELEMENT_F32;
        const Size size = wide ? Size{132 * 64 + 1, 250} : Size{264 * 64 + 1, 250};
        const Floats values = random.integers(size.rows * size.cols);
        expect_sums(size, values, column_sums(type, size, {6, 0}, values, 3), true,
                    describe("column_sums", type, size, {6, 0}));
    }
}

TEST(ColumnSumsKernel, OfNothingDoNothing) {
    EXPECT_EQ(0, dki_cuda_column_sums(nullptr, DKI_ELEMENT_F32, {nullptr, 0, 0, 0}, nullptr));
    EXPECT_EQ(0, dki_cuda_add_sums(nullptr, nullptr, nullptr, 0, 0, false));
}

// Breaks with a tile left out or added twice, a missing barrier, db overwritten where it should grow
// or the reverse.
TEST(AddSumsKernel, AddsTheTiles) {
    Random random(4);
    for (int64_t tiles : {1, 2, 3, 31, 32, 33, 257, 1024})
        for (int64_t cols : {1, 7, 8, 9, 129})
            for (bool accumulate : {false, true}) {
                Added f = {tiles, cols, accumulate, random.integers(tiles * cols),
                           random.integers(cols)};
                expect_added(f, add_sums(f, 1, random() % 5), true);
                f.partial = random.normal(DKI_ELEMENT_F32, tiles * cols);
                f.db = random.normal(DKI_ELEMENT_F32, cols);
                const Floats db = add_sums(f, 0, 0);
                expect_added(f, db, false);
                for (uint64_t order : orders)
                    EXPECT_TRUE(same_bits(db, add_sums(f, order % 3, order)));
                if (HasFailure()) return;
            }
}

// What was in db, NaN for example, doesn't matter where it is overwritten.
TEST(AddSumsKernel, OverwritesWithoutReading) {
    Added f = {3, 5, false, Floats(15, 1.0f), Floats(5, NAN)};
    EXPECT_EQ(add_sums(f, 0, 1), Floats(5, 3.0f));
}
