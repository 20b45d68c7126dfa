// What tests set and ask of the emulation (emulated.h), and where its reports go.
#include "insides.h"

#include "simt/simt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <regex>

namespace emulated {

namespace {

/// Reports that nobody takes fail the test.
class Listener : public testing::EmptyTestEventListener {
    void OnTestEnd(const testing::TestInfo &) override {
        for (const std::string &report : take_reports()) ADD_FAILURE() << report;
    }
};

const bool listening = [] {
    testing::UnitTest::GetInstance()->listeners().Append(new Listener);
    return true;
}();

/// What the environment says, or `otherwise`; a test that took a wrong word for a right one would test
/// something else than its caller believes.
std::string variable(const char *name, const char *otherwise, const std::string &pattern) {
    const char *set = std::getenv(name);
    const std::string text = set ? set : otherwise;
    if (std::regex_match(text, std::regex(pattern))) return text;
    std::fprintf(stderr, "%s is \"%s\", and has to be one of: %s\n", name, text.c_str(),
                 pattern.c_str());
    std::exit(1);
}

Settings first_settings() {
    const int capability = std::stoi(variable("DELTAK_EMULATED_CAPABILITY", "90", "75|80|90|100"));
    Settings settings;
    settings.major = capability / 10;
    settings.minor = capability % 10;
    const std::string number = "[0-9]{1,6}(\\.[0-9]{1,6})?";
    const std::string times =
        variable("DELTAK_EMULATED_KERNEL_MS", "0.01,0.01", number + "," + number);
    settings.other_ms = std::stod(times);
    settings.dependent_ms = std::stod(times.substr(times.find(',') + 1));
    const std::string clock = variable("DELTAK_EMULATED_CLOCK", "model", "model|host|random");
    settings.timing = clock == "host"     ? Timing::host
                      : clock == "random" ? Timing::random
                                          : Timing::model;
    return settings;
}

uint64_t first_schedule() {
    return std::stoull(variable("DELTAK_EMULATED_SCHEDULE", "0", "[0-9]{1,9}"));
}

} // namespace

Device::Device() : settings(first_settings()) {
    legacy = add_stream(true);
    follow(first_schedule());
    take_launches();
    speak_when_dying();
}

Device &device() {
    static Device &it = *new Device; // objects of other files may outlive this one's
    return it;
}

void Device::report(const std::string &text) {
    constexpr size_t most = 20;
    if (reports.size() < most) reports.push_back(text);
}

void reset() {
    Device &d = device();
    const Guard guard(d.lock);
    d.arena.release_all();
    d.graphs.clear();
    for (Graph *recording : d.recordings) delete recording;
    d.recordings.clear();
    for (Event *event : d.events) delete event;
    d.events.clear();
    d.streams.clear();
    d.of_threads.clear();
    d.finished.clear();
    d.order_is_known = true;
    d.chains = 0;
    d.host = std::make_shared<Clock>();
    d.legacy = d.add_stream(true);
    d.reports.clear();
    d.counts = Counts();
    d.calls = d.fail_call = 0;
    d.sticky = cudaSuccess;
    d.failed.clear();
    d.retained = d.pushed = d.handles = 0;
    forget_contexts();
    d.turn = 0;
    d.settings = first_settings();
    d.follow(first_schedule());
}

void Device::follow(uint64_t seed) {
    const auto most = static_cast<uint64_t>(Policy::random);
    policy = static_cast<Policy>(seed < most ? seed : most);
    random.seed(seed);
}

void set_schedule(uint64_t seed) {
    const Guard guard(device().lock);
    device().follow(seed);
}

void set_memory(size_t device_bytes, size_t pinned) {
    const Guard guard(device().lock);
    device().settings.device_memory = device_bytes;
    device().settings.pinned_memory = pinned;
}

void set_capability(int major, int minor) {
    const Guard guard(device().lock);
    device().settings.major = major;
    device().settings.minor = minor;
}

void set_driver(cudaError_t error, int version) {
    const Guard guard(device().lock);
    device().settings.driver = error;
    device().settings.driver_version = version;
}

void set_algorithms(std::function<int(const dki_product &)> known) {
    const Guard guard(device().lock);
    device().settings.known = std::move(known);
}

void set_times(std::function<double(const dki_product &, int)> times, double other) {
    const Guard guard(device().lock);
    device().settings.times = std::move(times);
    device().settings.other_ms = other;
}

void set_timing(Timing timing) {
    const Guard guard(device().lock);
    device().settings.timing = timing;
}

void set_dependent_launches(double milliseconds, bool work) {
    const Guard guard(device().lock);
    device().settings.dependent_ms = milliseconds;
    device().settings.dependent_works = work;
}

void set_kernels(int capability) {
    const Guard guard(device().lock);
    device().settings.kernels = capability;
}

void set_contention(double factor) {
    const Guard guard(device().lock);
    device().settings.contention = factor;
}

Counts counts() {
    const Guard guard(device().lock);
    return device().counts;
}

void reset_counts() {
    const Guard guard(device().lock);
    device().counts = Counts();
}

size_t memory_in_use() {
    const Guard guard(device().lock);
    return device().arena.in_use(true);
}

int open_gpus() {
    const Guard guard(device().lock);
    return device().retained;
}

std::vector<std::string> take_reports() {
    std::vector<std::string> taken = simt::take_reports();
    const Guard guard(device().lock);
    taken.insert(taken.end(), device().reports.begin(), device().reports.end());
    device().reports.clear();
    return taken;
}

} // namespace emulated
