// The insides of the stand-in: one process-wide device, as CUDA's primary context is, under one
// lock. Its gpu.h functions lie in device.cpp (opening, faults, controls), memory.cpp, streams.cpp,
// callers.cpp, capture.cpp and products.cpp; order.cpp knows what comes before what.
#ifndef DELTAK_TESTS_STANDIN_DEVICE_H
#define DELTAK_TESTS_STANDIN_DEVICE_H

#include "standin.h"

#include "kernels/queue.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>

struct dki_gpu {
    dki_gpu_facts facts;
};

namespace standin {

enum class Policy { late, in_turn, oldest, newest, at_once, random };

/// One piece of work: a kernel, a copy, a product.
struct Work {
    std::function<void()> run;
    double ms = 0;
    bool kernel = true;              ///< or a copy, or zeroing
    const void *workspace = nullptr; ///< of a product
};

/// How far each stream's queue is known to be done, as numbers of what was queued there.
using Clock = std::map<const struct Stream *, uint64_t>;
void merge(Clock &into, const Clock &more);

/// What one call of event_record stands for.
struct Token {
    bool over = false;
    double time = 0;
    struct Stream *stream = nullptr;
    Clock before;
};

struct Node {
    Work work;
    std::vector<size_t> after;    ///< nodes, all with smaller numbers
    struct Event *mark = nullptr; ///< gets the time
};

/// A capture under way. `tails`: for each stream that takes part, the nodes that its next one
/// follows.
struct Capture {
    struct Stream *origin = nullptr;
    std::thread::id thread;
    bool active = true;
    std::string broken; ///< the call that isn't allowed while capturing
    std::vector<Node> nodes;
    std::map<struct Stream *, std::set<size_t>> tails;
};

struct Graph {
    std::vector<Node> nodes;
    std::set<const void *> workspaces;
    struct Stream *runner = nullptr; ///< a graph never runs beside itself
};

struct GraphRun {
    std::shared_ptr<Graph> graph;
    std::vector<bool> done;
    std::vector<double> ends;
    size_t left = 0;
};

/// What stands in a stream's queue: work, a record, a wait or a graph; the others are empty.
struct Item {
    Work work;
    std::shared_ptr<Token> record, wait;
    std::shared_ptr<GraphRun> graph;
};

/// Begins as gpu_stream.c has it: an application knows the stream by `stream`.
struct Stream : dki_queue {
    Stream() : dki_queue{this, false, false} {}
    dki_gpu *owner = nullptr;
    std::vector<Item> queue; ///< from `next` on
    size_t next = 0;
    double clock = 0;
    bool destroyed = false;
    bool is_default = false; ///< the application's default stream, which can't be recorded
    std::shared_ptr<Capture> capture;
    Clock before; ///< what is done when what is queued next begins
    bool empty() const { return next == queue.size(); }
    Item &front() { return queue[next]; }
};

/// A stream of the caller's, by CUDA's handle.
struct Wrap {
    dki_gpu *owner;
    void *handle;
};

struct Event {
    dki_gpu *owner = nullptr;
    bool timing = false;
    std::shared_ptr<Token> token;     ///< the latest record, outside of a capture
    std::shared_ptr<Capture> capture; ///< or inside one
    std::set<size_t> captured;
};

struct Region {
    char *data = nullptr;
    void *block = nullptr; // of the heap
    size_t bytes = 0;
    bool device = false;
    dki_gpu *owner = nullptr;
};

/// What holds until a test says otherwise.
inline int all_algorithms(const dki_product &) {
    return algorithms;
}
inline double usual_times(const dki_product &, int algorithm) {
    return algorithm == 1 ? 1 : algorithm == 2 ? 0.5 : 2;
}

/// Everything. All members are touched under `lock` only.
struct Device {
    std::recursive_mutex lock;

    // device.cpp
    std::set<dki_gpu *> gpus;
    std::string open_failure;
    std::vector<std::string> reports;
    Counts counts;
    long calls = 0, fail_call = 0;
    bool fail_later = false;
    dk_status fail_status = DK_OK;
    bool lost = false;
    std::string failed; ///< the call that was told to fail
    int ranges = 0;
    void report(const std::string &text) { reports.push_back(text); }
    /// At the start of every call that can fail.
    dk_status enter(const char *call);
    /// The same for those that a capturing thread mustn't make: they break the capture.
    dk_status enter_waiting(const char *call);
    /// Breaks this thread's captures; whether there was one.
    bool break_captures(const char *call);

    // memory.cpp
    std::map<const char *, Region> regions;
    size_t device_total = size_t{1} << 30, pinned_total = size_t{1} << 30;
    size_t in_use(bool device) const;
    /// The region in which all of [p, p + bytes) lies, or NULL.
    const Region *find(const void *p, size_t bytes) const;
    void release(const Region &region);

    // streams.cpp
    std::vector<std::unique_ptr<Stream>> streams;
    std::set<Event *> events;
    Policy policy = Policy::late;
    std::mt19937_64 random;
    size_t turn = 0;
    Stream *stream(dki_stream handle, const char *call);
    std::vector<std::unique_ptr<Wrap>> wraps;
    std::map<std::thread::id, Stream *> default_streams; ///< of no thread: the process'
    Stream *callers_stream(const void *handle);
    Event *event(dki_event handle, const char *call);
    dk_status submit(dki_stream handle, const char *call, Work work);
    void push(Stream *stream, Item item);
    /// Runs what the schedule says until `done`; `target` is the stream that is waited for.
    void run_until(Stream *target, const std::function<bool()> &done);
    void drain();
    bool ready(Stream &stream) const;
    void step(Stream &stream);
    size_t choose(size_t count);

    // order.cpp
    struct Use {
        const Stream *stream;
        uint64_t tick;
    };
    uint64_t ticks = 0;
    std::map<const void *, Use> uses; ///< who has used a workspace last
    Clock finished;                   ///< what the host has waited for
    /// A product with this workspace is queued; reports where another one may run beside it.
    void claim(Stream &stream, const void *workspace);
    /// The workspaces of a recording; reports where two of its products may run at once in one.
    std::set<const void *> workspaces_of(const std::vector<Node> &nodes);
    void finish_all() {
        for (const auto &stream : streams) merge(finished, stream->before);
    }

    // capture.cpp
    std::map<dki_graph *, dki_gpu *> graphs;
    bool graph_step(Stream &stream, GraphRun &run);
    void append(Stream *stream, Node node);

    // products.cpp
    std::function<int(const dki_product &)> known = all_algorithms;
    std::function<double(const dki_product &, int)> times = usual_times;
    double other_ms = 0.01, dependent_ms = 0.01;
    bool dependent_works = true;
    double contention = 0;
};

Device &device();
using Guard = std::lock_guard<std::recursive_mutex>;

/// From now on kernels are launched on the stand-in (hook.cpp).
void take_launches();

/// While one lives, the host may touch device memory.
class Access {
  public:
    Access();
    ~Access();
    Access(const Access &) = delete;
    Access &operator=(const Access &) = delete;
};
void forbid(const void *p, size_t bytes);
void allow(const void *p, size_t bytes);

/// Whether the epilogue has an auxiliary matrix: GELU's z.
inline bool has_aux(int32_t epilogue) {
    return epilogue == DKI_EPILOGUE_GELU_AUX_BIAS || epilogue == DKI_EPILOGUE_DGELU ||
           epilogue == DKI_EPILOGUE_DGELU_BGRAD;
}

/// D = op(A) op(B) (+ D) and the epilogue; see gemm.cpp.
void multiply(const dki_product &product, const dki_operands &operands, int algorithm);

} // namespace standin

struct dki_graph {
    std::shared_ptr<standin::Graph> body;
};

#endif
