// How the CPU cuts a product: every element once, and in whose share.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support_net.h"

extern "C" {
#include "backend/cpu/cpu.h"
#include "backend/cpu/tiles.h"
#include "model/context.h"
#include "model/layout.h"
}

namespace {

const int64_t sizes[] = {1, 15, 16, 17, 127, 128, 512, 784, 1025, 5000};
const dki_product_kind kinds[] = {DKI_PRODUCT_FORWARD, DKI_PRODUCT_DATA, DKI_PRODUCT_PARAMS};

/// The doubles of workspace that a network's training has, by the backend's plan.
size_t workspace_doubles(dki_backend *backend, std::vector<dki_layer_shape> layers, int64_t batch) {
    std::vector<uint8_t> keeps(layers.size() * sizeof(bool));
    dki_plan_request request{};
    request.layers = layers.data();
    request.layer_count = layers.size();
    request.max_batch = batch;
    request.gradients = true;
    dki_plan plan{};
    plan.keep_z = reinterpret_cast<bool *>(keeps.data());
    EXPECT_EQ(DK_OK, backend->ops->prepare(backend, &request, &plan)) << dk_error_text();
    return plan.workspace_bytes / sizeof(double);
}

} // namespace

// The norm's partial sums, one for each piece of what is updated, padding included, lie in the workspace.
// Breaks where the plan counts what has no padding: 20000 × 4001 with a batch of 1, for one.
TEST(Workspace, HoldsAPartialSumForEveryPiece) {
    const support::Context context = support::open_context();
    dki_backend *backend = context.get()->backend;
    for (const int64_t inputs : {1, 17, 1000, 4001})
        for (const int64_t width : {1, 100, 20000})
            for (const size_t count : {1, 2, 5000}) {
                std::vector<dk_layer> layers(count, support::layer(1, DK_RELU));
                layers[0].width = width;
                std::vector<dki_layer_shape> shapes;
                for (size_t k = 0; k < count; ++k)
                    shapes.push_back({k == 0   ? inputs
                                      : k == 1 ? width
                                               : 1,
                                      layers[k].width, DK_RELU, false});
                std::vector<dki_place> places(count);
                dki_layout layout;
                ASSERT_EQ(DK_OK, dki_layout_make(&layout, places.data(), inputs, layers.data(),
                                                 count, backend));
                const int64_t most = (layout.elements + DKI_CPU_PIECE - 1) / DKI_CPU_PIECE;
                EXPECT_GE(workspace_doubles(backend, shapes, 1), static_cast<size_t>(most))
                    << inputs << "-" << width << ", " << count << " layers";
            }
}

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
