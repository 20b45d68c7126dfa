// Comparisons. Of numbers where one is NaN, the plain ones are false, those with a u true.
#include "forms.h"

namespace ptx {

namespace {

template <class T> bool equal(T a, T b) {
    return a == b;
}
template <class T> bool unequal(T a, T b) {
    return a < b || a > b;
}
template <class T> bool less(T a, T b) {
    return a < b;
}
template <class T> bool less_or_equal(T a, T b) {
    return a <= b;
}
template <class T> bool greater(T a, T b) {
    return a > b;
}
template <class T> bool greater_or_equal(T a, T b) {
    return a >= b;
}
template <class T> bool ordered(T a, T b) {
    return a == a && b == b;
}
template <class T, bool (*f)(T, T)> bool no(T a, T b) {
    return !f(a, b);
}

template <class T> void add_all(Forms &forms, const std::string &type) {
    forms["setp.eq." + type] = form<equal<T>>();
    forms["setp.ne." + type] = form<unequal<T>>();
    forms["setp.lt." + type] = form<less<T>>();
    forms["setp.le." + type] = form<less_or_equal<T>>();
    forms["setp.gt." + type] = form<greater<T>>();
    forms["setp.ge." + type] = form<greater_or_equal<T>>();
}

template <class T> void add_unordered(Forms &forms, const std::string &type) {
    forms["setp.equ." + type] = form<no<T, unequal<T>>>();
    forms["setp.neu." + type] = form<no<T, equal<T>>>();
    forms["setp.ltu." + type] = form<no<T, greater_or_equal<T>>>();
    forms["setp.leu." + type] = form<no<T, greater<T>>>();
    forms["setp.gtu." + type] = form<no<T, less_or_equal<T>>>();
    forms["setp.geu." + type] = form<no<T, less<T>>>();
    forms["setp.num." + type] = form<ordered<T>>();
    forms["setp.nan." + type] = form<no<T, ordered<T>>>();
}

} // namespace

void add_comparisons(Forms &forms) {
    for (const char *const kind : {"b", "u"}) { // bits are only ever equal or not
        add_all<uint16_t>(forms, kind + std::string("16"));
        add_all<uint32_t>(forms, kind + std::string("32"));
        add_all<uint64_t>(forms, kind + std::string("64"));
    }
    add_all<int16_t>(forms, "s16");
    add_all<int32_t>(forms, "s32");
    add_all<int64_t>(forms, "s64");
    add_all<float>(forms, "f32");
    add_all<double>(forms, "f64");
    add_unordered<float>(forms, "f32");
    add_unordered<double>(forms, "f64");
}

} // namespace ptx
