// The insides of the emulation: one process-wide device, as CUDA's primary context is, under one
// lock. A file each for the calls (calls.cpp: which of them fail), the device and its context
// (device.cpp), memory (arena.cpp, memory.cpp), streams and events (schedule.cpp, streams.cpp,
// events.cpp), recordings (capture.cpp, graphs.cpp), kernels (kernels.cpp, watch.cpp) and cuBLASLt
// (lt*.cpp).
#ifndef DELTAK_TESTS_EMULATED_INSIDES_H
#define DELTAK_TESTS_EMULATED_INSIDES_H

#include "arena.h"
#include "emulated.h"
#include "streams.h"

#include <mutex>
#include <random>

namespace emulated {

enum class Policy { late, in_turn, oldest, newest, at_once, random };

/// What holds until a test says otherwise.
inline int all_algorithms(const dki_product &) {
    return algorithms;
}
inline double usual_times(const dki_product &, int algorithm) {
    return algorithm == 1 ? 1 : algorithm == 2 ? 0.5 : 2;
}

/// What tests set.
struct Settings {
    int major = 9, minor = 0;
    cudaError_t driver = cudaSuccess;
    int driver_version = 0;
    size_t device_memory = size_t{1} << 30, pinned_memory = size_t{1} << 30;
    std::function<int(const dki_product &)> known = all_algorithms;
    std::function<double(const dki_product &, int)> times = usual_times;
    double other_ms = 0.01, dependent_ms = 0.01;
    Timing timing = Timing::model;
    bool dependent_works = true;
    int kernels = 0; ///< for which compute capability they were compiled, as 80; 0 = the device's
    double contention = 0;
};

/// Everything. All members are touched under `lock` only.
struct Device {
    Device();
    std::recursive_mutex lock;
    Settings settings;
    Counts counts;
    std::vector<std::string> reports;
    /// The first so many; more of a kind say nothing new.
    void report(const std::string &text);

    // calls.cpp
    long calls = 0, fail_call = 0;
    bool fail_later = false;
    cudaError_t fail_error = cudaSuccess;
    cudaError_t sticky = cudaSuccess; ///< what every call returns from now on
    std::string failed;               ///< the call that was told to fail
    /// From now on every call fails, and what is queued is forgotten.
    void lose(cudaError_t error);
    /// Breaks the captures that this thread's call isn't allowed beside; whether there was one.
    bool break_captures(const char *call);

    // device.cpp
    int retained = 0, pushed = 0; ///< the primary context; how often it is on threads' stacks
    int handles = 0;              ///< of cuBLASLt

    // arena.cpp
    Arena arena;

    // schedule.cpp
    std::vector<std::unique_ptr<Stream>> streams;
    Stream *legacy = nullptr;
    std::map<std::thread::id, Stream *> of_threads; ///< cudaStreamPerThread
    std::set<Event *> events;
    Policy policy = Policy::late;
    std::mt19937_64 random;
    size_t turn = 0;
    void follow(uint64_t seed);
    double random_time = 0;
    /// What an event says that is reached now, where the emulation's own clock says `model`.
    double time(double model);
    Stream *add_stream(bool blocking);
    /// NULL, with a report, if there is none of that handle.
    Stream *stream(cudaStream_t handle, const char *call);
    Event *event(cudaEvent_t handle, const char *call);
    /// Queues work, or records it.
    cudaError_t submit(cudaStream_t handle, const char *call, Work work);
    void push(Stream *stream, Item item);
    /// Runs what the schedule says until `done`; `target` is the stream that is waited for.
    void run_until(Stream *target, const std::function<bool()> &done);
    void run_all();
    /// The same, and the host has waited for it.
    void drain();
    bool ready(Stream &stream) const;
    void step(Stream &stream);
    size_t choose(size_t count);

    // capture.cpp, graphs.cpp
    std::set<Graph *> recordings;
    std::map<cudaGraphExec_t, std::shared_ptr<Graph>> graphs;
    uintptr_t graph_places = 0; ///< that were given out
    bool graph_step(Stream &stream, GraphRun &run);
    void append(Stream *stream, Node node);

    // checks.cpp
    bool order_is_known = true; ///< no call that makes one was told to fail
    std::vector<Done> finished; ///< what may still come beside work that hasn't run
    size_t chains = 0;          ///< that were given out
    std::shared_ptr<const Clock> host = std::make_shared<Clock>();
    /// The host has waited for what `seen` has seen.
    void host_saw(const Clock &seen);
    /// Runs a piece of work that comes after what `seen` has seen, and compares it with others.
    void perform(const Work &work, size_t chain, Clock &seen);
    void forget_what_is_over();
    /// With nothing queued and no graphs left: no clock needs to know of the chains there were.
    void restart_clocks();
};

Device &device();
using Guard = std::lock_guard<std::recursive_mutex>;

/// Notes an error for cudaGetLastError, as the runtime does for every call.
cudaError_t noted(cudaError_t error);

/// One call of the runtime: it holds the device, and fails where it was told to, or where the device
/// is lost, or (`waiting`) where a capture forbids it.
class Call {
  public:
    enum Kind { plain, waiting, release };
    explicit Call(const char *name, Kind kind = plain);

    Device &device;
    cudaError_t error = cudaSuccess; ///< to be returned at once

  private:
    const Guard guard_;
};

/// From now on an access that ends the program is explained (crash.cpp).
void speak_when_dying();

/// How a kernel went.
struct Ran {
    cudaError_t error = cudaSuccess;
    bool waited = true; ///< every thread has waited for the work before it
};
/// Queues a kernel, whichever way it is run.
cudaError_t submit_kernel(cudaStream_t stream, const std::string &name, bool dependent,
                          std::function<Ran()> run);
/// The same for one of the project's: the thread has to have made the GPU its current one.
cudaError_t submit_our_kernel(cudaStream_t stream, const std::string &name, bool dependent,
                              std::function<Ran()> run);

/// From now on the thread emulator's launches are the device's.
void take_launches();

/// Whether what the thread makes now is deltak's: its primary context is on the thread's stack.
bool in_context();
/// Clears the calling thread's stack of contexts.
void forget_contexts();

} // namespace emulated

#endif
