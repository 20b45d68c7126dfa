/* Random numbers as a function of where they are used: Philox4x32-10 (Salmon et al., "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011). No state, so every backend, any number of threads
 * and any order of work draw the same words.
 *
 * Key = seed. Counter, four words of 32 bits:
 *     c0 = element / 4 (the block's four words belong to four neighbouring elements)
 *     c1 = row
 *     c2 = low 32 bits of the tick
 *     c3 = purpose (8 bits) | layer << 8 (12 bits: at most 4095) | bits 32 … 43 of the tick << 20
 * so no two uses meet for less than 2³⁴ elements in a row, 2³² rows and 2⁴⁴ ticks. */
#ifndef DKI_PHILOX_H
#define DKI_PHILOX_H

#include "kernels/function.h"

typedef struct dki_words {
    uint32_t v[4];
} dki_words;

/** What the words are for; part of the counter, so the numbers are part of every seed's meaning. */
enum dki_purpose { DKI_FOR_INIT = 0, DKI_FOR_DROPOUT = 1, DKI_FOR_SHUFFLE = 2, DKI_FOR_SYNTH = 3 };

/** Philox4x32-10 of key `seed` (low word first) and counter (c0, c1, c2, c3). */
DKI_FN dki_words dki_philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    dki_words words;
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; /* the golden ratio */
        k1 += 0xBB67AE85u; /* √3 − 1 */
    }
    words.v[0] = c0;
    words.v[1] = c1;
    words.v[2] = c2;
    words.v[3] = c3;
    return words;
}

/** The counter of elements 4·block … 4·block + 3 of a row, as above. */
DKI_FN dki_words dki_random_counter(enum dki_purpose purpose, uint32_t layer, uint64_t tick,
                                    uint32_t row, uint32_t block) {
    dki_words counter;
    counter.v[0] = block;
    counter.v[1] = row;
    counter.v[2] = (uint32_t)tick;
    counter.v[3] = (uint32_t)purpose | layer << 8 | (uint32_t)(tick >> 32) << 20;
    return counter;
}

/** The four words of these elements. */
DKI_FN dki_words dki_random_block(uint64_t seed, enum dki_purpose purpose, uint32_t layer,
                                  uint64_t tick, uint32_t row, uint32_t block) {
    const dki_words counter = dki_random_counter(purpose, layer, tick, row, block);
    return dki_philox(seed, counter.v[0], counter.v[1], counter.v[2], counter.v[3]);
}

/** The word of one element. */
DKI_FN uint32_t dki_random_word(uint64_t seed, enum dki_purpose purpose, uint32_t layer,
                                uint64_t tick, uint32_t row, uint64_t element) {
    const dki_words words =
        dki_random_block(seed, purpose, layer, tick, row, (uint32_t)(element / 4));
    return words.v[element % 4];
}

/** Words below this drop their element, which has probability p to 2⁻³³: round(p·2³²). 0 ≤ p < 1.
 */
DKI_FN uint32_t dki_dropout_threshold(float p) {
    return (uint32_t)(uint64_t)((double)p * 4294967296.0 + 0.5);
}

/** What a kept element is multiplied by: 1/(1 − p). */
DKI_FN float dki_dropout_keep_scale(float p) {
    return 1.0f / (1.0f - p);
}

/** The factor of an element: 0 if it is dropped. */
DKI_FN float dki_dropout_scale(uint32_t word, uint32_t threshold, float keep_scale) {
    return word < threshold ? 0.0f : keep_scale;
}

/** Uniform in (−1, 1): the odd multiples of 2⁻²⁴, each equally often, from the upper 24 bits.
 * Exact, symmetric, never 0 or ±1; variance (1 − 2⁻⁴⁸)/3. */
DKI_FN float dki_uniform(uint32_t word) {
    return (float)((int32_t)(word >> 8) * 2 - 0xffffff) * 0x1p-24f;
}

#endif
