// What stands in the emulation's queues: streams, events, captures and graphs.
#ifndef DELTAK_TESTS_EMULATED_STREAMS_H
#define DELTAK_TESTS_EMULATED_STREAMS_H

#include "order.h"

#include <cuda_runtime_api.h>

#include <functional>
#include <map>
#include <set>
#include <thread>

namespace emulated {

/// One piece of work: a kernel, a copy, a product. `run` adds what it touches.
struct Work {
    std::string name;
    std::function<void(Footprint &)> run;
    double ms = 0;
    cudaGraphNodeType type = cudaGraphNodeTypeKernel;
};

/// What one record of an event stands for.
struct Token {
    bool over = false;
    double time = 0;
    Clock seen;
    struct Stream *stream = nullptr;
};

struct Node {
    Work work;
    std::vector<size_t> after;    ///< nodes, all with smaller numbers
    struct Event *mark = nullptr; ///< gets the time
    size_t chain = 0;             ///< of the graph's chains
};

/// A capture under way. `tails`: for each stream that takes part, the nodes that its next one
/// follows.
struct Capture {
    struct Stream *origin = nullptr;
    std::thread::id thread;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    bool active = true;
    std::string broken; ///< the call that isn't allowed while capturing
    std::vector<Node> nodes;
    std::map<struct Stream *, std::set<size_t>> tails;
};

/// What a recording became, or what is made of it to be launched.
struct Graph {
    std::vector<Node> nodes;
    std::vector<size_t> chains;      ///< of the whole device
    Clock seen;                      ///< of its latest launch
    struct Stream *runner = nullptr; ///< a graph never runs beside itself
    uintptr_t place = 0;             ///< where it lies on the GPU: no address of anything else
    bool ours = false;
};

struct GraphRun {
    std::shared_ptr<Graph> graph;
    std::vector<bool> done;
    std::vector<double> ends;
    std::vector<Clock> seen;
    size_t left = 0;
};

/// What stands in a stream's queue: work, a record, a wait or a graph; the others are empty.
struct Item {
    Work work;
    std::shared_ptr<Token> record, wait;
    std::shared_ptr<GraphRun> graph;
    std::shared_ptr<const Clock> host; ///< what the host had waited for
};

struct Stream {
    std::vector<Item> queue; ///< from `next` on
    size_t next = 0;
    double clock = 0; ///< ms
    size_t chain = 0;
    Clock seen;
    bool blocking = false; ///< in order with the legacy stream
    bool destroyed = false;
    bool ours = false;
    std::shared_ptr<Capture> capture;
    bool empty() const { return next == queue.size(); }
    Item &front() { return queue[next]; }
};

struct Event {
    bool timing = false, ours = false;
    std::shared_ptr<Token> token;     ///< the latest record, outside of a capture
    std::shared_ptr<Capture> capture; ///< or inside one
    std::set<size_t> captured;
};

} // namespace emulated

#endif
