/* The order of samples: a seeded permutation of 0 … n−1, computed element by element, so that it
 * takes no memory and is the same on every device.
 *
 * A Feistel network permutes the integers of b bits, 2ᵇ⁻¹ < n ≤ 2ᵇ, whatever its round function
 * is; results ≥ n are sent through again until one is below n ("cycle walking", Black and Rogaway,
 * CT-RSA 2002), which takes less than two passes on average and keeps the map a permutation. b is
 * at least 8: halves of two or three bits give too few round functions to make all orders of a
 * handful of rows equally likely, and 256 passes cost nothing. */
#ifndef DKI_SHUFFLE_H
#define DKI_SHUFFLE_H

#include "kernels/philox.h"

enum { DKI_SHUFFLE_ROUNDS = 8 };

/** The round function: a multiply–xorshift hash of the half word under the round's key. */
DKI_FN uint32_t dki_shuffle_mix(uint32_t half, uint32_t key) {
    uint64_t x = (uint64_t)(half ^ key) * 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    return (uint32_t)(x >> 32);
}

/** Where position i < n of an epoch finds its sample. n ≤ 2⁶². */
DKI_FN uint64_t dki_shuffle(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t i) {
    const dki_words first = dki_random_block(seed, DKI_FOR_SHUFFLE, 0, epoch, 0, 0);
    const dki_words second = dki_random_block(seed, DKI_FOR_SHUFFLE, 0, epoch, 0, 1);
    int bits = 8;
    while (bits < 62 && n > (uint64_t)1 << bits) ++bits;
    const int low_bits = bits / 2, high_bits = bits - low_bits;
    const uint32_t low_mask = (uint32_t)(((uint64_t)1 << low_bits) - 1);
    const uint32_t high_mask = (uint32_t)(((uint64_t)1 << high_bits) - 1);
    do {
        uint32_t low = (uint32_t)i & low_mask, high = (uint32_t)(i >> low_bits);
        for (int pair = 0; pair < DKI_SHUFFLE_ROUNDS / 2; ++pair) {
            high ^= dki_shuffle_mix(low, first.v[pair]) & high_mask;
            low ^= dki_shuffle_mix(high, second.v[pair]) & low_mask;
        }
        i = (uint64_t)high << low_bits | low;
    } while (i >= n);
    return i;
}

#endif
