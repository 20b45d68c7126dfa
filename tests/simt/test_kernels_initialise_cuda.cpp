// initialise.cu on the thread emulator, element by element from the definition of the random words.
#include "simt/kernels.h"

extern "C" {
#include "kernels/init.h"
}

using namespace kernels;

namespace {

const uint64_t seed = 0xfedcba9876543210u;
const uint32_t layer = 4095;

void expect_weights(const Size &size, const Place &place, dki_init_rule rule, uint64_t order) {
    simt::set_order(order);
    Matrix w(DKI_ELEMENT_F32, size.rows, size.cols, place);
    dki_initialise op{};
    op.w = w.view();
    op.rule = rule;
    op.seed = seed;
    op.layer = layer;
    EXPECT_EQ(0, dki_cuda_initialise(nullptr, &op));
    Floats expected;
    for (int64_t i = 0; i < size.rows; ++i)
        for (int64_t j = 0; j < size.cols; ++j) {
            const uint32_t word = dki_random_word(
                seed, DKI_FOR_INIT, layer, 0, static_cast<uint32_t>(i), static_cast<uint64_t>(j));
            const float variate =
                rule.distribution == DKI_NORMAL ? dki_normal(word) : dki_uniform(word);
            expected.push_back(rule.distribution == DKI_CONSTANT ? rule.scale
                                                                 : rule.scale * variate);
        }
    expect_same(w.read(), expected, describe("initialise", DKI_ELEMENT_F32, size, place));
}

} // namespace

// Breaks with a word of another element, layer or purpose, a tail left out, padding written.
TEST(InitialiseKernel, IsAFunctionOfTheElement) {
    uint64_t order = 0;
    for (const Size &size : sizes)
        for (const Place &place : places)
            for (dki_distribution distribution : {DKI_CONSTANT, DKI_UNIFORM, DKI_NORMAL})
                expect_weights(size, place, {distribution, 0.375f}, order++ % 5);
}

// Breaks where rows that the grid doesn't have threads for are left out.
TEST(InitialiseKernel, TakesMoreRowsThanTheGridHasThreads) {
    expect_weights({1024 * 256 + 257, 3}, places[0], {DKI_UNIFORM, 1.0f}, 0);
}

TEST(InitialiseKernel, OfNothingDoesNothing) {
    dki_initialise op{};
    EXPECT_EQ(0, dki_cuda_initialise(nullptr, &op));
}
