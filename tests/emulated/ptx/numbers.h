// Numbers as their bits, and the half-precision formats.
#ifndef DELTAK_TESTS_EMULATED_PTX_NUMBERS_H
#define DELTAK_TESTS_EMULATED_PTX_NUMBERS_H

#include <cstdint>
#include <cstring>

namespace ptx {

inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/// Operations on fp32 give this NaN for any other. Those on fp64 keep a NaN's bits.
inline float canonical(float x) {
    return x != x ? float_of(0x7fffffff) : x;
}
inline double canonical(double x) {
    return x;
}

/// To nearest, ties to even.
inline uint16_t bf16_of(float x) {
    const uint32_t bits = bits_of(x);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return static_cast<uint16_t>(x != x ? 0x7fff : rounded);
}

inline float float_of_bf16(uint16_t x) {
    return float_of(uint32_t{x} << 16);
}

/// To nearest, ties to even. Below 2⁻¹⁴ halves are multiples of 2⁻²⁴, to which adding 1/2, whose last
/// bit is 2⁻²⁴, rounds; above, the exponent's bias differs by 112, and 13 bits fewer are kept.
inline uint16_t half_of(float x) {
    const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    const uint32_t small = bits_of(float_of(size) + 0.5f) - bits_of(0.5f);
    const uint32_t usual = (size - (112u << 23) + 0xfff + (size >> 13 & 1)) >> 13;
    const uint32_t finite = size < (113u << 23) ? small : usual;
    const uint32_t number = sign | (size < 0x477ff000 ? finite : 0x7c00); // 65520 and more: ∞
    return static_cast<uint16_t>(x != x ? 0x7fff : number);
}

/// Exact: with the bias of fp32 it is 2⁻¹¹² times the number.
inline float float_of_half(uint16_t x) {
    const uint32_t size = (x & 0x7fffu) << 13, sign = (x & 0x8000u) << 16;
    const float finite = float_of(size) * float_of((127u + 112) << 23);
    const float number = (x & 0x7c00) == 0x7c00 ? float_of(size | 0x7f800000) : finite;
    return canonical(float_of(bits_of(number) | sign));
}

} // namespace ptx

#endif
