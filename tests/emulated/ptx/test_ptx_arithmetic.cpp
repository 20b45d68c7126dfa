// What instructions compute, bit by bit: by IEEE 754 and the PTX ISA, from independent arithmetic.
#include "support_ptx.h"

#include <cmath>
#include <limits>

namespace ptx {
namespace {

uint32_t bits(float x) {
    uint32_t result;
    memcpy(&result, &x, sizeof x);
    return result;
}
uint64_t bits(double x) {
    uint64_t result;
    memcpy(&result, &x, sizeof x);
    return result;
}

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float tiny = std::numeric_limits<float>::denorm_min();
constexpr uint32_t nan_bits = 0x7fffffff, other_nan = 0xffc12345;

/// Executes an instruction on operands a, b and c. In it #a stands for the register of an operand with
/// the width after it, as #a32, and #d for the result's.
uint64_t evaluate(std::string instruction, uint64_t a, uint64_t b = 0, uint64_t c = 0) {
    const auto replace = [&](const std::string &what, const std::string &with) {
        for (size_t at; (at = instruction.find(what)) != std::string::npos;)
            instruction.replace(at, what.size(), with);
    };
    for (int i = 0; i < 4; ++i) {
        const std::string name = std::string("#") + "abcd"[i], number = std::to_string(10 + i);
        replace(name + "16", "%h" + number);
        replace(name + "32", "%r" + number);
        replace(name + "64", "%d" + number);
        replace(name + "p", "%p" + number);
    }
    std::string load;
    for (int i = 0; i < 3; ++i) {
        const std::string number = std::to_string(10 + i),
                          at = ", [%first+" + std::to_string(8 * i);
        load += "ld.global.u16 %h" + number + at + "]; ld.global.u32 %r" + number + at +
                "]; ld.global.u64 %d" + number + at + "]; setp.ne.b32 %p" + number + ", %r" +
                number + ", 0;\n";
    }
    const bool to_predicate = instruction.find("%p13") != std::string::npos,
               is_wide = instruction.find("%d13") != std::string::npos,
               is_half = instruction.find("%h13") != std::string::npos;
    const std::string store = to_predicate
                                  ? "selp.b32 %r13, 1, 0, %p13; st.global.u32 [%second], %r13;"
                              : is_wide ? "st.global.u64 [%second], %d13;"
                              : is_half ? "st.global.u16 [%second], %h13;"
                                        : "st.global.u32 [%second], %r13;";
    Small small;
    small.threads = 1;
    const uint64_t operands[] = {a, b, c};
    memcpy(small.first.data(), operands, sizeof operands);
    expect_well(small.run(load + instruction + store));
    return small.second[0] | uint64_t{small.second[1]} << 32;
}

struct Case {
    const char *instruction;
    uint64_t a, b, c, expected;
};

void check(const std::vector<Case> &cases) {
    for (const Case &one : cases)
        EXPECT_EQ(evaluate(one.instruction, one.a, one.b, one.c), one.expected)
            << std::hex << one.instruction << " of " << one.a << ", " << one.b << ", " << one.c;
}

uint64_t f(float x) {
    return bits(x);
}
uint64_t d(double x) {
    return bits(x);
}

TEST(PtxArithmetic, RoundsToNearestTiesToEven) {
    const float half = std::ldexp(1.0f, -24); // of the last bit of 1
    const char *const add = "add.rn.f32 #d32, #a32, #b32;";
    check({
        {add, f(1), f(half), 0, f(1)},
        {add, f(1 + 2 * half), f(half), 0, f(1 + 4 * half)},
        {"add.f32 #d32, #a32, #b32;", f(1), f(half * 1.5f), 0, f(1 + 2 * half)},
        {"sub.rn.f32 #d32, #a32, #b32;", f(1), f(half / 2), 0, f(1)},
        {"sub.f32 #d32, #a32, #b32;", f(tiny), f(2 * tiny), 0, f(-tiny)},
        {"mul.rn.f32 #d32, #a32, #b32;", f(tiny), f(0.5f), 0, f(0)},
        {"mul.f32 #d32, #a32, #b32;", f(3 * tiny), f(0.5f), 0, f(2 * tiny)},
        {"div.rn.f32 #d32, #a32, #b32;", f(1), f(3), 0, f(1.0f / 3)},
        {"div.rn.f32 #d32, #a32, #b32;", f(-1), f(0), 0, f(-infinity)},
        {"rcp.rn.f32 #d32, #a32;", f(3), 0, 0, f(1.0f / 3)},
        {"sqrt.rn.f32 #d32, #a32;", f(2), 0, 0, f(1.41421354f)},
        {"sqrt.rn.f64 #d64, #a64;", d(2), 0, 0, d(1.4142135623730951)},
        {"add.rn.f64 #d64, #a64, #b64;", d(1), d(std::ldexp(1.5, -53)), 0,
         d(1 + std::ldexp(1, -52))},
        {"sub.rn.f64 #d64, #a64, #b64;", d(1), d(3), 0, d(-2)},
        {"mul.rn.f64 #d64, #a64, #b64;", d(1e200), d(1e200), 0, d(HUGE_VAL)},
        {"div.rn.f64 #d64, #a64, #b64;", d(1), d(3), 0, d(1.0 / 3)},
    });
}

TEST(PtxArithmetic, FusesWithoutRoundingTheProduct) {
    const float above = 1 + std::ldexp(1.0f, -12); // above² = 1 + 2⁻¹¹ + 2⁻²⁴
    const double wide = 1 + std::ldexp(1.0, -30);
    check({
        {"fma.rn.f32 #d32, #a32, #b32, #c32;", f(above), f(above), f(-1 - std::ldexp(1.0f, -11)),
         f(std::ldexp(1.0f, -24))},
        {"fma.rn.f64 #d64, #a64, #b64, #c64;", d(wide), d(wide), d(-1 - std::ldexp(1.0, -29)),
         d(std::ldexp(1.0, -60))},
        {"fma.rn.f32 #d32, #a32, #b32, #c32;", f(infinity), f(0), f(1), nan_bits},
    });
}

TEST(PtxArithmetic, HasOneNaN) {
    check({
        {"add.rn.f32 #d32, #a32, #b32;", other_nan, f(1), 0, nan_bits},
        {"sub.rn.f32 #d32, #a32, #b32;", f(infinity), f(infinity), 0, nan_bits},
        {"mul.rn.f32 #d32, #a32, #b32;", f(0), f(infinity), 0, nan_bits},
        {"div.rn.f32 #d32, #a32, #b32;", f(0), f(0), 0, nan_bits},
        {"rcp.rn.f32 #d32, #a32;", other_nan, 0, 0, nan_bits},
        {"sqrt.rn.f32 #d32, #a32;", f(-1), 0, 0, nan_bits},
        {"max.f32 #d32, #a32, #b32;", other_nan, other_nan, 0, nan_bits},
        {"cvt.rn.f32.f64 #d32, #a64;", d(-NAN), 0, 0, nan_bits},
    });
}

TEST(PtxArithmetic, TakesTheNumberWhereOneIsNaN) {
    check({
        {"max.f32 #d32, #a32, #b32;", nan_bits, f(-3), 0, f(-3)},
        {"max.f32 #d32, #a32, #b32;", f(-3), other_nan, 0, f(-3)},
        {"min.f32 #d32, #a32, #b32;", other_nan, f(infinity), 0, f(infinity)},
        {"max.f32 #d32, #a32, #b32;", f(-0.0f), f(0), 0, f(0)},
        {"max.f32 #d32, #a32, #b32;", f(0), f(-0.0f), 0, f(0)},
        {"min.f32 #d32, #a32, #b32;", f(0), f(-0.0f), 0, f(-0.0f)},
        {"min.f32 #d32, #a32, #b32;", f(2), f(-5), 0, f(-5)},
        {"min.f64 #d64, #a64, #b64;", d(NAN), d(7), 0, d(7)},
        {"max.f64 #d64, #a64, #b64;", d(6), d(7), 0, d(7)},
        {"abs.f32 #d32, #a32;", f(-0.0f), 0, 0, f(0)},
        {"neg.f32 #d32, #a32;", f(0), 0, 0, f(-0.0f)},
        {"neg.f64 #d64, #a64;", d(2), 0, 0, d(-2)},
        {"copysign.f32 #d32, #a32, #b32;", f(-1), f(5), 0, f(-5)},
        {"copysign.f32 #d32, #a32, #b32;", f(1), f(-5), 0, f(5)},
    });
}

TEST(PtxArithmetic, ApproximatesByTheNearest) {
    check({
        {"ex2.approx.f32 #d32, #a32;", f(0.5f), 0, 0, f(1.41421354f)},
        {"lg2.approx.f32 #d32, #a32;", f(8), 0, 0, f(3)},
        {"rcp.approx.f32 #d32, #a32;", f(3), 0, 0, f(1.0f / 3)},
        {"sqrt.approx.f32 #d32, #a32;", f(2), 0, 0, f(1.41421354f)},
        {"rsqrt.approx.f32 #d32, #a32;", f(4), 0, 0, f(0.5f)},
        {"tanh.approx.f32 #d32, #a32;", f(infinity), 0, 0, f(1)},
        {"lg2.approx.f32 #d32, #a32;", f(-1), 0, 0, nan_bits},
    });
}

TEST(PtxArithmetic, ComparesNumbersAndNaN) {
    struct Order {
        const char *name;
        bool less, same, more, unordered;
    };
    const Order orders[] = {
        {"eq", false, true, false, false}, {"ne", true, false, true, false},
        {"lt", true, false, false, false}, {"le", true, true, false, false},
        {"gt", false, false, true, false}, {"ge", false, true, true, false},
        {"equ", false, true, false, true}, {"neu", true, false, true, true},
        {"ltu", true, false, false, true}, {"leu", true, true, false, true},
        {"gtu", false, false, true, true}, {"geu", false, true, true, true},
        {"num", true, true, true, false},  {"nan", false, false, false, true},
    };
    for (const Order &order : orders) {
        const std::string f32 = std::string("setp.") + order.name + ".f32 #dp, #a32, #b32;",
                          f64 = std::string("setp.") + order.name + ".f64 #dp, #a64, #b64;";
        EXPECT_EQ(evaluate(f32, f(1), f(2)), order.less) << f32;
        EXPECT_EQ(evaluate(f32, f(0), f(-0.0f)), order.same) << f32;
        EXPECT_EQ(evaluate(f32, f(3), f(2)), order.more) << f32;
        EXPECT_EQ(evaluate(f32, f(3), other_nan), order.unordered) << f32;
        EXPECT_EQ(evaluate(f64, d(1), d(2)), order.less) << f64;
        EXPECT_EQ(evaluate(f64, d(NAN), d(2)), order.unordered) << f64;
    }
}

TEST(PtxArithmetic, ComparesIntegersBySign) {
    check({
        {"setp.lt.s16 #dp, #a16, #b16;", 0xffff, 1, 0, 1},
        {"setp.lt.u16 #dp, #a16, #b16;", 0xffff, 1, 0, 0},
        {"setp.ge.s32 #dp, #a32, #b32;", 0x80000000, 0, 0, 0},
        {"setp.ge.u32 #dp, #a32, #b32;", 0x80000000, 0, 0, 1},
        {"setp.gt.s64 #dp, #a64, #b64;", ~0ull, 0, 0, 0},
        {"setp.le.u64 #dp, #a64, #b64;", ~0ull, 0, 0, 0},
        {"setp.eq.b16 #dp, #a16, #b16;", 0x10005, 5, 0, 1},
        {"setp.ne.b64 #dp, #a64, #b64;", 1ull << 32, 0, 0, 1},
        {"not.pred #dp, #ap;", 1, 0, 0, 0},
        {"and.pred #dp, #ap, #bp;", 1, 0, 0, 0},
        {"or.pred #dp, #ap, #bp;", 1, 0, 0, 1},
        {"xor.pred #dp, #ap, #bp;", 1, 1, 0, 0},
        {"mov.pred #dp, -1;", 0, 0, 0, 1},
        {"selp.f64 #d64, #a64, #b64, #cp;", 7, 8, 0, 8},
        {"selp.b16 #d16, #a16, #b16, #cp;", 7, 8, 1, 7},
    });
}

TEST(PtxArithmetic, IntegersWrap) {
    const uint64_t most = 0x7fffffff, least = 0x80000000, low = 0xffffffff;
    check({
        {"add.s32 #d32, #a32, #b32;", most, 1, 0, least},
        {"sub.s32 #d32, #a32, #b32;", 0, 1, 0, low},
        {"add.s16 #d16, #a16, #b16;", 0xffff, 3, 0, 2},
        {"mul.lo.s32 #d32, #a32, #b32;", 0x10001, 0x10001, 0, 0x20001},
        {"mul.lo.s64 #d64, #a64, #b64;", ~0ull, 3, 0, ~0ull - 2},
        {"mul.hi.u32 #d32, #a32, #b32;", low, low, 0, 0xfffffffe},
        {"mul.hi.s32 #d32, #a32, #b32;", low, low, 0, 0},
        {"mul.wide.u32 #d64, #a32, #b32;", low, 2, 0, 0x1fffffffe},
        {"mul.wide.s32 #d64, #a32, #b32;", low, 2, 0, ~0ull - 1},
        {"mad.wide.s32 #d64, #a32, #b32, #c64;", low, 2, 5, 3},
        {"mad.lo.s32 #d32, #a32, #b32, #c32;", 0x10000, 0x10000, 9, 9},
        {"mad.lo.s64 #d64, #a64, #b64, #c64;", 3, 4, 5, 17},
        {"div.s32 #d32, #a32, #b32;", low - 6, 2, 0, low - 2},
        {"div.u32 #d32, #a32, #b32;", low - 6, 2, 0, most - 3},
        {"div.s32 #d32, #a32, #b32;", least, low, 0, least},
        {"div.u32 #d32, #a32, #b32;", 5, 0, 0, low},
        {"div.u64 #d64, #a64, #b64;", 1ull << 40, 3, 0, (1ull << 40) / 3},
        {"rem.u32 #d32, #a32, #b32;", 17, 5, 0, 2},
        {"rem.s32 #d32, #a32, #b32;", low - 6, 4, 0, low - 2},
        {"rem.s32 #d32, #a32, #b32;", least, low, 0, 0},
        {"min.s64 #d64, #a64, #b64;", ~0ull, 1, 0, ~0ull},
        {"max.s64 #d64, #a64, #b64;", ~0ull, 1, 0, 1},
        {"max.u64 #d64, #a64, #b64;", ~0ull, 1, 0, ~0ull},
        {"min.s32 #d32, #a32, #b32;", low, 1, 0, low},
        {"min.u32 #d32, #a32, #b32;", low, 1, 0, 1},
        {"neg.s32 #d32, #a32;", 1, 0, 0, low},
        {"neg.s64 #d64, #a64;", 1, 0, 0, ~0ull},
    });
}

TEST(PtxArithmetic, ShiftsAndMovesBits) {
    check({
        {"shl.b32 #d32, #a32, #b32;", 3, 31, 0, 0x80000000},
        {"shl.b32 #d32, #a32, #b32;", 3, 32, 0, 0},
        {"shl.b64 #d64, #a64, #b32;", 3, 63, 0, 1ull << 63},
        {"shl.b64 #d64, #a64, #b32;", 3, 64, 0, 0},
        {"shl.b16 #d16, #a16, #b32;", 0x8001, 1, 0, 2},
        {"shr.u32 #d32, #a32, #b32;", 0x80000000, 31, 0, 1},
        {"shr.u32 #d32, #a32, #b32;", 0x80000000, 40, 0, 0},
        {"shr.s32 #d32, #a32, #b32;", 0x80000000, 40, 0, 0xffffffff},
        {"shr.s32 #d32, #a32, #b32;", 0x80000000, 30, 0, 0xfffffffe},
        {"shr.s64 #d64, #a64, #b32;", 1ull << 63, 64, 0, ~0ull},
        {"shr.u64 #d64, #a64, #b32;", 1ull << 63, 62, 0, 2},
        {"and.b16 #d16, #a16, #b16;", 0xff0, 0xff, 0, 0xf0},
        {"or.b64 #d64, #a64, #b64;", 1, 1ull << 40, 0, (1ull << 40) + 1},
        {"xor.b32 #d32, #a32, #b32;", 6, 5, 0, 3},
        {"not.b16 #d16, #a16;", 0xff, 0, 0, 0xff00},
        {"not.b32 #d32, #a32;", 0xff, 0, 0, 0xffffff00},
        {"bfe.u32 #d32, #a32, #b32, #c32;", 0x12345678, 8, 8, 0x56},
        {"bfe.u32 #d32, #a32, #b32, #c32;", 0x12345678, 4, 32, 0x1234567},
        {"bfe.u32 #d32, #a32, #b32, #c32;", 0x12345678, 32, 8, 0},
        {"prmt.b32 #d32, #a32, #b32, #c32;", 0x44332211, 0x88776655, 0x7604, 0x88771155},
        {"prmt.b32 #d32, #a32, #b32, #c32;", 0x44332211, 0x88776655, 0x8f01, 0x00ff1122},
        {"mov.b32 #d32, {#a16, #b16};", 0x1111, 0x2222, 0, 0x22221111},
        {"mov.b64 #d64, {#a32, #b32};", 1, 2, 0, 0x200000001},
        {"mov.b32 {_, #d16}, #a32;", 0x22221111, 0, 0, 0x2222},
        {"mov.b64 {#d32, _}, #a64;", 0x200000001, 0, 0, 1},
        {"mov.b32 #d32, {0, #b16};", 0, 0x3f80, 0, 0x3f800000},
        {"mov.f32 #d32, 0fBF800000;", 0, 0, 0, 0xbf800000},
        {"mov.f64 #d64, 0d3FF0000000000000;", 0, 0, 0, 0x3ff0000000000000},
        {"mov.u32 #d32, -2;", 0, 0, 0, 0xfffffffe},
        {"mov.u16 #d16, -2;", 0, 0, 0, 0xfffe},
        {"mov.b32 #d32, 0x1f;", 0, 0, 0, 31},
    });
}

TEST(PtxArithmetic, ConvertsIntegers) {
    check({
        {"cvt.u64.u32 #d64, #a32;", 0xffffffff, 0, 0, 0xffffffff},
        {"cvt.s64.s32 #d64, #a32;", 0xffffffff, 0, 0, ~0ull},
        {"cvt.u32.u64 #d32, #a64;", 0x100000002, 0, 0, 2},
        {"cvt.u16.u32 #d16, #a32;", 0x12345, 0, 0, 0x2345},
        {"cvt.s32.s16 #d32, #a16;", 0xfffe, 0, 0, 0xfffffffe},
        {"cvt.u32.u16 #d32, #a16;", 0xfffe, 0, 0, 0xfffe},
        {"cvt.rn.f32.s32 #d32, #a32;", 0xffffffff, 0, 0, f(-1)},
        {"cvt.rn.f32.u32 #d32, #a32;", 0xffffffff, 0, 0, f(4294967296.0f)},
        {"cvt.rn.f32.u32 #d32, #a32;", (1 << 24) + 1, 0, 0, f(1 << 24)},
        {"cvt.rn.f32.s64 #d32, #a64;", (1ull << 40) + (1 << 16) + 1, 0, 0,
         f(std::ldexp(1 + std::ldexp(1.0f, -23), 40))}, // one above the tie
        {"cvt.rn.f32.u16 #d32, #a16;", 0xffff, 0, 0, f(65535)},
        {"cvt.rn.f64.s64 #d64, #a64;", (1ull << 53) + 1, 0, 0, d(std::ldexp(1, 53))},
        {"cvt.rn.f64.u16 #d64, #a16;", 0xffff, 0, 0, d(65535)},
        {"cvt.f64.f32 #d64, #a32;", f(0.1f), 0, 0, d(double{0.1f})},
        {"cvt.rn.f32.f64 #d32, #a64;", d(1 + std::ldexp(1, -24)), 0, 0, f(1)},
        {"cvt.rn.f32.f64 #d32, #a64;", d(1e300), 0, 0, f(infinity)},
    });
}

TEST(PtxArithmetic, IntegersOfNumbersSaturate) {
    check({
        {"cvt.rzi.s32.f32 #d32, #a32;", f(-2.75f), 0, 0, 0xfffffffe},
        {"cvt.rni.s32.f32 #d32, #a32;", f(2.5f), 0, 0, 2},
        {"cvt.rni.s32.f32 #d32, #a32;", f(3.5f), 0, 0, 4},
        {"cvt.rzi.s32.f32 #d32, #a32;", f(2147483648.0f), 0, 0, 0x7fffffff},
        {"cvt.rzi.s32.f32 #d32, #a32;", f(-infinity), 0, 0, 0x80000000},
        {"cvt.rzi.s32.f32 #d32, #a32;", other_nan, 0, 0, 0},
        {"cvt.rzi.u32.f32 #d32, #a32;", f(-1), 0, 0, 0},
        {"cvt.rzi.u32.f32 #d32, #a32;", f(4294967040.0f), 0, 0, 0xffffff00},
        {"cvt.rzi.u32.f32 #d32, #a32;", f(4294967296.0f), 0, 0, 0xffffffff},
        {"cvt.rzi.s64.f64 #d64, #a64;", d(std::ldexp(1, 63)), 0, 0, ~0ull >> 1},
        {"cvt.rzi.u64.f64 #d64, #a64;", d(std::ldexp(1, 63)), 0, 0, 1ull << 63},
        {"cvt.rzi.s32.f64 #d32, #a64;", d(2147483647.5), 0, 0, 0x7fffffff},
    });
}

TEST(PtxArithmetic, PacksHalves) {
    check({
        {"cvt.rn.f16x2.f32 #d32, #a32, #b32;", f(1), f(2), 0, 0x3c004000},
        {"cvt.rn.bf16x2.f32 #d32, #a32, #b32;", f(1), f(-2), 0, 0x3f80c000},
    });
}

} // namespace
} // namespace ptx
