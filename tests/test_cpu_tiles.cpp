// How the CPU cuts a product: every element once, and in whose share.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

extern "C" {
#include "backend/cpu/tiles.h"
}

namespace {

const int64_t sizes[] = {1, 15, 16, 17, 127, 128, 512, 784, 1025, 5000};
const dki_product_kind kinds[] = {DKI_PRODUCT_FORWARD, DKI_PRODUCT_DATA, DKI_PRODUCT_PARAMS};

} // namespace

TEST(Tiles, CoverEveryElementOnce) {
    for (const dki_product_kind kind : kinds)
        for (const int64_t rows : sizes)
            for (const int64_t cols : sizes) {
                const dki_grid grid = dki_grid_make(kind, rows, cols);
                std::vector<uint8_t> seen(static_cast<size_t>(rows * cols));
                for (int64_t index = 0; index < dki_grid_tiles(&grid); ++index) {
                    const dki_tile tile = dki_grid_tile(&grid, index);
                    ASSERT_TRUE(tile.rows > 0 && tile.cols > 0);
                    EXPECT_EQ(tile.row_tile, tile.row / grid.tile_rows);
                    for (int64_t i = tile.row; i < tile.row + tile.rows; ++i)
                        for (int64_t j = tile.col; j < tile.col + tile.cols; ++j)
                            ++seen[static_cast<size_t>(i * cols + j)];
                }
                EXPECT_EQ(rows * cols, std::count(seen.begin(), seen.end(), 1))
                    << kind << ": " << rows << " × " << cols;
            }
}

// Breaks where a thread's share (consecutive numbers) lies across the units that are its own elsewhere:
// columns of z and δ, rows of dW. A step of 784-512-512-10 then takes 5 % longer on two cores.
TEST(Tiles, AThreadsShareFollowsTheUnits) {
    for (const dki_product_kind kind : kinds)
        for (const int64_t rows : sizes)
            for (const int64_t cols : sizes) {
                const dki_grid grid = dki_grid_make(kind, rows, cols);
                int64_t before = 0;
                for (int64_t index = 0; index < dki_grid_tiles(&grid); ++index) {
                    const dki_tile tile = dki_grid_tile(&grid, index);
                    const int64_t unit = kind == DKI_PRODUCT_PARAMS ? tile.row : tile.col;
                    EXPECT_GE(unit, before) << kind << ": " << rows << " × " << cols;
                    before = unit;
                }
            }
}
