// CUDA's functions for single threads that kernels use: memory, atomics on integers, bits.
#ifndef DELTAK_TESTS_SIMT_INTRINSICS_H
#define DELTAK_TESTS_SIMT_INTRINSICS_H

#include "simt/toolkit.h"

#include <algorithm>
#include <atomic>

using std::max;
using std::min;

// Loads and stores with a hint for the caches.
template <typename T> T __ldg(const T *address) {
    return *address;
}
template <typename T> T __ldcs(const T *address) {
    return *address;
}
template <typename T> void __stcs(T *address, T value) {
    *address = value;
}

// Atomics return the old value. None on floats: their sums would depend on the order.
namespace simt {
template <typename T>
using Atomic = std::enable_if_t<std::is_same<T, int>::value || std::is_same<T, unsigned>::value ||
                                    std::is_same<T, unsigned long long>::value,
                                T>;
/// The type of the other operand, which is converted, not deduced.
template <typename T> struct Same { using type = T; };
template <typename T> using Operand = typename Same<T>::type;

template <typename T, typename F> Atomic<T> update(T *address, F &&function) {
    T old = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(address, &old, function(old), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
    return old;
}
} // namespace simt

template <typename T> simt::Atomic<T> atomicAdd(T *address, simt::Operand<T> value) {
    return simt::update(address, [=](T old) { return static_cast<T>(old + value); });
}
template <typename T> simt::Atomic<T> atomicOr(T *address, simt::Operand<T> value) {
    return simt::update(address, [=](T old) { return old | value; });
}
template <typename T> simt::Atomic<T> atomicAnd(T *address, simt::Operand<T> value) {
    return simt::update(address, [=](T old) { return old & value; });
}
template <typename T> simt::Atomic<T> atomicMin(T *address, simt::Operand<T> value) {
    return simt::update(address, [=](T old) { return value < old ? value : old; });
}
template <typename T> simt::Atomic<T> atomicMax(T *address, simt::Operand<T> value) {
    return simt::update(address, [=](T old) { return value > old ? value : old; });
}
template <typename T> simt::Atomic<T> atomicExch(T *address, simt::Operand<T> value) {
    return simt::update(address, [=](T) { return value; });
}
template <typename T>
simt::Atomic<T> atomicCAS(T *address, simt::Operand<T> expected, simt::Operand<T> value) {
    return simt::update(address, [=](T old) { return old == expected ? value : old; });
}

// One thread of the device runs at a time, and switching is a call that the compiler can't see
// through: there is nothing to order, except for a thread of the host that looks on.
inline void __threadfence_block() {}
inline void __threadfence() {}
inline void __threadfence_system() {
    static std::atomic<unsigned> order;
    order.fetch_add(1);
}

// Bits.
inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
    return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned x, unsigned y) {
    return static_cast<unsigned>((static_cast<std::uint64_t>(x) * y) >> 32);
}
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}
inline int __float_as_int(float x) {
    return static_cast<int>(__float_as_uint(x));
}
inline float __int_as_float(int bits) {
    return __uint_as_float(static_cast<unsigned>(bits));
}

#endif
