// What docs/reliability.md says was tried, told by the tests themselves.
#ifndef DELTAK_TESTS_SUPPORT_PROMISE_H
#define DELTAK_TESTS_SUPPORT_PROMISE_H

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace support {

// Notes in GoogleTest's own report that the running test tried a promise in `count` ways of one kind.
// scripts/reliability.py makes the document's table of such reports.
inline void promise(const char *promise, const char *how, int64_t count) {
    testing::Test::RecordProperty(std::string(promise) + " | " + how, std::to_string(count));
}

} // namespace support

#endif
