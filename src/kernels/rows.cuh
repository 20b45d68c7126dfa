/* What kernels share that work row by row: groups of neighbouring threads, one group for a row.
 *
 * A group is 1, 2, 4, … 32 lanes of a warp, or a whole block, so that narrow rows leave no lane
 * idle. The tree of a reduction depends on the size of the group alone, and every lane gets the
 * same result, because a ∘ b is the same bits as b ∘ a. */
#ifndef DKI_ROWS_CUH
#define DKI_ROWS_CUH

#include "kernels/reduce.cuh"

constexpr int DKI_BLOCK = 256, DKI_BLOCK_WARPS = DKI_BLOCK / DKI_WARP;

/** Lanes for a row of `pieces`: a power of two up to a warp, or the block where each lane of a warp
 *  would have more than `most` of them. */
static inline int dki_row_lanes(int64_t pieces, int64_t most) {
    if (pieces > DKI_WARP * most) return DKI_BLOCK;
    int lanes = 1;
    while (lanes < DKI_WARP && lanes < pieces) lanes *= 2;
    return lanes;
}

/** Blocks for that many pieces of work: at least one, at most `most`, and the kernels loop over the
 *  rest. */
static inline unsigned dki_blocks(int64_t pieces, int64_t most) {
    return (unsigned)(pieces < 1 ? 1 : (pieces < most ? pieces : most));
}

struct dki_sum {
    template <class T> DKI_DEVICE T operator()(T a, T b) const { return a + b; }
};

/** The larger of two numbers that aren't NaN. */
struct dki_max {
    template <class T> DKI_DEVICE T operator()(T a, T b) const { return b > a ? b : a; }
};

/** The group's values combined. All threads of the block call it together; `shared` has
 *  DKI_BLOCK_WARPS places, used where the group is the block, and free again on return. */
template <class Combine, class T>
DKI_DEVICE T dki_group_reduce(T value, int lanes, T *shared, Combine combine) {
    for (int step = (lanes < DKI_WARP ? lanes : DKI_WARP) / 2; step > 0; step /= 2)
        value = combine(value, __shfl_xor_sync(0xffffffffu, value, step));
    if (lanes <= DKI_WARP) return value;
    if (threadIdx.x % DKI_WARP == 0) shared[threadIdx.x / DKI_WARP] = value;
    __syncthreads();
    value = shared[0];
    for (int warp = 1; warp < DKI_BLOCK_WARPS; ++warp) value = combine(value, shared[warp]);
    __syncthreads();
    return value;
}

#endif
