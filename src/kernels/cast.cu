/* The working copy of the parameters: to[i] = from[i] in the storage type, rounded to nearest, ties
 * to even. Bytes moved per element, with an s-byte storage type: 4 read, s written. */
#include "kernels/kernels.h"
#include "kernels/tiling.cuh"

namespace {

template <class T>
__global__ void __launch_bounds__(DKI_THREADS)
    cast_kernel(const float *from, T *to, int64_t count, bool packed) {
    enum { N = dki_lanes<T>::COUNT };
    const int64_t thread = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    const int64_t packs = packed ? count / N : 0;
    for (int64_t pack = thread; pack < packs; pack += threads) {
        float values[N];
        dki_load(values, from + pack * N);
        dki_store(to + pack * N, values);
    }
    for (int64_t i = packs * N + thread; i < count; i += threads)
        to[i] = dki_from_float<T>(from[i]);
}

template <class T> int launch(dki_stream stream, const float *from, T *to, int64_t count) {
    const bool packed = dki_packed<float>(from, 0) && dki_packed<T>(to, 0);
    const int64_t blocks = (dki_packs<T>(count) + DKI_THREADS - 1) / DKI_THREADS;
    const unsigned grid = (unsigned)(blocks < dki_most_blocks ? blocks : dki_most_blocks);
    return DK_LAUNCH((cast_kernel<T>), grid, dim3(DKI_THREADS), stream, from, to, count, packed);
}

} // namespace

extern "C" int dki_cuda_cast(dki_stream stream, dki_element type, const float *from, void *to,
                             int64_t count) {
    if (count <= 0) return 0;
    return dki_with_element(type, [&](auto element) {
        return launch(stream, from, static_cast<decltype(element) *>(to), count);
    });
}
