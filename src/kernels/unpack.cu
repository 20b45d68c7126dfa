/* Padded rows in the storage type to dense rows of floats: to[i, j] = from[i, j]. What an
 * application gets of an output. Bytes moved per element, with an s-byte storage type: s read, 4
 * written. */
#include "kernels/kernels.h"
#include "kernels/tiling.cuh"

namespace {

template <class T>
__global__ void __launch_bounds__(DKI_THREADS)
    unpack_kernel(dki_view<const T> from, int64_t rows, int64_t cols, float *to, bool packed_from,
                  bool packed_to) {
    dki_wait_for_earlier();
    enum { N = dki_lanes<T>::COUNT };
    const int64_t col = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N;
    const int64_t first = (int64_t)blockIdx.y * blockDim.y + threadIdx.y;
    const int64_t stride = (int64_t)gridDim.y * blockDim.y;
    for (int64_t row = first; row < rows && col < cols; row += stride) {
        const int64_t count = cols - col;
        dki_pack<T> pack;
        float values[N];
        pack.load_row(from.at(row, col), count, packed_from);
        pack.get(values);
        dki_store_some(to + row * cols + col, values, count, packed_to);
    }
}

template <class T> int launch(dki_stream stream, const dki_matrix &from, float *to) {
    const dki_tiling tiling = dki_tile_elements<T>(from.rows, from.cols);
    const dki_view<const T> view{static_cast<const T *>(from.data), from.ld};
    return DK_LAUNCH((unpack_kernel<T>), tiling.grid, tiling.block, stream, view, from.rows,
                     from.cols, to, dki_packed<T>(from.data, from.ld),
                     dki_packed<float>(to, from.cols));
}

} // namespace

extern "C" int dki_cuda_unpack(dki_stream stream, dki_element type, dki_matrix from, float *to) {
    if (from.rows <= 0 || from.cols <= 0) return 0;
    return dki_with_element(
        type, [&](auto element) { return launch<decltype(element)>(stream, from, to); });
}
