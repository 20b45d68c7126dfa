// The thread emulator: CUDA's words for the kernels of src/kernels/, compiled as C++ and run on the
// host, thread by thread. What a GPU would hang on, or silently compute wrong, becomes a report that
// fails the test; what it would do in any order is done in the order that the test asks for.
#ifndef DELTAK_TESTS_SIMT_H
#define DELTAK_TESTS_SIMT_H

#include "simt/toolkit.h"

#include "simt/launch.h"
#include "simt/shared.h"
#include "simt/sync.h"

#include "simt/intrinsics.h"

namespace simt {

/// The order of the threads in a block, and of the blocks: 0 forward, 1 backward, any other number
/// shuffles, anew each time that threads go on after waiting. For all launches from now on.
void set_order(std::uint64_t seed);

/// What went wrong since the last call, in words. Reports that nobody takes fail the test.
std::vector<std::string> take_reports();

/// How a launch went.
struct Outcome {
    bool well = true;   ///< nothing was reported
    bool waited = true; ///< every thread has waited for the work before (dki_wait_for_earlier)
};

/// Takes over what launches do: it gets the stream, the kernel's name and the launch, arguments
/// included, to run whenever it likes; returns the code that the launch shall return. Empty: launches
/// run at once.
using LaunchHook =
    std::function<int(void *stream, const char *kernel, std::function<Outcome()> run)>;
void set_launch_hook(LaunchHook hook);

/// Whether the thread that runs has waited for the work before its kernel.
bool has_waited();

} // namespace simt

#endif
