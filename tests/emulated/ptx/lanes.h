// Executes a function of numbers on every lane of registers.
#ifndef DELTAK_TESTS_EMULATED_PTX_LANES_H
#define DELTAK_TESTS_EMULATED_PTX_LANES_H

#include "warp.h"

#include <type_traits>
#include <utility>

namespace ptx {

/// What a cell holds a T as.
template <class T> using Stored = std::conditional_t<sizeof(T) < 4, uint32_t, T>;

/// Where values of any type may lie: registers have none.
template <class T> struct Aliased;
#define PTX_ALIASED(T)                                                                             \
    template <> struct Aliased<T> { typedef T type [[gnu::may_alias]]; }
PTX_ALIASED(uint32_t);
PTX_ALIASED(int32_t);
PTX_ALIASED(uint64_t);
PTX_ALIASED(int64_t);
PTX_ALIASED(float);
PTX_ALIASED(double);
#undef PTX_ALIASED

template <class T> constexpr Width width_of() {
    if (std::is_same_v<T, bool>) return Width::predicate;
    return sizeof(T) == 2 ? Width::b16 : sizeof(T) == 4 ? Width::b32 : Width::b64;
}

template <class T> struct Operand {
    Operand(Warp &warp, Cell cell) : values(warp.lanes<Element>(cell)) {}
    T operator[](unsigned lane) const { return static_cast<T>(values[lane]); }
    using Element = typename Aliased<Stored<T>>::type;
    const Element *values;
};

template <> struct Operand<bool> {
    Operand(Warp &warp, Cell cell) : bits(warp.predicate(cell)) {}
    bool operator[](unsigned lane) const { return bits >> lane & 1; }
    uint32_t bits;
};

/// Writes the active lanes of a register.
template <class T> void put(Warp &warp, Cell cell, const Stored<T> *values) {
    auto *const to = warp.lanes<typename Aliased<Stored<T>>::type>(cell);
    if (warp.active == all_lanes) {
        for (unsigned lane = 0; lane < lane_count; ++lane) to[lane] = values[lane];
    } else {
        for (unsigned lane = 0; lane < lane_count; ++lane)
            to[lane] = warp.active >> lane & 1 ? values[lane] : to[lane];
    }
}

/// An int16_t would fill the upper half of its word with its sign.
template <class T> constexpr Stored<T> stored(T value) {
    if constexpr (sizeof(T) == 2)
        return static_cast<uint16_t>(value);
    else
        return value;
}

template <auto f, class Result, class... Operands>
void each_lane(Warp &warp, Cell into, Operands... from) {
    if constexpr (std::is_same_v<Result, bool>) {
        uint32_t bits = 0;
        for (unsigned lane = 0; lane < lane_count; ++lane)
            bits |= static_cast<uint32_t>(f(from[lane]...)) << lane;
        warp.set_predicate(into, bits);
    } else {
        alignas(64) Stored<Result> values[lane_count];
        for (unsigned lane = 0; lane < lane_count; ++lane) values[lane] = stored(f(from[lane]...));
        put<Result>(warp, into, values);
    }
}

/// How an instruction is executed and decoded that is a function of its operands.
struct Form {
    Execute execute = nullptr;
    unsigned operands = 0;
    Width into = Width::b32, from[3] = {};
};

template <auto f, class Result, class... From, size_t... i>
Form form_of(Result (*)(From...), std::index_sequence<i...>) {
    const Execute execute = [](Warp &warp, const Op &op) {
        each_lane<f, Result>(warp, op.into[0], Operand<From>(warp, op.from[i])...);
    };
    return {execute, sizeof...(From), width_of<Result>(), {width_of<From>()...}};
}

template <auto f, class Result, class... From> Form form_of(Result (*function)(From...)) {
    return form_of<f>(function, std::index_sequence_for<From...>());
}

/// Of a function; its types say how wide the registers are.
template <auto f> Form form() {
    return form_of<f>(f);
}

} // namespace ptx

#endif
