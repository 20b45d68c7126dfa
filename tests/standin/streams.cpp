// Streams, events and the schedule of the stand-in.
#include "insides.h"

#include <algorithm>

namespace standin {

Stream *Device::stream(dki_stream handle, const char *call) {
    for (const auto &wrap : wraps)
        if (wrap.get() == handle) return callers_stream(wrap->handle);
    for (auto &stream : streams)
        if (stream.get() == handle && !stream->destroyed) return stream.get();
    report(std::string(call) + ": not a stream");
    return nullptr;
}

Event *Device::event(dki_event handle, const char *call) {
    auto *event = static_cast<Event *>(handle);
    if (events.count(event)) return event;
    report(std::string(call) + ": not an event");
    return nullptr;
}

void Device::push(Stream *stream, Item item) {
    stream->queue.push_back(std::move(item));
    if (policy == Policy::at_once) drain();
}

dk_status Device::submit(dki_stream handle, const char *call, Work work) {
    DKI_TRY(enter(call));
    Stream *to = stream(handle, call);
    DKI_REQUIRE(to, DK_E_DEVICE, "%s: not a stream (stand-in)", call);
    Capture *capture = to->capture.get();
    if (!capture) {
        if (work.workspace) claim(*to, work.workspace);
        push(to, Item{std::move(work), nullptr, nullptr, nullptr});
        return DK_OK;
    }
    if (capture->thread != std::this_thread::get_id())
        report(std::string(call) + ": another thread captures this stream");
    DKI_REQUIRE(capture->broken.empty(), DK_E_DEVICE, "%s: the capture was broken by %s (stand-in)",
                call, capture->broken.c_str());
    append(to, {std::move(work), {}});
    return DK_OK;
}

bool Device::ready(Stream &stream) const {
    if (stream.empty()) return false;
    const Item &item = stream.front();
    if (item.wait) return item.wait->over;
    if (item.graph) return !item.graph->graph->runner || item.graph->graph->runner == &stream;
    return true;
}

size_t Device::choose(size_t count) {
    switch (policy) {
    case Policy::oldest:
    case Policy::at_once:
        return 0;
    case Policy::late:
    case Policy::newest:
        return count - 1;
    case Policy::in_turn:
        return turn++ % count;
    case Policy::random:
        break;
    }
    return random() % count;
}

/// Takes the first item off, or one node of it.
void Device::step(Stream &stream) {
    Item &item = stream.front();
    if (item.wait) {
        stream.clock = std::max(stream.clock, item.wait->time);
    } else if (item.record) {
        item.record->time = stream.clock;
        item.record->over = true;
    } else if (item.graph) {
        const std::shared_ptr<GraphRun> run = item.graph;
        if (!graph_step(stream, *run)) return;
    } else {
        const Work work = item.work;
        work.run();
        stream.clock += work.ms;
    }
    if (++stream.next == stream.queue.size()) {
        stream.queue.clear();
        stream.next = 0;
    }
}

/// The stream that `target` waits for in the end; itself, if it can go on.
static Stream *blocker(const Device &d, Stream *target) {
    while (!target->empty() && !d.ready(*target)) {
        const Item &item = target->front();
        target = item.wait ? item.wait->stream : item.graph->graph->runner;
    }
    return target;
}

void Device::run_until(Stream *target, const std::function<bool()> &done) {
    const Access access;
    while (!lost && !done()) {
        std::vector<Stream *> able;
        if (policy == Policy::late && target) {
            able = {blocker(*this, target)};
        } else {
            for (auto &stream : streams)
                if (ready(*stream)) able.push_back(stream.get());
        }
        if (able.empty() || able[0]->empty()) return;
        step(*able[choose(able.size())]);
    }
}

void Device::drain() {
    run_until(nullptr, [] { return false; });
    streams.erase(std::remove_if(streams.begin(), streams.end(),
                                 [](const auto &s) { return s->destroyed && s->empty(); }),
                  streams.end());
}

} // namespace standin

using standin::device;
using standin::Guard;

dk_status dki_gpu_stream_create(dki_gpu *gpu, dki_stream *stream) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    *stream = nullptr;
    DKI_TRY(d.enter("dki_gpu_stream_create"));
    d.streams.push_back(std::make_unique<standin::Stream>());
    d.streams.back()->owner = gpu;
    *stream = d.streams.back().get();
    return DK_OK;
}

void dki_gpu_stream_depend(dki_gpu *, dki_stream handle, bool dependent) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    standin::Stream *stream = d.stream(handle, "dki_gpu_stream_depend");
    if (stream) stream->dependent = dependent;
}

/// What is queued still runs, as CUDA has it.
void dki_gpu_stream_destroy(dki_gpu *, dki_stream handle) {
    if (!handle) return;
    standin::Device &d = device();
    const Guard guard(d.lock);
    const auto wrap = std::find_if(d.wraps.begin(), d.wraps.end(),
                                   [&](const auto &known) { return known.get() == handle; });
    if (wrap != d.wraps.end()) {
        d.wraps.erase(wrap);
        return;
    }
    standin::Stream *stream = d.stream(handle, "dki_gpu_stream_destroy");
    if (!stream) return;
    if (stream->capture) d.report("dki_gpu_stream_destroy: the stream is being captured");
    stream->destroyed = true;
}

dk_status dki_gpu_stream_sync(dki_gpu *, dki_stream handle) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    DKI_TRY(d.enter_waiting("dki_gpu_stream_sync"));
    standin::Stream *stream = d.stream(handle, "dki_gpu_stream_sync");
    DKI_REQUIRE(stream, DK_E_DEVICE, "dki_gpu_stream_sync: not a stream (stand-in)");
    DKI_REQUIRE(!stream->capture, DK_E_DEVICE,
                "dki_gpu_stream_sync: the stream is being captured (stand-in)");
    ++d.counts.syncs;
    d.run_until(stream, [stream] { return stream->empty(); });
    merge(d.finished, stream->before);
    return DK_OK;
}

dk_status dki_gpu_event_create(dki_gpu *gpu, bool timing, dki_event *event) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    *event = nullptr;
    DKI_TRY(d.enter("dki_gpu_event_create"));
    auto *made = new standin::Event;
    made->owner = gpu;
    made->timing = timing;
    d.events.insert(made);
    *event = made;
    return DK_OK;
}

void dki_gpu_event_destroy(dki_gpu *, dki_event handle) {
    if (!handle) return;
    standin::Device &d = device();
    const Guard guard(d.lock);
    standin::Event *event = d.event(handle, "dki_gpu_event_destroy");
    if (!event) return;
    d.events.erase(event);
    delete event;
}

dk_status dki_gpu_event_record(dki_gpu *, dki_event handle, dki_stream to) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    DKI_TRY(d.enter("dki_gpu_event_record"));
    standin::Event *event = d.event(handle, "dki_gpu_event_record");
    standin::Stream *stream = d.stream(to, "dki_gpu_event_record");
    DKI_REQUIRE(event && stream, DK_E_DEVICE, "dki_gpu_event_record: bad handle (stand-in)");
    event->capture = stream->capture;
    event->token = nullptr;
    if (stream->capture) {
        event->captured = stream->capture->tails[stream];
        return DK_OK;
    }
    event->token = std::make_shared<standin::Token>();
    event->token->stream = stream;
    event->token->before = stream->before;
    d.push(stream, standin::Item{{}, event->token, nullptr, nullptr});
    return DK_OK;
}

dk_status dki_gpu_event_sync(dki_gpu *, dki_event handle) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    DKI_TRY(d.enter_waiting("dki_gpu_event_sync"));
    standin::Event *event = d.event(handle, "dki_gpu_event_sync");
    DKI_REQUIRE(event && !event->capture, DK_E_DEVICE,
                "dki_gpu_event_sync: not an event, or one recorded in a capture (stand-in)");
    ++d.counts.syncs;
    const std::shared_ptr<standin::Token> token = event->token;
    if (token && !token->over) d.run_until(token->stream, [token] { return token->over; });
    if (token) merge(d.finished, token->before);
    return DK_OK;
}

dk_status dki_gpu_event_elapsed(dki_gpu *, dki_event first, dki_event last, double *milliseconds) {
    standin::Device &d = device();
    const Guard guard(d.lock);
    *milliseconds = 0;
    DKI_TRY(d.enter("dki_gpu_event_elapsed"));
    standin::Event *from = d.event(first, "dki_gpu_event_elapsed");
    standin::Event *to = d.event(last, "dki_gpu_event_elapsed");
    DKI_REQUIRE(from && to && from->timing && to->timing, DK_E_DEVICE,
                "dki_gpu_event_elapsed: not events that keep time (stand-in)");
    DKI_REQUIRE(from->token && to->token && from->token->over && to->token->over, DK_E_DEVICE,
                "dki_gpu_event_elapsed: not recorded, or not over (stand-in)");
    *milliseconds = to->token->time - from->token->time;
    return DK_OK;
}
