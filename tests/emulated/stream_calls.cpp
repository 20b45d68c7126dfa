// The runtime's calls for streams and events.
#include "insides.h"

using emulated::Call;
using emulated::Event;
using emulated::noted;
using emulated::Stream;
using emulated::Token;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    const Call call("cudaStreamCreateWithFlags");
    if (call.error) return call.error;
    Stream *made = call.device.add_stream(!(flags & cudaStreamNonBlocking));
    made->ours = emulated::in_context();
    made->seen = *call.device.host;
    *stream = reinterpret_cast<cudaStream_t>(made);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

/// What is queued still runs, as CUDA has it.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    const emulated::Guard guard(emulated::device().lock);
    emulated::Device &d = emulated::device();
    Stream *stream = handle ? d.stream(handle, "cudaStreamDestroy") : nullptr;
    if (!stream || stream == d.legacy) return noted(cudaErrorInvalidResourceHandle);
    if (stream->capture) d.report("cudaStreamDestroy: the stream is being captured");
    stream->destroyed = true;
    return noted(d.sticky);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    const Call call("cudaStreamSynchronize", Call::waiting);
    if (call.error) return call.error;
    Stream *stream = call.device.stream(handle, "cudaStreamSynchronize");
    if (!stream) return noted(cudaErrorInvalidResourceHandle);
    if (stream->capture) {
        stream->capture->broken = "cudaStreamSynchronize";
        return noted(cudaErrorStreamCaptureUnsupported);
    }
    ++call.device.counts.syncs;
    call.device.run_until(stream, [stream] { return stream->empty(); });
    call.device.host_saw(stream->seen);
    return noted(call.device.sticky);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status) {
    const Call call("cudaStreamIsCapturing");
    if (call.error) return call.error;
    Stream *stream = call.device.stream(handle, "cudaStreamIsCapturing");
    if (!stream) return noted(cudaErrorInvalidResourceHandle);
    *status = !stream->capture                  ? cudaStreamCaptureStatusNone
              : stream->capture->broken.empty() ? cudaStreamCaptureStatusActive
                                                : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    const Call call("cudaEventCreateWithFlags");
    if (call.error) return call.error;
    auto *made = new Event;
    made->timing = !(flags & cudaEventDisableTiming);
    made->ours = emulated::in_context();
    call.device.events.insert(made);
    *event = reinterpret_cast<cudaEvent_t>(made);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    const emulated::Guard guard(emulated::device().lock);
    Event *event = emulated::device().event(handle, "cudaEventDestroy");
    if (!event) return noted(cudaErrorInvalidResourceHandle);
    emulated::device().events.erase(event);
    delete event;
    return noted(emulated::device().sticky);
}

/// In a capture a node of its own, which others of the stream follow.
static cudaError_t mark(emulated::Device &d, Event *event, Stream *stream) {
    if (!stream->capture) {
        d.report("cudaEventRecordExternal outside of a capture");
        return noted(cudaErrorIllegalState);
    }
    event->capture = nullptr;
    event->token = nullptr;
    emulated::Node node;
    node.work.type = cudaGraphNodeTypeEventRecord;
    node.mark = event;
    d.append(stream, std::move(node));
    return cudaSuccess;
}

static cudaError_t record(const char *name, cudaEvent_t to, cudaStream_t handle, unsigned flags) {
    const Call call(name);
    if (call.error) return call.error;
    emulated::Device &d = call.device;
    Event *event = d.event(to, name);
    Stream *stream = d.stream(handle, name);
    if (!event || !stream) return noted(cudaErrorInvalidResourceHandle);
    if (stream->capture && !stream->capture->broken.empty())
        return noted(cudaErrorStreamCaptureInvalidated);
    if (flags == cudaEventRecordExternal) return mark(d, event, stream);
    event->capture = stream->capture;
    event->token = nullptr;
    if (stream->capture) {
        event->captured = stream->capture->tails[stream];
        return cudaSuccess;
    }
    event->token = std::make_shared<Token>();
    event->token->stream = stream;
    d.push(stream, emulated::Item{{}, event->token, nullptr, nullptr, nullptr});
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return record("cudaEventRecord", event, stream, cudaEventRecordDefault);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    return record("cudaEventRecordWithFlags", event, stream, flags);
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    const Call call("cudaEventSynchronize", Call::waiting);
    if (call.error) return call.error;
    Event *event = call.device.event(handle, "cudaEventSynchronize");
    if (!event) return noted(cudaErrorInvalidResourceHandle);
    if (event->capture) return noted(cudaErrorCapturedEvent);
    ++call.device.counts.syncs;
    const std::shared_ptr<Token> token = event->token;
    if (!token) return cudaSuccess;
    if (!token->over) call.device.run_until(token->stream, [token] { return token->over; });
    if (token->over) call.device.host_saw(token->seen);
    return noted(call.device.sticky);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t first, cudaEvent_t last) {
    const Call call("cudaEventElapsedTime");
    if (call.error) return call.error;
    Event *from = call.device.event(first, "cudaEventElapsedTime");
    Event *to = call.device.event(last, "cudaEventElapsedTime");
    if (!from || !to || !from->timing || !to->timing || !from->token || !to->token)
        return noted(cudaErrorInvalidResourceHandle);
    if (!from->token->over || !to->token->over) return noted(cudaErrorNotReady);
    *milliseconds = static_cast<float>(to->token->time - from->token->time);
    return cudaSuccess;
}
