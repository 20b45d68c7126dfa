// random.cuh: cuRAND's Philox is the host's, word for word.
#include "kernels/random.cuh"
#include "simt/kernels.h"

using namespace kernels;

namespace {

std::vector<uint32_t> words(const dki_words &words) {
    return {words.v, words.v + 4};
}

} // namespace

// The vectors for philox4x32-10 that come with Random123 (kat_vectors).
TEST(RandomOnTheDevice, GivesTheKnownAnswers) {
    EXPECT_EQ(words(dki_device_philox(0, {{0, 0, 0, 0}})),
              (std::vector<uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    const uint32_t ones = 0xffffffff;
    EXPECT_EQ(words(dki_device_philox(~uint64_t{0}, {{ones, ones, ones, ones}})),
              (std::vector<uint32_t>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(words(dki_device_philox(0x299f31d0a4093822u,
                                      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}})),
              (std::vector<uint32_t>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Breaks with a part of the counter or of the seed in another place.
TEST(RandomOnTheDevice, IsTheHostsPhilox) {
    Random random(1);
    for (int i = 0; i < 100000; ++i) {
        const uint64_t seed = random(), tick = random() >> 20;
        const uint32_t row = static_cast<uint32_t>(random());
        const uint32_t block = static_cast<uint32_t>(random());
        const uint32_t layer = static_cast<uint32_t>(random()) % 4096;
        const dki_purpose purpose = random() % 2 ? DKI_FOR_DROPOUT : DKI_FOR_INIT;
        ASSERT_EQ(words(dki_device_random_block(seed, purpose, layer, tick, row, block)),
                  words(dki_random_block(seed, purpose, layer, tick, row, block)));
    }
}

// Breaks where an element of a pack has another one's factor.
TEST(RandomOnTheDevice, DropsTheElementsOfTheirWords) {
    const dki_step_state state = state_at(9);
    const dki_nonlinearity g = with_dropout(nonlinearity(DK_RELU), 0.5f);
    const dki_dropout dropout(g, &state);
    for (int64_t row : {0, 1, 1000})
        for (int64_t col : {0, 8, 4096}) {
            float x[8] = {1, 1, 1, 1, 1, 1, 1, 1};
            dropout.apply(x, row, col);
            for (int64_t j = 0; j < 8; ++j) EXPECT_EQ(x[j], mask(g, state, row, col + j));
        }
}
