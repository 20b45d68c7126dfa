// Floating-point arithmetic: as IEEE 754 has it, to nearest, ties to even.
#include "forms.h"
#include "numbers.h"

#include <cmath>

namespace ptx {

namespace {

template <class T> T add(T a, T b) {
    return canonical(a + b);
}
template <class T> T subtract(T a, T b) {
    return canonical(a - b);
}
template <class T> T multiply(T a, T b) {
    return canonical(a * b);
}
template <class T> T divide(T a, T b) {
    return canonical(a / b);
}
template <class T> T fused(T a, T b, T c) {
    return canonical(std::fma(a, b, c));
}
template <class T> T reciprocal(T a) {
    return canonical(1 / a);
}
template <class T> T square_root(T a) {
    return canonical(std::sqrt(a));
}

/// The number, where one is NaN; −0 is below +0.
template <class T> T least(T a, T b) {
    const T smaller = a == b ? (std::signbit(a) ? a : b) : (a < b ? a : b);
    return canonical(a != a ? b : b != b ? a : smaller);
}
template <class T> T greatest(T a, T b) {
    const T greater = a == b ? (std::signbit(a) ? b : a) : (a > b ? a : b);
    return canonical(a != a ? b : b != b ? a : greater);
}

template <class T> T negative(T a) {
    return -a;
}
template <class T> T absolute(T a) {
    return std::fabs(a);
}
/// |b| with the sign of a.
template <class T> T with_sign(T a, T b) {
    return std::copysign(b, a);
}

/// An approximation's error isn't known: the number itself, rounded from double.
template <double (*f)(double)> float approximate(float a) {
    return canonical(static_cast<float>(f(a)));
}
double inverse(double a) {
    return 1 / a;
}
double inverse_root(double a) {
    return 1 / std::sqrt(a);
}

template <class T> void add_to(Forms &forms, const std::string &type) {
    for (const char *const rounded : {".", ".rn."}) { // to nearest unless said
        forms["add" + (rounded + type)] = form<add<T>>();
        forms["sub" + (rounded + type)] = form<subtract<T>>();
        forms["mul" + (rounded + type)] = form<multiply<T>>();
    }
    forms["div.rn." + type] = form<divide<T>>();
    forms["fma.rn." + type] = form<fused<T>>();
    forms["rcp.rn." + type] = form<reciprocal<T>>();
    forms["sqrt.rn." + type] = form<square_root<T>>();
    forms["min." + type] = form<least<T>>();
    forms["max." + type] = form<greatest<T>>();
    forms["neg." + type] = form<negative<T>>();
    forms["abs." + type] = form<absolute<T>>();
    forms["copysign." + type] = form<with_sign<T>>();
}

} // namespace

void add_arithmetic(Forms &forms) {
    add_to<float>(forms, "f32");
    add_to<double>(forms, "f64");
    forms["ex2.approx.f32"] = form<approximate<std::exp2>>();
    forms["lg2.approx.f32"] = form<approximate<std::log2>>();
    forms["tanh.approx.f32"] = form<approximate<std::tanh>>();
    forms["rcp.approx.f32"] = form<approximate<inverse>>();
    forms["sqrt.approx.f32"] = form<approximate<std::sqrt>>();
    forms["rsqrt.approx.f32"] = form<approximate<inverse_root>>();
}

} // namespace ptx
