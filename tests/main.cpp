// The main of every test program. Unlike gtest_main it tells ctest about skipped tests: a program
// in which a test was skipped and none failed ends with 77, so that ctest says "skipped", never
// "passed". A failure always wins. The larger data sets lie where DELTAK_DATA says, by default
// beside the checkout.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char **argv) {
    ::testing::InitGoogleTest(&argc, argv);
    setenv("DELTAK_DATA", DELTAK_SOURCE_DIR "/../shared/data", 0);
    const int failed = RUN_ALL_TESTS();
    const ::testing::UnitTest &run = *::testing::UnitTest::GetInstance();
    if (failed != 0) return failed;
    if (run.test_to_run_count() == 0 && !GTEST_FLAG_GET(list_tests)) {
        std::fprintf(stderr, "no test ran\n");
        return 1;
    }
    return run.skipped_test_count() > 0 ? 77 : 0;
}
