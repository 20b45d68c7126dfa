// Recording: between its two ends, what is queued becomes nodes, each of which follows those that its
// stream, and the events that it waited for, had recorded.
#include "insides.h"

#include <algorithm>

namespace emulated {

/// The next node of a stream that captures.
void Device::append(Stream *stream, Node node) {
    Capture &capture = *stream->capture;
    std::set<size_t> &tail = capture.tails[stream];
    node.after.assign(tail.begin(), tail.end());
    capture.nodes.push_back(std::move(node));
    tail = {capture.nodes.size() - 1};
}

namespace {

/// Whether everything that was captured comes before what the first stream captured last, and no
/// other stream is left in the capture with something of its own.
bool joined(const Capture &capture) {
    std::vector<bool> before(capture.nodes.size(), false);
    for (size_t node : capture.tails.at(capture.origin)) before[node] = true;
    for (size_t i = capture.nodes.size(); i-- > 0;)
        if (before[i])
            for (size_t node : capture.nodes[i].after) before[node] = true;
    return std::find(before.begin(), before.end(), false) == before.end();
}

cudaError_t break_with(Capture &capture, const char *call, cudaError_t error) {
    if (capture.broken.empty()) capture.broken = call;
    return noted(error);
}

/// `stream`, which captures, waits for `event`, or joins the capture that `event` is of.
cudaError_t wait_captured(Device &d, Event *event, Stream *stream) {
    const char *const name = "cudaStreamWaitEvent";
    if (!stream->capture) {
        if (!event->capture->active) return noted(cudaErrorCapturedEvent);
        if (!event->capture->broken.empty()) return noted(cudaErrorStreamCaptureInvalidated);
        if (stream == d.legacy)
            return break_with(*event->capture, name, cudaErrorStreamCaptureImplicit);
        stream->capture = event->capture;
    }
    Capture &capture = *stream->capture;
    if (!event->capture) return break_with(capture, name, cudaErrorStreamCaptureIsolation);
    if (event->capture != stream->capture) {
        if (event->capture->active && event->capture->broken.empty()) event->capture->broken = name;
        return break_with(capture, name,
                          event->capture->active ? cudaErrorStreamCaptureMerge
                                                 : cudaErrorStreamCaptureIsolation);
    }
    if (!capture.broken.empty()) return noted(cudaErrorStreamCaptureInvalidated);
    capture.tails[stream].insert(event->captured.begin(), event->captured.end());
    return cudaSuccess;
}

/// It is over whatever else is wrong: all its streams leave it.
void leave(Device &d, const std::shared_ptr<Capture> &capture) {
    capture->active = false;
    for (auto &stream : d.streams)
        if (stream->capture == capture) stream->capture = nullptr;
}

cudaError_t wrong_end(const Capture &capture, const Stream *stream) {
    if (capture.origin != stream) return cudaErrorStreamCaptureUnmatched;
    if (capture.mode != cudaStreamCaptureModeRelaxed &&
        capture.thread != std::this_thread::get_id())
        return cudaErrorStreamCaptureWrongThread;
    if (!capture.broken.empty()) return cudaErrorStreamCaptureInvalidated;
    return joined(capture) ? cudaSuccess : cudaErrorStreamCaptureUnjoined;
}

} // namespace

} // namespace emulated

using emulated::Call;
using emulated::Capture;
using emulated::Event;
using emulated::noted;
using emulated::Stream;

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t of, unsigned) {
    const Call call("cudaStreamWaitEvent");
    if (call.error) return call.error;
    Event *event = call.device.event(of, "cudaStreamWaitEvent");
    Stream *stream = call.device.stream(handle, "cudaStreamWaitEvent");
    if (!event || !stream) return noted(cudaErrorInvalidResourceHandle);
    if (event->capture || (stream->capture && event->token))
        return emulated::wait_captured(call.device, event, stream);
    if (event->token)
        call.device.push(stream, emulated::Item{{}, nullptr, event->token, nullptr, nullptr});
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    const Call call("cudaStreamBeginCapture");
    if (call.error) return call.error;
    Stream *stream = call.device.stream(handle, "cudaStreamBeginCapture");
    if (!stream) return noted(cudaErrorInvalidResourceHandle);
    if (stream == call.device.legacy) return noted(cudaErrorStreamCaptureUnsupported);
    if (stream->capture) return noted(cudaErrorIllegalState);
    stream->capture = std::make_shared<Capture>();
    stream->capture->origin = stream;
    stream->capture->thread = std::this_thread::get_id();
    stream->capture->mode = mode;
    stream->capture->tails[stream] = {};
    ++call.device.counts.captures;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
    const Call call("cudaStreamEndCapture");
    emulated::Device &d = call.device;
    *graph = nullptr;
    Stream *stream = d.stream(handle, "cudaStreamEndCapture");
    const std::shared_ptr<Capture> capture = stream ? stream->capture : nullptr;
    if (capture && capture->origin == stream) emulated::leave(d, capture);
    if (call.error) return call.error;
    if (!capture) return noted(cudaErrorIllegalState);
    const cudaError_t wrong = emulated::wrong_end(*capture, stream);
    if (wrong) {
        capture->broken = "cudaStreamEndCapture";
        return noted(wrong);
    }
    auto *made = new emulated::Graph;
    made->nodes = std::move(capture->nodes);
    made->ours = emulated::in_context();
    d.recordings.insert(made);
    *graph = reinterpret_cast<cudaGraph_t>(made);
    return cudaSuccess;
}
