// How much of a long test is run.
#ifndef DELTAK_TESTS_SUPPORT_EXTENT_H
#define DELTAK_TESTS_SUPPORT_EXTENT_H

#include <cstdint>
#include <cstdlib>

namespace support {

/// Of many like cases, one in how many is tried: in `some`, or all of them where there is time for that. A
/// number that has no factor in common with the lengths of the lists that the cases are made of, so that
/// every entry of each has its turn.
inline int64_t one_in(int64_t some) {
    return std::getenv("DELTAK_TEST_LONG") ? 1 : some;
}

} // namespace support

#endif
