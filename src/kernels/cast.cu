/* The working copy of the parameters: to[i] = from[i] in the storage type, rounded to nearest, ties
 * to even. Bytes moved per element, with an s-byte storage type: 4 read, s written.
 *
 * settle: the same behind a product that had the update in it, and the only look at what that wrote.
 * A parameter that isn't finite takes its last value back, as the working copy has it. */
#include "kernels/kernels.h"
#include "kernels/latch.cuh"
#include "kernels/tiling.cuh"

namespace {

template <class T>
__global__ void __launch_bounds__(DKI_THREADS)
    cast_kernel(const float *from, T *to, int64_t count, bool packed) {
    dki_wait_for_earlier();
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

/* Whether the parameter was finite. */
template <class T> DKI_DEVICE bool settle_one(float *parameter, T *working) {
    const bool finite = dki_is_finite(*parameter);
    if (finite)
        *working = dki_from_float<T>(*parameter);
    else
        *parameter = dki_to_float(*working);
    return finite;
}

template <class T>
__global__ void __launch_bounds__(DKI_THREADS)
    settle_kernel(float *parameters, T *working, dki_range range, bool packed,
                  dki_step_state *state) {
    dki_wait_for_earlier();
    enum { N = dki_lanes<T>::COUNT };
    const int64_t thread = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    const int64_t packs = packed ? range.count / N : 0;
    int64_t bad = -1;
    for (int64_t pack = thread; pack < packs; pack += threads) {
        float values[N];
        bool good = true;
        dki_load(values, parameters + pack * N);
#pragma unroll
        for (int i = 0; i < N; ++i) good = good && dki_is_finite(values[i]);
        if (good)
            dki_store(working + pack * N, values);
        else
            for (int i = 0; i < N; ++i)
                settle_one(parameters + pack * N + i, working + pack * N + i);
        if (!good) bad = pack * N;
    }
    for (int64_t i = packs * N + thread; i < range.count; i += threads)
        if (!settle_one(parameters + i, working + i)) bad = i;
    if (bad >= 0) dki_latch(state, DKI_AT_PARAMETER + range.first + bad);
}

template <class T> unsigned grid_of(int64_t count) {
    const int64_t blocks = (dki_packs<T>(count) + DKI_THREADS - 1) / DKI_THREADS;
    return (unsigned)(blocks < dki_most_blocks ? blocks : dki_most_blocks);
}

template <class T> int cast(dki_stream stream, const float *from, T *to, int64_t count) {
    const bool packed = dki_packed<float>(from, 0) && dki_packed<T>(to, 0);
    return DK_LAUNCH((cast_kernel<T>), grid_of<T>(count), dim3(DKI_THREADS), stream, from, to,
                     count, packed);
}

template <class T> int settle(dki_stream stream, const dki_update_range *op) {
    float *parameters = op->parameters + op->range.first;
    T *working = static_cast<T *>(op->working) + op->range.first;
    const bool packed = dki_packed<float>(parameters, 0) && dki_packed<T>(working, 0);
    return DK_LAUNCH((settle_kernel<T>), grid_of<T>(op->range.count), dim3(DKI_THREADS), stream,
                     parameters, working, op->range, packed, op->state);
}

} // namespace

extern "C" int dki_cuda_cast(dki_stream stream, dki_element type, const float *from, void *to,
                             int64_t count) {
    if (count <= 0) return 0;
    return dki_with_element(type, [&](auto element) {
        return cast(stream, from, static_cast<decltype(element) *>(to), count);
    });
}

extern "C" const void *dki_cuda_any_kernel() {
    return reinterpret_cast<const void *>(cast_kernel<float>);
}

extern "C" int dki_cuda_settle(dki_stream stream, dki_element type, const dki_update_range *op) {
    if (op->range.count <= 0) return 0;
    return dki_with_element(type,
                            [&](auto element) { return settle<decltype(element)>(stream, op); });
}
