// How much of a long test is run.
#ifndef DELTAK_TESTS_SUPPORT_EXTENT_H
#define DELTAK_TESTS_SUPPORT_EXTENT_H

#include <cstdint>
#include <cstdlib>

namespace support {

/// Whether a single long case is tried, too: not with $DELTAK_TEST_SHORT.
inline bool tries_long_cases() {
    return !std::getenv("DELTAK_TEST_SHORT");
}

/// Of many like cases, one in how many is tried: in `some`; all of them with $DELTAK_TEST_LONG; about half as
/// many with $DELTAK_TEST_SHORT, where each takes many times as long. `some` has no factor in common with
/// the lengths of the lists that the cases are made of, so that every entry of each has its turn.
inline int64_t one_in(int64_t some) {
    if (std::getenv("DELTAK_TEST_LONG")) return 1;
    return tries_long_cases() ? some : 2 * some - 1;
}

/// The same of cases that are all tried but with $DELTAK_TEST_SHORT.
inline int64_t one_in_if_short(int64_t some) {
    return tries_long_cases() ? 1 : some;
}

} // namespace support

#endif
