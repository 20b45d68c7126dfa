/* Column sums of a tile of rows by one block of DKI_THREADS threads, x packs × y rows: each thread
 * adds up its pack's columns over its rows, then the block adds its rows' threads. The order depends
 * on the shape of the matrix alone. */
#ifndef DKI_COLUMN_SUMS_CUH
#define DKI_COLUMN_SUMS_CUH

#include "kernels/tiling.cuh"

/** A tile of rows first … end−1, and where the sums of its columns go: NULL = nowhere. */
struct dki_sum_tile {
    int64_t first, end, cols;
    float *sums; /* [cols] */
};

/** What a block shares: first a sum of each thread and each of its LANES columns,
 *  [threadIdx.y][threadIdx.x][lane], then one of each thread. */
template <int LANES> struct dki_sum_memory {
    alignas(16) float parts[DKI_THREADS * LANES];
    float folded[DKI_THREADS];
};

/** With what all threads have put into memory.parts: Σ over threadIdx.y of each of the block's
 *  C = LANES·blockDim.x columns, in the first C threads. In two steps, the first of which takes
 *  every thread: blockDim.y = (DKI_THREADS/C)·LANES rows of parts are as many times LANES as there
 *  are times C threads. */
template <int LANES> DKI_DEVICE float dki_add_parts(dki_sum_memory<LANES> &memory) {
    const unsigned columns = LANES * blockDim.x, thread = threadIdx.y * blockDim.x + threadIdx.x;
    const unsigned column = thread % columns, group = thread / columns;
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < LANES; ++i)
        sum += memory.parts[(group * LANES + i) * columns + column];
    memory.folded[thread] = sum;
    __syncthreads();
    if (thread >= columns) return 0.0f;
    sum = 0.0f;
#pragma unroll 8
    for (unsigned i = thread; i < DKI_THREADS; i += columns) sum += memory.folded[i];
    return sum;
}

/** The sums of what `source` says of a tile: source.packs(row, stride, end, col, sums) adds the packs at
 *  col of Source::ROWS rows row, row + stride, … below end; beyond the row's end sums may be anything.
 *  It may write as it goes: it is called once for each pack. */
template <class T, class Source>
DKI_DEVICE void dki_sum_columns(const Source &source, const dki_sum_tile &tile,
                                dki_sum_memory<dki_lanes<T>::COUNT> &memory) {
    enum { N = dki_lanes<T>::COUNT };
    const int64_t pack = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t col = pack * N, first = tile.first + threadIdx.y;
    float *parts = memory.parts + (threadIdx.y * blockDim.x + threadIdx.x) * N;
    if (col < tile.cols) {
        float sums[N] = {};
        for (int64_t row = first; row < tile.end; row += Source::ROWS * blockDim.y)
            source.packs(row, blockDim.y, tile.end, col, sums);
        if (tile.sums) dki_store(parts, sums);
    }
    if (!tile.sums) return;
    const float sum = dki_add_parts<N>(memory);
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, columns = N * blockDim.x;
    const int64_t to = (int64_t)blockIdx.x * columns + thread;
    if (thread < columns && to < tile.cols) tile.sums[to] = sum;
}

/** The block's tile: blockIdx.y counts tiles of tile_rows rows. */
DKI_DEVICE dki_sum_tile dki_tile_of_block(int64_t rows, int64_t cols, int64_t tile_rows,
                                          float *partial) {
    const int64_t first = (int64_t)blockIdx.y * tile_rows, end = first + tile_rows;
    return dki_sum_tile{first, end < rows ? end : rows, cols,
                        partial ? partial + (int64_t)blockIdx.y * cols : NULL};
}

#endif
