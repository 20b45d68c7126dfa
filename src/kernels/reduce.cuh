/* Sums over the threads of a warp or a block, in an order that depends on nothing but the thread's
 * number: the same bits on every run. Every thread of the block takes part. */
#ifndef DKI_REDUCE_CUH
#define DKI_REDUCE_CUH

#include "kernels/vector.cuh"

enum { DKI_WARP = 32 };

/** Σ over the 32 lanes, the same bits in each: partners add the same two numbers. */
template <class T> DKI_DEVICE T dki_warp_sum(T value) {
#pragma unroll
    for (int step = DKI_WARP / 2; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

/** The largest of the 32 lanes' values, in each; NaN is left out unless all are. */
DKI_DEVICE float dki_warp_max(float value) {
#pragma unroll
    for (int step = DKI_WARP / 2; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

/** Σ over a block of THREADS threads, in each of them. `shared` holds THREADS/32 values; it is free
 *  again when this returns. */
template <int THREADS, class T> DKI_DEVICE T dki_block_sum(T value, T *shared) {
    static_assert(THREADS % DKI_WARP == 0 && THREADS <= DKI_WARP * DKI_WARP, "whole warps");
    const unsigned lane = threadIdx.x % DKI_WARP, warp = threadIdx.x / DKI_WARP;
    const T part = dki_warp_sum(value);
    if (lane == 0) shared[warp] = part;
    __syncthreads();
    const T total = dki_warp_sum(lane < THREADS / DKI_WARP ? shared[lane] : T(0));
    __syncthreads();
    return total;
}

#endif
