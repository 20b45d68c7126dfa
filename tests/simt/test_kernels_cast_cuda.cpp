// cast.cu on the thread emulator, against rounding as the tests define it.
#include "simt/kernels.h"

using namespace kernels;

namespace {

Floats cast(dki_element type, const Floats &values, int64_t from_offset, int64_t to_offset,
            uint64_t order) {
    simt::set_order(order);
    const int64_t count = static_cast<int64_t>(values.size());
    Array<float> from(values, static_cast<size_t>(from_offset));
    Matrix to(type, 1, count, {0, to_offset});
    EXPECT_EQ(0, dki_cuda_cast(nullptr, type, from.data(), to.data(), count));
    EXPECT_TRUE(same_bits(from.read(), values));
    return to.read();
}

Floats expected(dki_element type, const Floats &values) {
    Floats result;
    for (float x : values)
        result.push_back(static_cast<float>(rounded(type, static_cast<double>(x))));
    return result;
}

/// Numbers from the smallest to the largest, of either sign.
float any_float(Random &random) {
    float x;
    do {
        const uint32_t bits = static_cast<uint32_t>(random());
        std::memcpy(&x, &bits, sizeof x);
    } while (std::isnan(x));
    return x;
}

} // namespace

// Breaks with a tail left out, a 128-bit access of what doesn't lie on 16 bytes, anything written
// beyond the end.
TEST(CastKernel, TakesAnyCountAndPlace) {
    Random random(1);
    for (int64_t count : {1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 31, 33, 1021, 2053})
        for (dki_element type : elements)
            for (int64_t from_offset : {0, 1, 4})
                for (int64_t to_offset : {0, 1, 8}) {
                    const Floats values = random.normal(DKI_ELEMENT_F32, count);
                    expect_same(cast(type, values, from_offset, to_offset, random() % 5),
                                expected(type, values), "cast to " + element_name(type));
                }
}

// Breaks with truncation, with ties away from 0, with numbers below the normal ones flushed to 0,
// with the largest number in place of ∞.
TEST(CastKernel, RoundsToNearestEven) {
    Random random(2);
    for (dki_element type : elements) {
        Floats values = {0.0f,     -0.0f,     INFINITY,       -INFINITY,       NAN,
                         65504.0f, 65519.99f, 65520.0f,       0x1.fffffep127f, 0x1p-149f,
                         0x1p-24f, 0x1p-25f,  0x1.000002p-25f};
        const Format format = format_of(type);
        for (int i = 0; i < 20000; ++i) {
            values.push_back(any_float(random));
            /* halfway between neighbours, and one step to either side */
            const float x = static_cast<float>(rounded(type, random.normal(type, 1)[0]));
            const float half = std::ldexp(1.0f, std::ilogb(x) - format.digits);
            values.push_back(x + half);
            values.push_back(std::nextafter(x + half, 0.0f));
            values.push_back(std::nextafter(x + half, 9.0f));
        }
        expect_same(cast(type, values, 0, 0, 2), expected(type, values), element_name(type));
        expect_same(cast(type, values, 1, 0, 3), expected(type, values), element_name(type));
    }
}

// Breaks where what the grid doesn't have threads for is left out.
TEST(CastKernel, TakesMoreThanTheGridHasThreads) {
    Random random(3);
    for (dki_element type : {DKI_ELEMENT_F32, DKI_ELEMENT_BF16}) {
        const int64_t lanes = 16 / static_cast<int64_t>(dki_element_bytes(type));
        const Floats values = random.integers(1024 * 256 * lanes + 1021);
        expect_same(cast(type, values, 0, 0, 0), values, element_name(type));
    }
}

TEST(CastKernel, OfNothingDoesNothing) {
    EXPECT_EQ(0, dki_cuda_cast(nullptr, DKI_ELEMENT_BF16, nullptr, nullptr, 0));
}

// --- settle -------------------------------------------------------------------------------------

namespace {

/// Where the regions begin, in elements after 256 bytes.
struct Offsets {
    int64_t parameters, working;
};

/// Elements 32 … 32+count−1 of a region settled; the working copy was 2 everywhere.
dki_step_state settle(dki_element type, Floats &values, Floats &working, const Offsets &offsets,
                      uint64_t order) {
    simt::set_order(order);
    const int64_t first = 32, count = static_cast<int64_t>(values.size());
    Floats region(static_cast<size_t>(first), 9.0f),
        copies(static_cast<size_t>(first + count), 2.0f);
    region.insert(region.end(), values.begin(), values.end());
    Array<float> parameters(region, static_cast<size_t>(offsets.parameters));
    Matrix copy(type, 1, first + count, {0, offsets.working}, copies);
    dki_step_state state = state_at(5);
    state.product_scalars[0] = -0.25f;
    state.product_scalars[1] = 0.5f;
    dki_update_range op{};
    op.parameters = parameters.data();
    op.working = copy.data();
    op.range = {first, count};
    op.state = &state;
    EXPECT_EQ(0, dki_cuda_settle(nullptr, type, &op));
    region = parameters.read();
    copies = copy.read();
    for (size_t i = 0; i < 32; ++i) EXPECT_TRUE(region[i] == 9.0f && copies[i] == 2.0f);
    values.assign(region.begin() + first, region.end());
    working.assign(copies.begin() + first, copies.end());
    return state;
}

} // namespace

// Breaks with a tail left out, a pack written as a whole though one of it isn't finite, a latch that
// misses an element, scalars that go on after it, a 128-bit access of what doesn't lie on 16 bytes.
TEST(SettleKernel, CastsWhatIsFiniteAndTakesBackWhatIsNot) {
    Random random(4);
    for (dki_element type : {DKI_ELEMENT_BF16, DKI_ELEMENT_F16})
        for (int64_t count : {1, 7, 8, 9, 33, 1021, 2053})
            for (const Offsets &offsets : {Offsets{0, 0}, {0, 1}, {1, 0}, {1, 1}, {8, 8}})
                for (float bad : {0.0f, NAN, INFINITY, -INFINITY}) {
                    const Floats before = random.normal(DKI_ELEMENT_F32, count);
                    Floats after = before, working, rounded_before = expected(type, before);
                    const size_t at = random() % before.size();
                    Floats expected_after = before;
                    if (bad != 0.0f) {
                        after[at] = bad;
                        expected_after[at] = rounded_before[at] = 2.0f;
                    }
                    const dki_step_state state =
                        settle(type, after, working, offsets, random() % 5);
                    const std::string what = element_name(type) + " " + std::to_string(bad);
                    expect_same(after, expected_after, what + ": parameters");
                    expect_same(working, rounded_before, what + ": working copy");
                    EXPECT_EQ(bad == 0.0f ? 0u : 5u, state.bad_tick) << what;
                    EXPECT_EQ(bad == 0.0f ? -0.25f : 0.0f, state.product_scalars[0]) << what;
                    EXPECT_EQ(bad == 0.0f ? 0.5f : 1.0f, state.product_scalars[1]) << what;
                }
}

TEST(SettleKernel, TakesMoreThanTheGridHasThreads) {
    Random random(5);
    Floats values = random.integers(1024 * 256 * 8 + 1021), working;
    const Floats before = values;
    settle(DKI_ELEMENT_BF16, values, working, {0, 0}, 0);
    expect_same(working, before, "working copy");
    expect_same(values, before, "parameters");
}
