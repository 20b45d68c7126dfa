// The controls of a GPU that isn't there: CUDA's runtime, the driver's entry points and cuBLASLt as
// far as deltak calls them, on the host. The whole CUDA backend runs on them, its thin layer
// gpu_*.c included, and tests decide what a real GPU leaves to chance: in which order independent
// work runs, which call fails, how long a product takes.
//
// Nothing runs when it is queued. Work runs when the host waits for something, in an order that the
// schedule decides within what streams, events and graphs demand. So a missing dependency, or a
// staging buffer that is written again too early, shows up as a wrong result under some schedule;
// and two pieces of work that touch the same memory without an order between them are reported
// whatever the schedule (order.h). Device memory is closed to the host but while work runs.
#ifndef DELTAK_TESTS_EMULATED_H
#define DELTAK_TESTS_EMULATED_H

extern "C" {
#include "backend/cuda/gpu.h"
}

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace emulated {

/// What a GPU of the tests calls itself.
constexpr char device_name[] = "emulated CUDA";

/// Forgets everything: memory, streams, faults, settings, reports, counts. No GPU may be open.
void reset();

/// Who comes next. Seeds 0 … 4: as late as dependencies allow (what isn't waited for doesn't run at
/// all); each stream in turn; always the oldest stream that can; always the newest; at once, when
/// it is queued. Seeds from 5 on: at random. Nodes of a graph follow the same rule. At first
/// $DELTAK_EMULATED_SCHEDULE, or 0.
void set_schedule(uint64_t seed);
constexpr uint64_t schedules = 8; ///< seeds 0 … 7 are a good sample

/// How much memory there is, in bytes; 1 GiB of each at first.
void set_memory(size_t device, size_t pinned = size_t{1} << 30);

/// The compute capability; 9.0 at first, or $DELTAK_EMULATED_CAPABILITY (75, 80, 90, 100).
void set_capability(int major, int minor);

/// What cudaGetDeviceCount says of the driver from now on; cudaSuccess = there is one GPU. With
/// cudaErrorInsufficientDriver there is no driver (version 0), or one of that version.
void set_driver(cudaError_t error, int version = 0);

/// The n-th call from now that can fail (n from 1; kernel launches are calls, too) fails with `error`.
/// cuBLASLt's calls fail with the status that goes with it. After an error that CUDA keeps
/// (cudaErrorIllegalAddress and its like) nothing works until reset(); after a failed wait or event no
/// missing order is reported. Releases, and what only looks at the caller's own state, don't count:
/// CUDA lets them fail with errors of earlier work alone.
void fail_at(long n, cudaError_t error);
/// The n-th call and all later ones fail; at first: the device is lost.
void fail_from(long n, cudaError_t error = cudaErrorIllegalAddress);
/// Which function the last call belonged to that was told to fail; "" = none since reset().
std::string failed_call();
/// Calls that can fail, since the last fail_at, fail_from or reset.
long calls();

/// What was done wrong since the last call: accesses outside of allocations, or without an order
/// between them, descriptions that the library would refuse or misread, leaks, unknown handles. Tests
/// want it empty.
std::vector<std::string> take_reports();

/// What has run since the last reset.
struct Counts {
    long kernels = 0, products = 0, copies = 0, zeros = 0, graph_launches = 0, captures = 0;
    long syncs = 0, allocations = 0;
    long dependent_kernels = 0; ///< of the kernels: launched on a stream with dependent launches
    long loads = 0; ///< by kernels, of device memory, however wide; only where kernels are watched
    uint64_t copied_bytes = 0;
    long products_by[4] = {0, 0, 0, 0}; ///< by algorithm, 1 … 3
    double product_flops = 0;           ///< 2·m·n·k
    double product_bytes = 0; ///< of A, B and D, without padding, each once (D twice with beta)
};
Counts counts();
void reset_counts();
/// Bytes of device memory in use, and how often the primary context is held.
size_t memory_in_use();
int open_gpus();

/// How many algorithms (0 … 3) the library knows for a product; 3 at first. Algorithm 1 sums in
/// order, 2 backwards, 3 in two halves, with a workspace; where those may be added in D's type, they
/// are. Where the workspace is too small, 3 is missing. Below 0: the library refuses the description
/// with CUBLAS_STATUS_INVALID_VALUE. The library can't see whether a product adds to D.
constexpr int algorithms = 3;
void set_algorithms(std::function<int(const dki_product &)> known);

/// How long a product takes on the emulation's own clock, in ms. At first algorithm 1 takes 1, the
/// second 0.5, the third 2. Everything else takes `other` (0.01 at first).
void set_times(std::function<double(const dki_product &, int algorithm)> times,
               double other = 0.01);

/// What events tell: the emulation's own clock; the host's, when they are reached; or, between one that
/// is reached and the next, a random time. With the last two no measurement is like another, as on a real
/// GPU, so that what is chosen by timing is another thing each time: the random one makes every choice
/// come, again the same for the same schedule. At first $DELTAK_EMULATED_CLOCK (model, host, random), or
/// the model's.
enum class Timing { model, host, random };
void set_timing(Timing timing);

/// How long a kernel takes that is launched dependently, in ms (0.01 at first, so that it doesn't pay),
/// and whether the launch works at all. $DELTAK_EMULATED_KERNEL_MS = "0.1,0.01" sets at first what others
/// and what those take.
void set_dependent_launches(double milliseconds, bool work = true);

/// The compute capability, as 80, that the kernels were compiled for, which the driver makes code of for
/// this GPU; at first it is the GPU's. Below 9.0 they have no wait for earlier work.
void set_kernels(int capability);

/// What running side by side costs: a graph in which anything may run beside anything else takes
/// `factor` times the sum of its parts. 0, at first: only as long as its longest path.
void set_contention(double factor);

/// Queues `run` as a kernel on a stream of the backend's (dki_queue); 0, or CUDA's error.
int launch(const void *queue, std::function<void()> run, const std::string &name = "a kernel");

/// Looks at device memory, or writes it, as it is now: waits for nothing, runs nothing.
void peek(void *to, const void *device, size_t bytes);
void poke(void *device, const void *from, size_t bytes);

} // namespace emulated

#endif
