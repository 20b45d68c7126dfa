// The main of every test program. Unlike gtest_main it tells ctest about skipped tests: a program
// all of whose tests were skipped ends with 77, so that ctest says "skipped", never "passed". What was
// skipped, and why, is said at the end of the output in lines that scripts/test.sh gathers, of one test
// among others, too. The larger data sets lie where DELTAK_DATA says, by default beside the checkout.
#include "deltak/deltak.h"
#include "device.h"
#include "primary_context.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <sys/statvfs.h>
#include <unistd.h>

// Whether the device to be tested is there; "no" is a skipped test, anything else a failed one.
static dk_status find_device() {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    dk_context *context = nullptr;
    options.device = device::name();
    const dk_status status = dk_context_create(&context, &options);
    dk_context_destroy(context);
    if (status != DK_OK && status != DK_E_DEVICE) std::fprintf(stderr, "%s\n", dk_error_text());
    return status;
}

// Thousands of small files, each brought to the disk: in memory that takes a tenth of the time.
static void use_files_in_memory() {
    const char *folder = "/dev/shm";
    struct statvfs info;
    if (statvfs(folder, &info) != 0 || access(folder, W_OK | X_OK) != 0) return;
    const double free_bytes = double(info.f_bavail) * double(info.f_frsize);
    if (free_bytes >= double(1u << 30)) setenv("TMPDIR", folder, 0);
}

// Counts the skipped tests of each reason.
class Skips : public ::testing::EmptyTestEventListener {
  public:
    void OnTestEnd(const ::testing::TestInfo &test) override {
        const ::testing::TestResult &result = *test.result();
        if (!result.Skipped()) return;
        for (int i = 0; i < result.total_part_count(); i++) {
            const ::testing::TestPartResult &part = result.GetTestPartResult(i);
            if (part.skipped()) reasons[first_line(part.message())]++;
        }
    }

    void OnTestProgramEnd(const ::testing::UnitTest &run) override {
        for (const auto &[why, count] : reasons) say(count, run.test_to_run_count(), why);
    }

    static void say(int count, int all, const std::string &why) {
        if (count == all)
            std::printf("skipped: %s\n", why.c_str());
        else
            std::printf("skipped %d of %d: %s\n", count, all, why.c_str());
    }

  private:
    // GoogleTest puts an empty line before the text.
    static std::string first_line(const std::string &text) {
        const size_t from = std::min(text.find_first_not_of('\n'), text.size());
        return text.substr(from, text.find('\n', from) - from);
    }

    std::map<std::string, int> reasons;
};

// Ends a program that can't run here as a skipped one.
static int skip_all(const std::string &why) {
    Skips::say(1, 1, why);
    return 77;
}

int main(int argc, char **argv) {
    ::testing::InitGoogleTest(&argc, argv);
    const std::string filter = GTEST_FLAG_GET(filter);
    const bool excludes = filter.find('-') != std::string::npos;
    GTEST_FLAG_SET(filter, filter + (excludes ? ":" : "-") +
                               (device::is_cpu() ? "*OnAGpu*" : "*OnTheCpu*"));
    std::optional<PrimaryContext> held;
    if (!device::is_cpu() && !GTEST_FLAG_GET(list_tests)) {
        held.emplace(device::name());
        const dk_status status = find_device();
        if (status == DK_E_DEVICE) return skip_all(dk_error_text());
        if (status != DK_OK) return 1;
    }
    use_files_in_memory();
    setenv("DELTAK_DATA", DELTAK_SOURCE_DIR "/../shared/data", 0);
    ::testing::UnitTest::GetInstance()->listeners().Append(new Skips);
    const int failed = RUN_ALL_TESTS();
    const ::testing::UnitTest &run = *::testing::UnitTest::GetInstance();
    if (failed != 0) return failed;
    if (run.test_to_run_count() == 0 && !GTEST_FLAG_GET(list_tests)) {
        std::fprintf(stderr, "no test ran\n");
        return 1;
    }
    return run.skipped_test_count() > 0 && run.successful_test_count() == 0 ? 77 : 0;
}
