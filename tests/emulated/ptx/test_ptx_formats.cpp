// The half-precision formats: every number of theirs, and every tie between two.
#include "support_ptx.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ptx {
namespace {

uint32_t bits(float x) {
    uint32_t result;
    memcpy(&result, &x, sizeof x);
    return result;
}

/// The number of a format with so many bits of exponent and fraction.
double value_of(uint32_t x, int exponent_bits, int fraction_bits) {
    const int exponents = (1 << exponent_bits) - 1, bias = exponents / 2;
    const int exponent = static_cast<int>(x >> fraction_bits) & exponents;
    const auto fraction = static_cast<int>(x & ((1u << fraction_bits) - 1));
    const double sign = x >> (exponent_bits + fraction_bits) & 1 ? -1 : 1;
    if (exponent == exponents) return fraction ? NAN : sign * HUGE_VAL;
    const int whole = exponent ? fraction + (1 << fraction_bits) : fraction;
    return sign * std::ldexp(whole, std::max(exponent, 1) - bias - fraction_bits);
}

/// Runs an instruction on every number of 16 bits, and on the midpoints to the next and their neighbours.
class Formats : public testing::TestWithParam<std::pair<const char *, int>> {
  protected:
    double value(uint32_t x) const {
        return value_of(x, GetParam().second, 15 - GetParam().second);
    }
    const std::string name = GetParam().first;
};

TEST_P(Formats, AreReadExactly) {
    for (uint32_t x = 0; x < 0x10000; x += 1024) {
        Small small;
        small.threads = 512;
        small.blocks = 2;
        for (uint32_t i = 0; i < 1024; ++i) small.first[i] = x + i;
        expect_well(small.run(R"(
    mul.wide.u32 %d0, %index, 4;
    add.s64 %d1, %first, %d0;
    add.s64 %d2, %second, %d0;
    ld.global.u16 %h0, [%d1];
    cvt.f32.)" + name + R"( %r0, %h0;
    st.global.f32 [%d2], %r0;
)"));
        for (uint32_t i = 0; i < 1024; ++i) {
            float number;
            memcpy(&number, &small.second[i], 4);
            const double expected = value(x + i);
            EXPECT_TRUE(std::isnan(expected) ? std::isnan(number) : number == expected) << x + i;
            if (std::isnan(expected)) continue;
            EXPECT_EQ(std::signbit(number), std::signbit(expected)) << x + i;
        }
    }
}

TEST_P(Formats, AreRoundedTo) {
    const auto convert = [&](const std::vector<uint32_t> &from) {
        Small small;
        small.threads = 512;
        small.blocks = 2;
        small.first = from;
        expect_well(small.run(R"(
    mul.wide.u32 %d0, %index, 4;
    add.s64 %d1, %first, %d0;
    add.s64 %d2, %second, %d0;
    ld.global.f32 %r0, [%d1];
    cvt.rn.)" + name + R"(.f32 %h0, %r0;
    cvt.u32.u16 %r1, %h0;
    st.global.u32 [%d2], %r1;
)"));
        return small.second;
    };
    const uint32_t above = bits(static_cast<float>(HUGE_VAL));
    const uint32_t infinite = name == "bf16" ? 0x7f80 : 0x7c00;
    std::vector<uint32_t> from, expected;
    for (uint32_t x = 0; x < infinite; ++x) {
        // Of the last finite one the next is what would follow it with a wider exponent.
        const double low = value(x),
                     next = x + 1 < infinite ? value(x + 1) : 2 * low - value(x - 1);
        const double middle = low + (next - low) / 2;
        if (middle > std::numeric_limits<float>::max())
            continue; // bf16's ∞ begins where fp32's does
        const uint32_t tie = bits(static_cast<float>(middle));
        for (const uint32_t sign : {0u, 0x8000u}) {
            for (const int beside : {-1, 0, 1}) {
                from.push_back((tie + static_cast<uint32_t>(beside)) | sign << 16);
                const uint32_t even = x + (x & 1);
                expected.push_back(sign | (beside < 0 ? x : beside > 0 ? x + 1 : even));
            }
            from.push_back(bits(static_cast<float>(low)) | sign << 16);
            expected.push_back(sign | x);
        }
    }
    from.insert(from.end(), {above, above | 0x80000000, 0xffc12345, 0x7fffffff});
    expected.insert(expected.end(), {infinite, infinite | 0x8000, 0x7fff, 0x7fff});
    while (from.size() % 1024) from.push_back(0), expected.push_back(0);
    for (size_t i = 0; i < from.size(); i += 1024) {
        const std::vector<uint32_t> to = convert({from.begin() + i, from.begin() + i + 1024});
        for (size_t j = 0; j < 1024; ++j)
            ASSERT_EQ(to[j], expected[i + j]) << std::hex << from[i + j];
    }
}

INSTANTIATE_TEST_SUITE_P(Ptx, Formats, testing::Values(std::pair("f16", 5), std::pair("bf16", 8)),
                         [](const auto &format) { return std::string(format.param.first); });

} // namespace
} // namespace ptx
