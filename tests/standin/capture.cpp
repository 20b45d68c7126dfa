// Capture and graphs of the stand-in: a graph is its nodes with whom each follows, by stream order
// and by events, and runs them in any order that keeps to that.
#include "insides.h"

#include <algorithm>

namespace standin {

/// The next node of a stream that captures.
void Device::append(Stream *stream, Node node) {
    Capture &capture = *stream->capture;
    std::set<size_t> &tail = capture.tails[stream];
    node.after.assign(tail.begin(), tail.end());
    capture.nodes.push_back(std::move(node));
    tail = {capture.nodes.size() - 1};
}

/// Notes a time in an event, if it is still there.
static void note(const Device &d, Event *event, double time) {
    if (!d.events.count(event)) return;
    event->token = std::make_shared<Token>();
    event->token->over = true;
    event->token->time = time;
}

/// Whether each node follows the one before it.
static bool is_chain(const Graph &graph) {
    for (size_t i = 1; i < graph.nodes.size(); ++i) {
        const auto &after = graph.nodes[i].after;
        if (std::find(after.begin(), after.end(), i - 1) == after.end()) return false;
    }
    return true;
}

/// When a graph that began at `start` is over.
static double end_of(const Device &d, const GraphRun &run, double start) {
    double longest = start, sum = 0;
    for (double end : run.ends) longest = std::max(longest, end);
    for (const Node &node : run.graph->nodes) sum += node.work.ms;
    return d.contention > 0 && !is_chain(*run.graph) ? start + d.contention * sum : longest;
}

/// Runs one node that can run; whether it was the last.
bool Device::graph_step(Stream &stream, GraphRun &run) {
    Graph &graph = *run.graph;
    graph.runner = &stream;
    std::vector<size_t> able;
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
        const auto &after = graph.nodes[i].after;
        if (!run.done[i] &&
            std::all_of(after.begin(), after.end(), [&](size_t node) { return run.done[node]; }))
            able.push_back(i);
    }
    if (!able.empty()) {
        const size_t node = able[choose(able.size())];
        double start = stream.clock;
        for (size_t before : graph.nodes[node].after) start = std::max(start, run.ends[before]);
        if (Event *mark = graph.nodes[node].mark)
            note(*this, mark, start);
        else
            graph.nodes[node].work.run();
        run.done[node] = true;
        run.ends[node] = start + graph.nodes[node].work.ms;
        --run.left;
    }
    if (run.left > 0) return false;
    stream.clock = end_of(*this, run, stream.clock);
    graph.runner = nullptr;
    ++counts.graph_launches;
    return true;
}

/// Whether everything that was captured comes before what the first stream captured last.
static bool joined(const Capture &capture) {
    std::vector<bool> before(capture.nodes.size(), false);
    for (size_t node : capture.tails.at(capture.origin)) before[node] = true;
    for (size_t i = capture.nodes.size(); i-- > 0;)
        if (before[i])
            for (size_t node : capture.nodes[i].after) before[node] = true;
    return std::find(before.begin(), before.end(), false) == before.end();
}

/// `stream`, which captures, waits for `event`, or joins the capture that `event` is of.
static dk_status wait_captured(Event *event, Stream *stream) {
    if (!stream->capture && !event->capture->active)
        return dki_fail(DK_E_DEVICE, "dki_gpu_event_wait: the event was last recorded in a capture "
                                     "that is over (stand-in)");
    if (stream->is_default) {
        event->capture->broken = "dki_gpu_event_wait of a default stream";
        return dki_fail(DK_E_DEVICE, "dki_gpu_event_wait: a default stream can't be captured "
                                     "(stand-in)");
    }
    if (!stream->capture) stream->capture = event->capture;
    Capture &capture = *stream->capture;
    if (event->capture != stream->capture) {
        if (capture.broken.empty()) capture.broken = "dki_gpu_event_wait";
        return dki_fail(DK_E_DEVICE, "dki_gpu_event_wait: what a capture waits for must be in the "
                                     "same capture (stand-in)");
    }
    capture.tails[stream].insert(event->captured.begin(), event->captured.end());
    return DK_OK;
}

} // namespace standin

using standin::device;
using standin::Guard;

/// In a capture it is a node of its own, which others of the stream follow.
dk_status dki_gpu_event_mark(dki_gpu *gpu, dki_event handle, dki_stream to) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    standin::Event *event = d.event(handle, "dki_gpu_event_mark");
    standin::Stream *stream = d.stream(to, "dki_gpu_event_mark");
    if (!event || !stream || !stream->capture) return dki_gpu_event_record(gpu, handle, to);
    DKI_TRY(d.enter("dki_gpu_event_mark"));
    event->capture = nullptr;
    event->token = nullptr;
    d.append(stream, {{}, {}, event});
    return DK_OK;
}

dk_status dki_gpu_event_wait(dki_gpu *, dki_event handle, dki_stream to) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    DKI_TRY(d.enter("dki_gpu_event_wait"));
    standin::Event *event = d.event(handle, "dki_gpu_event_wait");
    standin::Stream *stream = d.stream(to, "dki_gpu_event_wait");
    DKI_REQUIRE(event && stream, DK_E_DEVICE, "dki_gpu_event_wait: bad handle (stand-in)");
    if (stream->capture || event->capture) return standin::wait_captured(event, stream);
    if (!event->token) return DK_OK;
    merge(stream->before, event->token->before);
    d.push(stream, standin::Item{{}, nullptr, event->token, nullptr});
    return DK_OK;
}

dk_status dki_gpu_capture_begin(dki_gpu *, dki_stream handle) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    DKI_TRY(d.enter("dki_gpu_capture_begin"));
    standin::Stream *stream = d.stream(handle, "dki_gpu_capture_begin");
    DKI_REQUIRE(stream && !stream->capture && !stream->is_default, DK_E_DEVICE,
                "dki_gpu_capture_begin: not a stream, one that is being captured, or a default "
                "stream (stand-in)");
    stream->capture = std::make_shared<standin::Capture>();
    stream->capture->origin = stream;
    stream->capture->thread = std::this_thread::get_id();
    stream->capture->tails[stream] = {};
    ++d.counts.captures;
    return DK_OK;
}

dk_status dki_gpu_capture_end(dki_gpu *gpu, dki_stream handle, dki_graph **graph) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    *graph = nullptr;
    const dk_status entered = d.enter("dki_gpu_capture_end");
    standin::Stream *stream = d.stream(handle, "dki_gpu_capture_end");
    const std::shared_ptr<standin::Capture> capture = stream ? stream->capture : nullptr;
    if (capture && capture->origin == stream) { // it is over whatever else is wrong
        capture->active = false;
        for (auto &other : d.streams)
            if (other->capture == capture) other->capture = nullptr;
    }
    if (entered != DK_OK) return entered;
    DKI_REQUIRE(capture && capture->origin == stream, DK_E_DEVICE,
                "dki_gpu_capture_end: no capture began on this stream (stand-in)");
    DKI_REQUIRE(capture->thread == std::this_thread::get_id(), DK_E_DEVICE,
                "dki_gpu_capture_end: another thread began the capture (stand-in)");
    DKI_REQUIRE(capture->broken.empty(), DK_E_DEVICE,
                "dki_gpu_capture_end: the capture was broken by %s (stand-in)",
                capture->broken.c_str());
    DKI_REQUIRE(standin::joined(*capture), DK_E_DEVICE,
                "dki_gpu_capture_end: another stream joined the capture, and the first one doesn't "
                "wait for its last work (stand-in)");
    auto body = std::make_shared<standin::Graph>();
    body->nodes = std::move(capture->nodes);
    body->workspaces = d.workspaces_of(body->nodes);
    *graph = new dki_graph{body};
    d.graphs[*graph] = gpu;
    return DK_OK;
}

dk_status dki_gpu_graph_launch(dki_gpu *, dki_graph *graph, dki_stream handle) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    DKI_TRY(d.enter("dki_gpu_graph_launch"));
    standin::Stream *stream = d.stream(handle, "dki_gpu_graph_launch");
    if (!d.graphs.count(graph)) d.report("dki_gpu_graph_launch: not a graph");
    DKI_REQUIRE(stream && d.graphs.count(graph), DK_E_DEVICE,
                "dki_gpu_graph_launch: bad handle (stand-in)");
    DKI_REQUIRE(!stream->capture, DK_E_DEVICE,
                "dki_gpu_graph_launch: the stream is being captured (stand-in)");
    auto run = std::make_shared<standin::GraphRun>();
    run->graph = graph->body;
    run->left = graph->body->nodes.size();
    run->done.assign(run->left, false);
    run->ends.assign(run->left, 0);
    for (const void *workspace : graph->body->workspaces) d.claim(*stream, workspace);
    d.push(stream, standin::Item{{}, nullptr, nullptr, run});
    return DK_OK;
}

void dki_gpu_graph_nodes(const dki_graph *graph, int *kernels, int *others) {
    const Guard guard(device().lock);
    *kernels = *others = 0;
    for (const standin::Node &node : graph->body->nodes) ++*(node.work.kernel ? kernels : others);
}

/// A launch under way keeps the nodes.
void dki_gpu_graph_destroy(dki_gpu *, dki_graph *graph) {
    if (!graph) return;
    standin::Device &d = device();
    const Guard guard(d.lock);
    if (d.graphs.erase(graph) == 0) return d.report("dki_gpu_graph_destroy: not a graph");
    delete graph;
}
