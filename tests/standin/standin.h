// The controls of a GPU that isn't there: an implementation of backend/cuda/gpu.h on the host, so
// that the whole CUDA backend runs without one, and so that tests can decide what a real GPU leaves
// to chance: in which order independent work runs, which call fails, how long a product takes.
//
// Nothing runs when it is queued. Work runs when the host waits for something, in an order that the
// schedule decides within what streams, events and graphs demand. So a missing dependency, or a
// staging buffer that is written again too early, shows up as a wrong result under some schedule.
// Under AddressSanitizer device memory is poisoned but while work runs: the host can't touch it.
#ifndef DELTAK_TESTS_STANDIN_H
#define DELTAK_TESTS_STANDIN_H

extern "C" {
#include "backend/cuda/gpu.h"
}

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace standin {

/// Forgets everything: memory, streams, faults, settings, reports, counts. No GPU may be open.
void reset();

/// Who comes next. Seeds 0 … 4: as late as dependencies allow (what isn't waited for doesn't run at
/// all); each stream in turn; always the oldest stream that can; always the newest; at once, when
/// it is queued. Seeds from 5 on: at random. Nodes of a graph follow the same rule.
void set_schedule(uint64_t seed);
constexpr uint64_t schedules = 8; ///< seeds 0 … 7 are a good sample

/// How much memory there is, in bytes; 1 GiB of each at first.
void set_memory(size_t device, size_t pinned = size_t{1} << 30);

/// dki_gpu_open fails with DK_E_DEVICE and this text; empty = it succeeds.
void set_open_failure(const std::string &text);

/// The n-th call from now that can fail (n from 1; kernel launches are calls, too) fails with
/// `status`. After DK_E_DEVICE_LOST nothing works until reset().
void fail_at(long n, dk_status status);
/// The n-th call and all later ones fail; at first: the device is lost.
void fail_from(long n, dk_status status = DK_E_DEVICE_LOST);
/// Which function the last call belonged to that was told to fail; "" = none since reset().
std::string failed_call();
/// Calls that can fail, since the last fail_at, fail_from or reset.
long calls();

/// What was done wrong since the last call: accesses outside of allocations, products whose
/// description isn't true, products that share a workspace and that nothing orders, leaks, unknown
/// handles. Tests want it empty.
std::vector<std::string> take_reports();

/// What has run since the last reset.
struct Counts {
    long kernels = 0, products = 0, copies = 0, zeros = 0, graph_launches = 0, captures = 0;
    long syncs = 0, allocations = 0;
    long dependent_kernels = 0; ///< of the kernels: launched on a stream with dependent launches
    uint64_t copied_bytes = 0;
    long products_by[4] = {0, 0, 0, 0}; ///< by algorithm, 1 … 3
    double product_flops = 0;           ///< 2·m·n·k
    double product_bytes = 0; ///< of A, B and D, without padding, each once (D twice with beta)
};
Counts counts();
void reset_counts();
/// Bytes of device memory in use, and GPUs open.
size_t memory_in_use();
int open_gpus();

/// How many algorithms (0 … 3) the library knows for a product; 3 at first. Algorithm 1 sums in
/// order, 2 backwards, 3 in two halves, with a workspace. Where that is too small, 3 is missing.
constexpr int algorithms = 3;
void set_algorithms(std::function<int(const dki_product &)> known);

/// How long a product takes on the stand-in's own clock, in ms. At first algorithm 1 takes 1, the
/// second 0.5, the third 2. Everything else takes `other` (0.01 at first).
void set_times(std::function<double(const dki_product &, int algorithm)> times,
               double other = 0.01);

/// How long a kernel takes that is launched dependently, in ms (0.01 at first), and whether the
/// launch works at all.
void set_dependent_launches(double milliseconds, bool work = true);

/// What running side by side costs: a graph in which anything may run beside anything else takes
/// `factor` times the sum of its parts. 0, at first: only as long as its longest path.
void set_contention(double factor);

/// A kernel: queues `run`. The thread emulator's hook; returns 0 or a code for dki_gpu_launched.
int launch(void *stream, std::function<void()> run);

/// Looks at device memory, or writes it, as it is now: waits for nothing, runs nothing.
void peek(void *to, const void *device, size_t bytes);
void poke(void *device, const void *from, size_t bytes);

} // namespace standin

#endif
