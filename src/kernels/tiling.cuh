/* How the elements of a matrix are dealt out to threads. A thread has one pack of neighbouring
 * columns (dki_lanes<T>::COUNT of them, 128 bits) in several rows, and loads
 * DKI_IN_FLIGHT packs before it uses the first. A warp has 512 neighbouring bytes of a row, or several rows where they
 * are narrower. */
#ifndef DKI_TILING_CUH
#define DKI_TILING_CUH

#include "kernels/vector.cuh"

enum {
    DKI_THREADS = 256, /* of a block */
    DKI_IN_FLIGHT = 4  /* packs that a thread loads at a time */
};

/** Blocks that a multiprocessor has room for at a time, for the kernels with most in registers: three
 *  leave a thread 80 of them. From sm_100 on ptxas wants more and would spill. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#define DKI_RESIDENT_BLOCKS 2
#else
#define DKI_RESIDENT_BLOCKS 3
#endif

/** About as many blocks as a large GPU holds at a time, twice over: where there would be more, threads
 *  take further rows instead, and keep what they know of their columns. */
static const int64_t dki_most_blocks = 1024;

/** Two for each multiprocessor of an H100. */
static const int64_t dki_least_blocks = 264;

/** A matrix as kernels see it. */
template <class T> struct dki_view {
    T *data; /* NULL = absent */
    int64_t ld;

    DKI_DEVICE T *at(int64_t row, int64_t col) const { return data + row * ld + col; }
};

template <class T> static inline dki_view<T> dki_view_of(const dki_matrix &matrix) {
    return dki_view<T>{static_cast<T *>(matrix.data), matrix.ld};
}

/** Packs in a row of so many columns. */
template <class T> static inline int64_t dki_packs(int64_t cols) {
    return (cols + dki_lanes<T>::COUNT - 1) / dki_lanes<T>::COUNT;
}

struct dki_tiling {
    dim3 grid, block;
};

/** A block of x packs × y rows, x a power of 2 and at most `widest`. */
static inline dim3 dki_block_of(int64_t packs, unsigned widest) {
    unsigned x = 1;
    while (x < widest && x < packs) x *= 2;
    return dim3(x, DKI_THREADS / x);
}

/** For kernels where each element is on its own: a thread has the rows
 *  blockIdx.y·blockDim.y + threadIdx.y + i·gridDim.y·blockDim.y. */
template <class T> static inline dki_tiling dki_tile_elements(int64_t rows, int64_t cols) {
    const int64_t packs = dki_packs<T>(cols);
    const dim3 block = dki_block_of(packs, 32);
    const int64_t across = (packs + block.x - 1) / block.x;
    const int64_t down = (rows + block.y - 1) / block.y;
    const int64_t most = across < dki_most_blocks ? dki_most_blocks / across : 1;
    return dki_tiling{dim3((unsigned)across, (unsigned)(down < most ? down : most)), block};
}

/** For column sums: blockIdx.y is a tile of rows. Blocks get narrower, down to 128 bytes, where
 *  there would be too few of them. */
template <class T> static inline dki_tiling dki_tile_sums(int64_t tiles, int64_t cols) {
    const int64_t packs = dki_packs<T>(cols);
    unsigned widest = 32;
    while (widest > 8 && (packs + widest - 1) / widest * tiles < dki_least_blocks) widest /= 2;
    const dim3 block = dki_block_of(packs, widest);
    const int64_t across = (packs + block.x - 1) / block.x;
    return dki_tiling{dim3((unsigned)across, (unsigned)tiles), block};
}

#endif
