// Conversions.
#include "forms.h"
#include "numbers.h"

#include <cmath>
#include <limits>

namespace ptx {

namespace {

template <class To, class From> To convert(From a) {
    return static_cast<To>(a);
}
template <class To, class From> To rounded(From a) { // to nearest, as the host does
    return canonical(static_cast<To>(a));
}

/// Numbers beyond the integer's range become its ends, NaN 0. 2ⁿ, the first number above, is exact.
template <class To, class From, From (*round)(From)> To integer(From a) {
    constexpr auto least = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From above = static_cast<From>(std::numeric_limits<To>::max() / 2 + 1) * 2;
    const From x = round(a);
    if (!(x >= least)) return x < least ? std::numeric_limits<To>::min() : To(0);
    return x < above ? static_cast<To>(x) : std::numeric_limits<To>::max();
}

/// The second operand in the lower half.
template <uint16_t (*f)(float)> uint32_t pair(float upper, float lower) {
    return uint32_t{f(upper)} << 16 | f(lower);
}

template <class From> void add_from_integer(Forms &forms, const std::string &from) {
    forms["cvt.u16." + from] = form<convert<uint16_t, From>>();
    forms["cvt.s16." + from] = form<convert<int16_t, From>>();
    forms["cvt.u32." + from] = form<convert<uint32_t, From>>();
    forms["cvt.s32." + from] = form<convert<int32_t, From>>();
    forms["cvt.u64." + from] = form<convert<uint64_t, From>>();
    forms["cvt.s64." + from] = form<convert<int64_t, From>>();
    forms["cvt.rn.f32." + from] = form<rounded<float, From>>();
    forms["cvt.rn.f64." + from] = form<rounded<double, From>>();
}

template <class From> void add_to_integer(Forms &forms, const std::string &from) {
    forms["cvt.rzi.s32." + from] = form<integer<int32_t, From, std::trunc>>();
    forms["cvt.rzi.u32." + from] = form<integer<uint32_t, From, std::trunc>>();
    forms["cvt.rzi.s64." + from] = form<integer<int64_t, From, std::trunc>>();
    forms["cvt.rzi.u64." + from] = form<integer<uint64_t, From, std::trunc>>();
    forms["cvt.rni.s32." + from] = form<integer<int32_t, From, std::rint>>();
    forms["cvt.rni.s64." + from] = form<integer<int64_t, From, std::rint>>();
}

} // namespace

void add_conversions(Forms &forms) {
    add_from_integer<uint16_t>(forms, "u16");
    add_from_integer<int16_t>(forms, "s16");
    add_from_integer<uint32_t>(forms, "u32");
    add_from_integer<int32_t>(forms, "s32");
    add_from_integer<uint64_t>(forms, "u64");
    add_from_integer<int64_t>(forms, "s64");
    add_to_integer<float>(forms, "f32");
    add_to_integer<double>(forms, "f64");
    forms["cvt.f64.f32"] = form<rounded<double, float>>();
    forms["cvt.rn.f32.f64"] = form<rounded<float, double>>();
    forms["cvt.f32.f16"] = form<float_of_half>();
    forms["cvt.f32.bf16"] = form<float_of_bf16>();
    forms["cvt.rn.f16.f32"] = form<half_of>();
    forms["cvt.rn.bf16.f32"] = form<bf16_of>();
    forms["cvt.rn.f16x2.f32"] = form<pair<half_of>>();
    forms["cvt.rn.bf16x2.f32"] = form<pair<bf16_of>>();
}

} // namespace ptx
