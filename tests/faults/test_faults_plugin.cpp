// Failures while the CUDA backend's plugin is looked for and loaded: a text that says what is missing
// where a GPU was asked for, the CPU where it was left open, and another try finds the plugin.
#include "faults.h"
#include "support_net.h"
#include "support_promise.h"

#include <cstring>

namespace faults {
namespace {

std::string logged;

void keep_line(void *, dk_log_level, const char *line) {
    logged += line;
}

dk_status open(const char *device, support::Context &context) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = device;
    options.threads = 1;
    options.log = keep_line;
    options.log_level = DK_LOG_INFO;
    logged.clear();
    dk_context *made = nullptr;
    const dk_status status = dk_context_create(&made, &options);
    context.reset(made);
    return status;
}

bool has(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

TEST(PluginFaults, LeaveTheCpuAndATextThatSaysWhy) {
    const struct {
        Function function;
        const char *says;
    } cases[] = {{Function::dladdr1, "isn't installed"},
                 {Function::realpath, "isn't installed"},
                 {Function::access, "isn't installed"},
                 {Function::dlopen, "can't be loaded"},
                 {Function::dlsym, "is no plugin of deltak"}};
    long failures = 0;
    for (const auto &c : cases)
        for (bool for_ever : {false, true}) {
            SCOPED_TRACE(name_of(c.function));
            support::Context context;
            arm({c.function, 1, for_ever, ENOMEM});
            EXPECT_EQ(open("cuda", context), DK_E_DEVICE);
            ASSERT_GT(disarm(), 0);
            EXPECT_TRUE(has(dk_error_text(), c.says)) << dk_error_text();
            arm({c.function, 1, for_ever, ENOMEM});
            EXPECT_EQ(open("auto", context), DK_OK) << dk_error_text();
            ASSERT_GT(disarm(), 0);
            EXPECT_TRUE(has(logged, "on the CPU, because: ") && has(logged, c.says)) << logged;
            EXPECT_EQ(open("cuda", context), DK_E_DEVICE);
            EXPECT_TRUE(has(dk_error_text(), "the test's plugin has no GPU")) << dk_error_text();
            failures += 2;
        }
    support::promise("Every failure is survived", "the CUDA plugin can't be loaded", failures);
}

} // namespace
} // namespace faults
