/* What kernels do with the step state, beside reading it. */
#ifndef DKI_LATCH_CUH
#define DKI_LATCH_CUH

#include "kernels/vector.cuh"

/** Neither NaN nor Inf: Inf − Inf is NaN, which equals nothing. */
template <class T> DKI_DEVICE bool dki_is_finite(T x) {
    return x - x == T(0);
}

/** What another block or kernel may be writing at the time, by an atomic operation. For PTX a volatile load
 *  is a relaxed one (PTX ISA, Memory Consistency Model), which no atomic operation races with. */
template <class T> DKI_DEVICE T dki_load_relaxed(const T *address) {
#if defined(DKI_SIMT)
    return __atomic_load_n(address, __ATOMIC_RELAXED);
#else
    return *(const volatile T *)address;
#endif
}

/** Updates inside products change nothing from here on. Other kernels may write the same at the time,
 *  and products on the other lane read. */
DKI_DEVICE void dki_hold_products(dki_step_state *state) {
    atomicExch((unsigned *)&state->product_scalars[0], __float_as_uint(0.0f));
    atomicExch((unsigned *)&state->product_scalars[1], __float_as_uint(1.0f));
}

/** Notes that this tick saw a value that isn't finite, and where (DKI_AT_…), unless somebody did. Any
 *  number of threads and kernels of a step may do so at once. */
DKI_DEVICE void dki_latch(dki_step_state *state, int64_t at) {
    if (atomicCAS((unsigned long long *)&state->bad_tick, 0ull, (unsigned long long)state->tick) ==
        0)
        state->bad_at = at;
    dki_hold_products(state);
}

/** Whether a step saw a value that isn't finite; an update on the other lane may be noting one now. */
DKI_DEVICE bool dki_is_latched(const dki_step_state *state) {
    return dki_load_relaxed(&state->bad_tick) != 0;
}

/** How many times δ the stored Δ is. */
DKI_DEVICE float dki_loss_scale(const dki_step_state *state) {
    return state->loss_scale == 0.0f ? 1.0f : state->loss_scale;
}

#endif
