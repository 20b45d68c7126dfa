// Where the stand-in meets the thread emulator and GoogleTest: launches become work on the stand-in's
// streams, and reports that nobody takes fail the test.
#include "insides.h"

#include "simt/simt.h"

#include <gtest/gtest.h>

namespace standin {

namespace {

class Listener : public testing::EmptyTestEventListener {
    void OnTestEnd(const testing::TestInfo &) override {
        for (const std::string &report : take_reports()) ADD_FAILURE() << report;
    }
};

const bool listening = [] {
    testing::UnitTest::GetInstance()->listeners().Append(new Listener);
    return true;
}();

} // namespace

void take_launches() {
    simt::set_launch_hook([](void *stream, const char *, std::function<simt::Outcome()> run) {
        return launch(stream, [run = std::move(run)] { run(); });
    });
}

std::vector<std::string> take_reports() {
    std::vector<std::string> taken = simt::take_reports();
    const Guard guard(device().lock);
    taken.insert(taken.end(), device().reports.begin(), device().reports.end());
    device().reports.clear();
    return taken;
}

} // namespace standin
