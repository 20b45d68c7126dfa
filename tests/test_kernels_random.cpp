/* The random numbers: known answers of Philox, the exact distributions of uniform and normal
 * variates, and the shuffle as a permutation that looks like a random one. */
extern "C" {
#include "kernels/scalar.h"
#include "kernels/shuffle.h"
}

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#if defined(__has_include)
#if __has_include(<curand_philox4x32_x.h>) && __has_include(<vector_types.h>)
#define QUALIFIERS static inline
#include <vector_types.h>

#include <curand_philox4x32_x.h>
#define DKI_TEST_CURAND 1
#endif
#endif

namespace {

/** A plain 64-bit generator for test inputs (splitmix64). */
uint64_t next(uint64_t &state) {
    uint64_t x = state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

void expect_words(const dki_words &words, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    EXPECT_EQ(words.v[0], a);
    EXPECT_EQ(words.v[1], b);
    EXPECT_EQ(words.v[2], c);
    EXPECT_EQ(words.v[3], d);
}

/* Known answers of Random123 (tests/kat_vectors, philox 4x32 10). */
TEST(KernelsRandom, PhiloxKnownAnswers) {
    expect_words(dki_philox(0, 0, 0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    expect_words(dki_philox(~uint64_t{0}, ~0u, ~0u, ~0u, ~0u), 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
                 0x6d5451fd);
    expect_words(dki_philox(0x299f31d0a4093822u, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344),
                 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
}

#ifdef DKI_TEST_CURAND
TEST(KernelsRandom, PhiloxIsCurands) {
    uint64_t state = 1;
    for (int i = 0; i < 100000; ++i) {
        const uint64_t seed = next(state), low = next(state), high = next(state);
        uint4 counter;
        uint2 key;
        counter.x = static_cast<uint32_t>(low);
        counter.y = static_cast<uint32_t>(low >> 32);
        counter.z = static_cast<uint32_t>(high);
        counter.w = static_cast<uint32_t>(high >> 32);
        key.x = static_cast<uint32_t>(seed);
        key.y = static_cast<uint32_t>(seed >> 32);
        const uint4 want = curand_Philox4x32_10(counter, key);
        const dki_words words = dki_philox(seed, counter.x, counter.y, counter.z, counter.w);
        ASSERT_TRUE(words.v[0] == want.x && words.v[1] == want.y && words.v[2] == want.z &&
                    words.v[3] == want.w)
            << i;
    }
}
#endif

TEST(KernelsRandom, EveryUseHasItsOwnCounter) {
    const uint64_t tick = 0x0abc12345678u;
    const dki_words block = dki_random_block(7, DKI_FOR_DROPOUT, 3, tick, 5, 2);
    const dki_words same = dki_philox(7, 2, 5, 0x12345678, 1u | 3u << 8 | 0xabcu << 20);
    for (uint32_t j = 0; j < 4; ++j) {
        EXPECT_EQ(block.v[j], same.v[j]);
        EXPECT_EQ(dki_random_word(7, DKI_FOR_DROPOUT, 3, tick, 5, 8 + j), same.v[j]);
    }
    EXPECT_NE(dki_random_word(7, DKI_FOR_INIT, 3, tick, 5, 8), same.v[0]);
    EXPECT_NE(dki_random_word(7, DKI_FOR_DROPOUT, 4, tick, 5, 8), same.v[0]);
    EXPECT_NE(dki_random_word(8, DKI_FOR_DROPOUT, 3, tick, 5, 8), same.v[0]);
}

/* 10⁶ words: the count of dropped ones is binomial; 6 standard deviations. */
TEST(KernelsRandom, DropoutDropsItsShare) {
    EXPECT_EQ(dki_dropout_threshold(0.0f), 0u);
    EXPECT_EQ(dki_dropout_threshold(0.5f), 0x80000000u);
    EXPECT_EQ(dki_dropout_threshold(0x1.fffffep-1f), 0xffffff00u);
    EXPECT_EQ(dki_dropout_keep_scale(0.75f), 4.0f);
    EXPECT_EQ(dki_dropout_scale(0, 0, 1.0f), 1.0f);
    EXPECT_EQ(dki_dropout_scale(0x7fffffff, 0x80000000u, 2.0f), 0.0f);
    EXPECT_EQ(dki_dropout_scale(0x80000000u, 0x80000000u, 2.0f), 2.0f);
    const int count = 1000000;
    for (const float p : {0.1f, 0.5f, 0.9f}) {
        const uint32_t threshold = dki_dropout_threshold(p);
        int dropped = 0;
        for (uint32_t block = 0; block < count / 4; ++block)
            for (const uint32_t word : dki_random_block(1, DKI_FOR_DROPOUT, 1, 0, 0, block).v)
                dropped += dki_dropout_scale(word, threshold, 1.0f) == 0.0f;
        EXPECT_NEAR(dropped, p * count, 6 * std::sqrt(count * p * (1 - p))) << p;
    }
}

TEST(KernelsRandom, UniformIsSymmetricAndOpen) {
    EXPECT_EQ(dki_uniform(0), -(1.0f - 0x1p-24f));
    EXPECT_EQ(dki_uniform(~0u), 1.0f - 0x1p-24f);
    EXPECT_EQ(dki_uniform(0x80000000u), 0x1p-24f);
    double squares = 0;
    const uint32_t stride = 4096; /* every 16th of the 2²⁴ values, and their mirror images */
    for (uint64_t word = 0; word < uint64_t{1} << 31; word += stride) {
        const float u = dki_uniform(static_cast<uint32_t>(word));
        ASSERT_EQ(dki_uniform(~static_cast<uint32_t>(word)), -u);
        squares += 2.0 * u * u;
    }
    /* a left Riemann sum of x² over (−1, 0), doubled: within one cell of 1/3 */
    EXPECT_NEAR(squares / 0x1p20, 1.0 / 3.0, 0x1p-19);
}

/* The variate is Φ⁻¹ at the midpoint of the word's interval: so Φ of it is that midpoint, to
 * φ(x)·1.5e-6 + rounding, where 1.5e-6 is dki_normal's absolute error. */
TEST(KernelsRandom, NormalInvertsItsDistribution) {
    for (uint64_t word = 0; word < uint64_t{1} << 32; word += 8191) {
        const float x = dki_normal(static_cast<uint32_t>(word));
        const double want = (static_cast<double>(word) + 0.5) * 0x1p-32;
        const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
        /* past the argument's own step the slope of Φ changes by e^(x·error) ≤ 1 + 2⁻¹⁶ */
        ASSERT_NEAR(0.5 * std::erfc(-x * M_SQRT1_2), want, 1.5e-6 * density * 1.001 + 1e-16)
            << word;
        ASSERT_EQ(dki_normal(~static_cast<uint32_t>(word)), -x) << word;
    }
    EXPECT_NEAR(dki_normal(~0u), 6.3379577545537896, 1.5e-6); /* Φ⁻¹(1 − 2⁻³³) */
}

/* Mean 0 by symmetry. Over the midpoints of 2¹⁹ cells of words the variance is 1 − T, where T <
 * 2e-5 is what the cells at the two ends lose of ∫x² dΦ: a cell of probability h = 2⁻¹⁹ at the end
 * holds at most h·(x² + 2) with x² = 23.3; plus 2·1.5e-6·E|x| for the variates' error. */
TEST(KernelsRandom, NormalHasUnitVariance) {
    double squares = 0, sum = 0;
    const uint32_t stride = 8192;
    for (uint64_t word = stride / 2; word < uint64_t{1} << 32; word += stride) {
        const double x = dki_normal(static_cast<uint32_t>(word));
        sum += x;
        squares += x * x;
    }
    const double cells = 0x1p19;
    EXPECT_NEAR(squares / cells, 1.0, 2 * 25.3 * 0x1p-19 + 2 * 1.5e-6);
    EXPECT_NEAR(sum / cells, 0.0,
                7 * 2 * 0x1p-19); /* word + ½ isn't quite mirrored by the stride */
}

TEST(KernelsShuffle, IsAPermutation) {
    for (const uint64_t n : {1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 1000, 60000}) {
        for (uint64_t epoch = 0; epoch < 3; ++epoch) {
            std::vector<bool> seen(n);
            for (uint64_t i = 0; i < n; ++i) {
                const uint64_t at = dki_shuffle(42, epoch, n, i);
                ASSERT_LT(at, n);
                ASSERT_FALSE(seen[at]) << n << " " << i;
                seen[at] = true;
            }
        }
    }
    for (uint64_t i = 0; i < 1000; ++i)
        EXPECT_LT(dki_shuffle(1, 2, (uint64_t{1} << 40) + 12345, i), (uint64_t{1} << 40) + 12345);
}

/* A random permutation of 1000 leaves one place alone on average (Poisson with mean 1): more than
 * 12 would have a probability below 1e-9. */
TEST(KernelsShuffle, EpochsAndSeedsDiffer) {
    int by_epoch = 0, by_seed = 0, fixed = 0, neighbours = 0;
    for (uint64_t i = 0; i < 1000; ++i) {
        const uint64_t at = dki_shuffle(1, 1, 1000, i);
        by_epoch += at == dki_shuffle(1, 2, 1000, i);
        by_seed += at == dki_shuffle(2, 1, 1000, i);
        fixed += at == i;
        neighbours += dki_shuffle(1, 1, 1000, (i + 1) % 1000) == (at + 1) % 1000;
    }
    EXPECT_LE(by_epoch, 12);
    EXPECT_LE(by_seed, 12);
    EXPECT_LE(fixed, 12);
    EXPECT_LE(neighbours, 12);
}

/* Each of the 120 permutations of five equally often: chi-square with 119 degrees of freedom,
 * normal to good approximation with mean 119 and variance 238; 5 standard deviations. */
TEST(KernelsShuffle, SmallPermutationsAreEquallyLikely) {
    const int rounds = 120 * 200;
    std::vector<int> count(5 * 5 * 5 * 5);
    for (int epoch = 0; epoch < rounds; ++epoch) {
        size_t code = 0;
        for (uint64_t i = 0; i < 4; ++i)
            code = code * 5 + dki_shuffle(3, static_cast<uint64_t>(epoch), 5, i);
        ++count[code];
    }
    double chi = 0;
    int kinds = 0;
    for (const int c : count) {
        kinds += c > 0;
        if (c > 0) chi += (c - 200.0) * (c - 200.0) / 200.0;
    }
    EXPECT_EQ(kinds, 120);
    EXPECT_NEAR(chi, 119, 5 * std::sqrt(238.0));
}

/* Positions and values in 25 ranges of 40 each: over many epochs every pair of ranges holds
 * 40·40/1000 = 1.6 of a random permutation's points on average. The table's margins are fixed, so
 * Σ(c − 1.6)²/1.6 has mean 24²·n/(n − 1); over 400 epochs its sum is normal with variance 2·24²
 * each (to O(1/n)); 5 standard deviations. The order of one epoch given the one before is tested
 * likewise. */
double table_chi(uint64_t n, uint64_t epochs, bool from_last_epoch) {
    const uint64_t ranges = 25, width = n / ranges;
    double chi = 0;
    std::vector<int> count(ranges * ranges);
    for (uint64_t epoch = 1; epoch <= epochs; ++epoch) {
        std::fill(count.begin(), count.end(), 0);
        for (uint64_t i = 0; i < n; ++i) {
            const uint64_t from = from_last_epoch ? dki_shuffle(9, epoch - 1, n, i) : i;
            ++count[from / width * ranges + dki_shuffle(9, epoch, n, i) / width];
        }
        const double mean = static_cast<double>(width * width) / static_cast<double>(n);
        for (const int c : count) chi += (c - mean) * (c - mean) / mean;
    }
    return chi;
}

TEST(KernelsShuffle, LooksRandom) {
    const double epochs = 400, n = 1000;
    const double mean = epochs * 24 * 24 * n / (n - 1), spread = std::sqrt(epochs * 2 * 24 * 24);
    EXPECT_NEAR(table_chi(1000, 400, false), mean, 5 * spread);
    EXPECT_NEAR(table_chi(1000, 400, true), mean, 5 * spread);
}

} // namespace
