/* Initial weights: w_ij = a function of a random word of (seed, layer, row i, element j). Bytes
 * moved per element: 4 written. */
#include "kernels/init.h"
#include "kernels/kernels.h"
#include "kernels/random.cuh"
#include "kernels/tiling.cuh"

namespace {

struct operands {
    int64_t rows, cols;
    dki_view<float> w;
    bool packed;
    dki_init_rule rule;
    uint64_t seed;
    uint32_t layer;
};

/** A block of random words is a pack of weights. */
__global__ void __launch_bounds__(DKI_THREADS) initialise_kernel(const operands op) {
    dki_wait_for_earlier();
    const int64_t block = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, col = block * 4;
    const int64_t first = (int64_t)blockIdx.y * blockDim.y + threadIdx.y;
    const int64_t stride = (int64_t)gridDim.y * blockDim.y;
    if (col >= op.cols) return;
    for (int64_t row = first; row < op.rows; row += stride) {
        const dki_words words = dki_device_random_block(op.seed, DKI_FOR_INIT, op.layer, 0,
                                                        (uint32_t)row, (uint32_t)block);
        float w[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) w[i] = dki_initial_weight(op.rule, words.v[i]);
        if (op.packed && col + 4 <= op.cols) {
            dki_store(op.w.at(row, col), w);
            continue;
        }
#pragma unroll
        for (int i = 0; i < 4; ++i)
            if (col + i < op.cols) *op.w.at(row, col + i) = w[i];
    }
}

} // namespace

extern "C" int dki_cuda_initialise(dki_stream stream, const dki_initialise *op) {
    const dki_matrix &w = op->w;
    if (w.rows <= 0 || w.cols <= 0) return 0;
    const operands o = {
        w.rows,   w.cols,   dki_view_of<float>(w), dki_packed<float>(w.data, w.ld), op->rule,
        op->seed, op->layer};
    const dki_tiling tiling = dki_tile_elements<float>(w.rows, w.cols);
    return DK_LAUNCH(initialise_kernel, tiling.grid, tiling.block, stream, o);
}
