// Graphs: their nodes, and how a launch runs them in any order that whom each follows allows.
#include "insides.h"

#include <algorithm>

namespace emulated {

namespace {

/// Notes a time in an event, if it is still there.
void note(const Device &d, Event *event, double time, const Clock &seen) {
    if (!d.events.count(event)) return;
    event->token = std::make_shared<Token>();
    event->token->over = true;
    event->token->time = time;
    event->token->seen = seen;
}

/// Whether each node follows the one before it.
bool is_chain(const Graph &graph) {
    for (size_t i = 1; i < graph.nodes.size(); ++i) {
        const auto &after = graph.nodes[i].after;
        if (std::find(after.begin(), after.end(), i - 1) == after.end()) return false;
    }
    return true;
}

/// When a graph that began at `start` is over.
double end_of(const Device &d, const GraphRun &run, double start) {
    double longest = start, sum = 0;
    for (double end : run.ends) longest = std::max(longest, end);
    for (const Node &node : run.graph->nodes) sum += node.work.ms;
    const double contention = d.settings.contention;
    return contention > 0 && !is_chain(*run.graph) ? start + contention * sum : longest;
}

/// Cuts the graph into chains: a node goes on with that of one which it follows, if that one is the last
/// of it yet. A graph never runs beside itself, so each launch may have the same chains.
void find_chains(Device &d, Graph &graph) {
    std::vector<size_t> last; // of each chain
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
        Node &node = graph.nodes[i];
        size_t chain = 0;
        while (chain < last.size() &&
               std::find(node.after.begin(), node.after.end(), last[chain]) == node.after.end())
            ++chain;
        if (chain == last.size()) {
            last.push_back(i);
            graph.chains.push_back(d.chains++);
        }
        last[chain] = i;
        node.chain = graph.chains[chain];
    }
}

/// Its upload writes what a launch reads.
void touch(Footprint &touched, Touch touch, uintptr_t place) {
    touched.add(touch, reinterpret_cast<const void *>(place), 1);
}

void begin(Device &d, Stream &stream, uintptr_t place) {
    Work launch = {"a graph's launch",
                   [place](Footprint &touched) { touch(touched, Touch::read, place); }};
    d.perform(launch, stream.chain, stream.seen);
}

std::vector<size_t> able_nodes(const GraphRun &run) {
    std::vector<size_t> able;
    for (size_t i = 0; i < run.done.size(); ++i) {
        const auto &after = run.graph->nodes[i].after;
        if (!run.done[i] &&
            std::all_of(after.begin(), after.end(), [&](size_t node) { return run.done[node]; }))
            able.push_back(i);
    }
    return able;
}

void run_node(Device &d, const Stream &stream, GraphRun &run, size_t node) {
    const Node &it = run.graph->nodes[node];
    double start = stream.clock;
    Clock &seen = run.seen[node];
    seen = stream.seen;
    seen.join(run.graph->seen);
    for (size_t before : it.after) {
        start = std::max(start, run.ends[before]);
        seen.join(run.seen[before]);
    }
    if (it.mark)
        note(d, it.mark, d.time(start), seen);
    else
        d.perform(it.work, it.chain, seen);
    run.done[node] = true;
    run.ends[node] = start + it.work.ms;
    --run.left;
}

} // namespace

/// Runs one node that can run; whether it was the last.
bool Device::graph_step(Stream &stream, GraphRun &run) {
    Graph &graph = *run.graph;
    graph.runner = &stream;
    if (run.left == run.done.size()) begin(*this, stream, graph.place);
    const std::vector<size_t> able = able_nodes(run);
    if (!able.empty()) run_node(*this, stream, run, able[choose(able.size())]);
    if (run.left > 0) return false;
    for (const Clock &seen : run.seen) stream.seen.join(seen);
    graph.seen = stream.seen;
    stream.clock = end_of(*this, run, stream.clock);
    graph.runner = nullptr;
    ++counts.graph_launches;
    return true;
}

} // namespace emulated

using emulated::Call;
using emulated::device;
using emulated::Graph;
using emulated::Guard;
using emulated::noted;

/// NULL, with a report, if there is none of that handle.
static Graph *recording(cudaGraph_t handle, const char *call) {
    auto *graph = reinterpret_cast<Graph *>(handle);
    if (device().recordings.count(graph)) return graph;
    device().report(std::string(call) + ": not a graph");
    return nullptr;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t *nodes, size_t *count) {
    const Call call("cudaGraphGetNodes");
    if (call.error) return call.error;
    Graph *graph = recording(handle, "cudaGraphGetNodes");
    if (!graph) return noted(cudaErrorInvalidValue);
    const size_t all = graph->nodes.size();
    for (size_t i = 0; nodes && i < *count; ++i)
        nodes[i] = i < all ? reinterpret_cast<cudaGraphNode_t>(&graph->nodes[i]) : nullptr;
    *count = nodes ? std::min(*count, all) : all;
    return cudaSuccess;
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType *type) {
    const Call call("cudaGraphNodeGetType");
    if (call.error) return call.error;
    *type = reinterpret_cast<emulated::Node *>(node)->work.type;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t handle,
                                 unsigned long long) {
    const Call call("cudaGraphInstantiate");
    if (call.error) return call.error;
    const Graph *graph = recording(handle, "cudaGraphInstantiate");
    if (!graph) return noted(cudaErrorInvalidValue);
    auto made = std::make_shared<Graph>(*graph);
    made->ours = emulated::in_context();
    made->place = ++call.device.graph_places;
    emulated::find_chains(call.device, *made);
    *executable = reinterpret_cast<cudaGraphExec_t>(made.get());
    call.device.graphs[*executable] = made;
    return cudaSuccess;
}

/// Work of the stream. CUDA puts it behind launches of the graph, and promises no other order between them.
cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t handle) {
    const Call call("cudaGraphUpload");
    if (call.error) return call.error;
    emulated::Device &d = call.device;
    emulated::Stream *stream = d.stream(handle, "cudaGraphUpload");
    const auto at = d.graphs.find(executable);
    if (!stream || at == d.graphs.end()) return noted(cudaErrorInvalidValue);
    if (stream->capture) return noted(cudaErrorStreamCaptureUnsupported);
    emulated::Item item;
    item.work.name = "a graph's upload";
    item.work.run = [place = at->second->place](emulated::Footprint &touched) {
        emulated::touch(touched, emulated::Touch::write, place);
    };
    d.push(stream, std::move(item));
    return noted(d.sticky);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
    const Call call("cudaGraphLaunch");
    if (call.error) return call.error;
    emulated::Device &d = call.device;
    emulated::Stream *stream = d.stream(handle, "cudaGraphLaunch");
    const auto at = d.graphs.find(executable);
    if (at == d.graphs.end()) d.report("cudaGraphLaunch: not a graph");
    if (!stream || at == d.graphs.end()) return noted(cudaErrorInvalidValue);
    if (stream->capture) return noted(cudaErrorStreamCaptureUnsupported);
    auto run = std::make_shared<emulated::GraphRun>();
    run->graph = at->second;
    run->left = run->graph->nodes.size();
    run->done.assign(run->left, false);
    run->ends.assign(run->left, 0);
    run->seen.resize(run->left);
    d.push(stream, emulated::Item{{}, nullptr, nullptr, run, nullptr});
    return noted(d.sticky);
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
    const Guard guard(device().lock);
    Graph *graph = recording(handle, "cudaGraphDestroy");
    if (!graph) return noted(cudaErrorInvalidValue);
    device().recordings.erase(graph);
    delete graph;
    return noted(device().sticky);
}

/// A launch under way keeps the nodes.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    const Guard guard(device().lock);
    if (device().graphs.erase(executable) == 0) {
        device().report("cudaGraphExecDestroy: not a graph");
        return noted(cudaErrorInvalidValue);
    }
    return noted(device().sticky);
}
