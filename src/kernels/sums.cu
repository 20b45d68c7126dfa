/* Column sums of a matrix, sums_j = Σ_i x_ij, in two kernels: of each tile of rows, and over the
 * tiles. The matrix is read once: s bytes per element of an s-byte storage type; the tiles' sums are
 * a 64th of that, or less, in fp32. */
#include "kernels/column_sums.cuh"
#include "kernels/kernels.h"

namespace {

template <class T> struct operands {
    int64_t rows, cols, tile_rows;
    dki_view<const T> x;
    bool packed;
    float *partial;
};

/** x itself, as a source of column sums. */
template <class T> struct plain_source {
    enum { N = dki_lanes<T>::COUNT, ROWS = DKI_IN_FLIGHT };
    const operands<T> &op;

    DKI_DEVICE void packs(int64_t row, int64_t stride, int64_t end, int64_t col,
                          float (&sums)[N]) const {
        dki_pack<T> packs[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
            if (row + i * stride < end)
                packs[i].load_row(op.x.at(row + i * stride, col), op.cols - col, op.packed);
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            if (row + i * stride >= end) break;
            float values[N];
            packs[i].get(values);
#pragma unroll
            for (int j = 0; j < N; ++j) sums[j] += values[j];
        }
    }
};

template <class T>
__global__ void __launch_bounds__(DKI_THREADS) column_sums_kernel(const operands<T> op) {
    dki_wait_for_earlier();
    typedef dki_sum_memory<dki_lanes<T>::COUNT> memory;
    DK_SHARED(memory, shared, 1);
    const plain_source<T> source = {op};
    const dki_sum_tile tile = dki_tile_of_block(op.rows, op.cols, op.tile_rows, op.partial);
    dki_sum_columns<T>(source, tile, shared[0]);
}

/** Eight columns (32 bytes: what a GPU reads at the least) by 32 threads each. */
enum { COLUMNS = 8 };

__global__ void __launch_bounds__(DKI_THREADS)
    add_sums_kernel(float *db, const float *partial, int64_t tiles, int64_t cols, bool accumulate) {
    dki_wait_for_earlier();
    DK_SHARED(dki_sum_memory<1>, shared, 1);
    const int64_t col = (int64_t)blockIdx.x * COLUMNS + threadIdx.x;
    float sum = 0.0f;
    if (col < cols) {
#pragma unroll 8
        for (int64_t tile = threadIdx.y; tile < tiles; tile += blockDim.y)
            sum += partial[tile * cols + col];
    }
    shared[0].parts[threadIdx.y * COLUMNS + threadIdx.x] = sum;
    sum = dki_add_parts<1>(shared[0]);
    if (threadIdx.y == 0 && col < cols) db[col] = accumulate ? db[col] + sum : sum;
}

template <class T> int launch(dki_stream stream, const dki_matrix &matrix, float *partial) {
    operands<T> o = {};
    o.rows = matrix.rows;
    o.cols = matrix.cols;
    o.tile_rows = dki_sum_tile_rows(matrix.rows);
    o.x = dki_view_of<const T>(matrix);
    o.packed = dki_packed<T>(matrix.data, matrix.ld);
    o.partial = partial;
    const dki_tiling tiling = dki_tile_sums<T>(dki_sum_tiles(o.rows), o.cols);
    return DK_LAUNCH((column_sums_kernel<T>), tiling.grid, tiling.block, stream, o);
}

} // namespace

extern "C" int dki_cuda_column_sums(dki_stream stream, dki_element type, dki_matrix matrix,
                                    float *partial) {
    if (matrix.rows <= 0 || matrix.cols <= 0) return 0;
    return dki_with_element(
        type, [&](auto element) { return launch<decltype(element)>(stream, matrix, partial); });
}

extern "C" int dki_cuda_add_sums(dki_stream stream, float *db, const float *partial, int64_t tiles,
                                 int64_t cols, bool accumulate) {
    if (cols <= 0) return 0;
    const unsigned blocks = (unsigned)((cols + COLUMNS - 1) / COLUMNS);
    return DK_LAUNCH(add_sums_kernel, blocks, dim3(COLUMNS, DKI_THREADS / COLUMNS), stream, db,
                     partial, tiles, cols, accumulate);
}
