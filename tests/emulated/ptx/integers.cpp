// Integers, bits, and copies of registers.
#include "forms.h"

namespace ptx {

namespace {

template <class T> using Unsigned = std::make_unsigned_t<T>;
/// Twice as wide.
template <class T>
using Wide =
    std::conditional_t<std::is_signed_v<T>, std::conditional_t<sizeof(T) == 4, int64_t, __int128>,
                       std::conditional_t<sizeof(T) == 4, uint64_t, unsigned __int128>>;

// Sums and products wrap, whatever the sign: those of 16 bits must not become int's, which don't.
template <class T> T add(T a, T b) {
    return static_cast<T>(uint64_t(a) + uint64_t(b));
}
template <class T> T subtract(T a, T b) {
    return static_cast<T>(uint64_t(a) - uint64_t(b));
}
template <class T> T multiply(T a, T b) {
    return static_cast<T>(uint64_t(a) * uint64_t(b));
}
template <class T> T multiply_add(T a, T b, T c) {
    return static_cast<T>(uint64_t(a) * uint64_t(b) + uint64_t(c));
}
template <class T> T multiply_high(T a, T b) {
    return static_cast<T>(Wide<T>(a) * b >> 8 * sizeof(T));
}
template <class T> Wide<T> multiply_wide(T a, T b) {
    return Wide<T>(a) * b;
}
template <class T> Wide<T> multiply_wide_add(T a, T b, Wide<T> c) {
    return add<Wide<T>>(Wide<T>(a) * b, c);
}

/// A machine-specific value for b = 0; the lanes that don't take part may have it.
template <class T> T divide(T a, T b) {
    if (b == 0) return static_cast<T>(~T(0));
    if (std::is_signed_v<T> && b == T(-1)) return subtract<T>(0, a);
    return static_cast<T>(a / b);
}
template <class T> T remainder(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == T(-1)) return 0;
    return static_cast<T>(a % b);
}

template <class T> T least(T a, T b) {
    return a < b ? a : b;
}
template <class T> T greatest(T a, T b) {
    return a > b ? a : b;
}
template <class T> T negative(T a) {
    return subtract<T>(0, a);
}
template <class T> T same(T a) {
    return a;
}
template <class T> T select(T a, T b, bool first) {
    return first ? a : b;
}

template <class T> T both(T a, T b) {
    return static_cast<T>(a & b);
}
template <class T> T either(T a, T b) {
    return static_cast<T>(a | b);
}
template <class T> T different(T a, T b) {
    return static_cast<T>(a ^ b);
}
template <class T> T inverted(T a) {
    return static_cast<T>(~a);
}
bool inverted_predicate(bool a) {
    return !a;
}

/// Counts above the width shift everything out.
template <class T> T shift_left(T a, uint32_t count) {
    return count < 8 * sizeof(T) ? static_cast<T>(uint64_t(a) << count) : T(0);
}
template <class T> T shift_right(T a, uint32_t count) {
    const uint32_t most = 8 * sizeof(T) - 1;
    if (count <= most) return static_cast<T>(a >> count);
    return std::is_signed_v<T> ? static_cast<T>(a >> most) : T(0);
}

uint32_t extract(uint32_t a, uint32_t position, uint32_t length) {
    const uint32_t at = position & 255, count = length & 255;
    return static_cast<uint32_t>(uint64_t(shift_right<uint32_t>(a, at)) &
                                 ((uint64_t(1) << (count < 32 ? count : 32)) - 1));
}

/// Each four bits of c choose one of the eight bytes of a and b, or, with the highest bit, eight times
/// the sign of that byte.
uint32_t permute(uint32_t a, uint32_t b, uint32_t c) {
    const uint64_t bytes = a | uint64_t(b) << 32;
    uint32_t result = 0;
    for (int i = 0; i < 4; ++i) {
        const uint32_t choice = c >> 4 * i & 15;
        const auto byte = static_cast<uint32_t>(bytes >> 8 * (choice & 7) & 255);
        const uint32_t sign = byte & 128 ? 255 : 0;
        result |= (choice & 8 ? sign : byte) << 8 * i;
    }
    return result;
}

template <class T> void add_integer(Forms &forms, const std::string &type) {
    forms["add." + type] = form<add<T>>();
    forms["sub." + type] = form<subtract<T>>();
    forms["mul.lo." + type] = form<multiply<T>>();
    forms["mad.lo." + type] = form<multiply_add<T>>();
    forms["div." + type] = form<divide<T>>();
    forms["rem." + type] = form<remainder<T>>();
    forms["min." + type] = form<least<T>>();
    forms["max." + type] = form<greatest<T>>();
    forms["shr." + type] = form<shift_right<T>>();
    if (std::is_signed_v<T>) forms["neg." + type] = form<negative<T>>();
    if constexpr (sizeof(T) > 2) forms["mul.hi." + type] = form<multiply_high<T>>();
    if constexpr (sizeof(T) == 4) {
        forms["mul.wide." + type] = form<multiply_wide<T>>();
        forms["mad.wide." + type] = form<multiply_wide_add<T>>();
    }
}

template <class T> void add_bits(Forms &forms, const std::string &size) {
    forms["and.b" + size] = form<both<T>>();
    forms["or.b" + size] = form<either<T>>();
    forms["xor.b" + size] = form<different<T>>();
    forms["not.b" + size] = form<inverted<T>>();
    forms["shl.b" + size] = form<shift_left<T>>();
    forms["shr.b" + size] = form<shift_right<T>>();
    for (const char *const kind : {"b", "u", "s", "f"}) {
        forms["mov." + (kind + size)] = form<same<T>>();
        forms["selp." + (kind + size)] = form<select<T>>();
    }
}

} // namespace

void add_integers(Forms &forms) {
    add_integer<uint16_t>(forms, "u16");
    add_integer<int16_t>(forms, "s16");
    add_integer<uint32_t>(forms, "u32");
    add_integer<int32_t>(forms, "s32");
    add_integer<uint64_t>(forms, "u64");
    add_integer<int64_t>(forms, "s64");
    add_bits<uint16_t>(forms, "16");
    add_bits<uint32_t>(forms, "32");
    add_bits<uint64_t>(forms, "64");
    forms["and.pred"] = form<both<bool>>();
    forms["or.pred"] = form<either<bool>>();
    forms["xor.pred"] = form<different<bool>>();
    forms["not.pred"] = form<inverted_predicate>();
    forms["mov.pred"] = form<same<bool>>();
    forms["bfe.u32"] = form<extract>();
    forms["prmt.b32"] = form<permute>();
    forms["cvta.to.global.u64"] = form<same<uint64_t>>(); // all addresses are of global memory
}

} // namespace ptx
