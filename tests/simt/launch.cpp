// What surrounds the run of a grid: limits of a launch, the hook, and reports, which fail a test
// that doesn't take them.
#include "simt/grid.h"
#include "simt/simt.h"

#include <gtest/gtest.h>

#include <mutex>

namespace simt {

namespace {

/// Settings and reports; never held while a grid runs.
struct Shared {
    std::mutex mutex;
    std::uint64_t seed = 0;
    LaunchHook hook;
    std::vector<std::string> reports;
};

Shared &shared() {
    static Shared only;
    return only;
}

/// The limits of all devices of compute capability 7.5 and later (CUDA programming guide, table
/// "Technical Specifications per Compute Capability"). More than 48 KiB of shared memory need an
/// attribute of the kernel, which DK_LAUNCH_SHARED doesn't set.
int check(const Launch &launch) {
    const Extent &grid = launch.grid, &block = launch.block;
    const bool grid_fits = grid.x >= 1 && grid.x <= 0x7fffffff && grid.y >= 1 && grid.y <= 65535 &&
                           grid.z >= 1 && grid.z <= 65535;
    const bool block_fits = block.x >= 1 && block.x <= max_threads && block.y >= 1 &&
                            block.y <= max_threads && block.z >= 1 && block.z <= 64 &&
                            block.x * block.y * block.z <= max_threads;
    if (!grid_fits || !block_fits) return cudaErrorInvalidConfiguration;
    return launch.shared > 48 * 1024 ? cudaErrorInvalidValue : cudaSuccess;
}

/// Fails the test in which there was a report.
class Listener : public ::testing::EmptyTestEventListener {
    void OnTestEnd(const ::testing::TestInfo &) override {
        for (const std::string &text : take_reports()) ADD_FAILURE() << text;
    }
};

const bool listening = [] {
    ::testing::UnitTest::GetInstance()->listeners().Append(new Listener);
    return true;
}();

} // namespace

int launch(Launch launch, void *stream) {
    if (const int code = check(launch)) return code;
    LaunchHook hook;
    std::uint64_t seed;
    {
        const std::lock_guard<std::mutex> lock(shared().mutex);
        hook = shared().hook;
        seed = shared().seed;
    }
    if (!hook) return run(launch, seed).well ? cudaSuccess : cudaErrorLaunchFailure;
    const char *const kernel = launch.kernel;
    return hook(stream, kernel, [launch = std::move(launch), seed] { return run(launch, seed); });
}

void set_order(std::uint64_t seed) {
    const std::lock_guard<std::mutex> lock(shared().mutex);
    shared().seed = seed;
}

void set_launch_hook(LaunchHook hook) {
    const std::lock_guard<std::mutex> lock(shared().mutex);
    shared().hook = std::move(hook);
}

void report(std::string text) {
    const std::lock_guard<std::mutex> lock(shared().mutex);
    shared().reports.push_back(std::move(text));
}

std::vector<std::string> take_reports() {
    const std::lock_guard<std::mutex> lock(shared().mutex);
    return std::exchange(shared().reports, {});
}

} // namespace simt
