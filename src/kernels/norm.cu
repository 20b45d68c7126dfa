/* Σ x² in double, by pieces; decide adds them.
 *
 * One block a piece, and the same element for the same thread whatever the alignment, so that the
 * bits depend on the count alone. Bytes: 4 an element. */
#include "kernels/kernels.h"
#include "kernels/rows.cuh"

namespace {

constexpr int NORM_LANES = dki_lanes<float>::COUNT;

/* The product of two floats is exact in double, so fma gives the bits of a product and a sum. */
__global__ void square_sums_kernel(const float *x, int64_t count, bool packed, double *partial) {
    dki_wait_for_earlier();
    DK_SHARED(double, shared, DKI_BLOCK_WARPS);
    const int64_t start = (int64_t)blockIdx.x * DKI_NORM_PIECE;
    double sums[NORM_LANES] = {};
#pragma unroll 4
    for (int turn = 0; turn < DKI_NORM_PIECE / (NORM_LANES * DKI_BLOCK); ++turn) {
        const int64_t first = start + ((int64_t)turn * DKI_BLOCK + threadIdx.x) * NORM_LANES;
        float values[NORM_LANES];
        dki_load_some(values, x + first, count - first, packed, 0.0f);
#pragma unroll
        for (int i = 0; i < NORM_LANES; ++i)
            sums[i] = fma((double)values[i], (double)values[i], sums[i]);
    }
    const double sum = dki_block_sum<DKI_BLOCK>((sums[0] + sums[1]) + (sums[2] + sums[3]), shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

} // namespace

extern "C" int dki_cuda_square_sums(dki_stream stream, const float *x, int64_t count,
                                    double *partial) {
    const int64_t pieces = (count + DKI_NORM_PIECE - 1) / DKI_NORM_PIECE;
    return DK_LAUNCH(square_sums_kernel, (unsigned)pieces, DKI_BLOCK, stream, x, count,
                     dki_packed<float>(x, 0), partial);
}
