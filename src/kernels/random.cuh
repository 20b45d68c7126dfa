/* Random words on the device, by cuRAND's Philox4x32-10: word for word those of philox.h (which the
 * tests compare), in the form that NVIDIA keeps fast. Only the function of counter and key is used;
 * there is no generator state. */
#ifndef DKI_RANDOM_CUH
#define DKI_RANDOM_CUH

#include "kernels/philox.h"
#include "kernels/vector.cuh"

#include <curand_philox4x32_x.h>

/** dki_philox. */
DKI_DEVICE dki_words dki_device_philox(uint64_t seed, const dki_words &counter) {
    const uint4 c = make_uint4(counter.v[0], counter.v[1], counter.v[2], counter.v[3]);
    const uint4 r = curand_Philox4x32_10(c, make_uint2((unsigned)seed, (unsigned)(seed >> 32)));
    return dki_words{{r.x, r.y, r.z, r.w}};
}

/** dki_random_block. */
DKI_DEVICE dki_words dki_device_random_block(uint64_t seed, enum dki_purpose purpose,
                                             uint32_t layer, uint64_t tick, uint32_t row,
                                             uint32_t block) {
    return dki_device_philox(seed, dki_random_counter(purpose, layer, tick, row, block));
}

/** The dropout of a layer in one tick: factors 0 or 1/(1 − p), drawn anew wherever they are needed.
 */
struct dki_dropout {
    uint64_t seed, tick;
    uint32_t layer, first_row, threshold;
    float scale;

    /** None without a state or with threshold 0. */
    DKI_DEVICE dki_dropout(const dki_nonlinearity &g, const dki_step_state *state)
        : seed(0), tick(0), layer(g.layer), first_row(g.first_row),
          threshold(state ? g.dropout_threshold : 0), scale(g.dropout_scale) {
        if (!threshold) return;
        seed = state->seed;
        tick = state->tick;
    }

    /** x ← x ⊙ factors of columns col … col + N − 1 of a row; col is a multiple of 4. */
    template <int N> DKI_DEVICE void apply(float (&x)[N], int64_t row, int64_t col) const {
        static_assert(N % 4 == 0, "whole blocks of words");
        if (!threshold) return;
#pragma unroll
        for (int j = 0; j < N; j += 4) {
            const dki_words words =
                dki_device_random_block(seed, DKI_FOR_DROPOUT, layer, tick,
                                        first_row + (uint32_t)row, (uint32_t)((col + j) / 4));
#pragma unroll
            for (int i = 0; i < 4; ++i) x[j + i] *= dki_dropout_scale(words.v[i], threshold, scale);
        }
    }
};

#endif
