// Streams and the schedule: what runs next.
#include "insides.h"

#include <algorithm>
#include <chrono>

namespace emulated {

Stream *Device::add_stream(bool blocking) {
    streams.push_back(std::make_unique<Stream>());
    streams.back()->blocking = blocking;
    streams.back()->chain = chains++;
    return streams.back().get();
}

/// A thread's own default stream is a blocking one.
static Stream *stream_of_thread(Device &d) {
    Stream *&own = d.of_threads[std::this_thread::get_id()];
    if (!own) own = d.add_stream(true);
    return own;
}

Stream *Device::stream(cudaStream_t handle, const char *call) {
    if (!handle || handle == cudaStreamLegacy) return legacy;
    if (handle == cudaStreamPerThread) return stream_of_thread(*this);
    for (auto &stream : streams)
        if (stream.get() == reinterpret_cast<Stream *>(handle) && !stream->destroyed)
            return stream.get();
    report(std::string(call) + ": not a stream");
    return nullptr;
}

Event *Device::event(cudaEvent_t handle, const char *call) {
    auto *event = reinterpret_cast<Event *>(handle);
    if (events.count(event)) return event;
    report(std::string(call) + ": not an event");
    return nullptr;
}

/// `late` waits for what `early` has in its queue now.
static void put_behind(Device &d, Stream *late, Stream *early) {
    auto token = std::make_shared<Token>();
    token->stream = early;
    early->queue.push_back(Item{{}, token, nullptr, nullptr, d.host});
    late->queue.push_back(Item{{}, nullptr, token, nullptr, d.host});
}

/// What is queued on the legacy stream waits for all blocking ones, and these wait for it ("CUDA C++
/// Programming Guide", Default Stream).
static void order_with_legacy(Device &d, Stream *stream) {
    if (!stream->blocking) return;
    if (stream != d.legacy) return put_behind(d, stream, d.legacy);
    for (auto &other : d.streams)
        if (other->blocking && other.get() != stream) put_behind(d, stream, other.get());
}

void Device::push(Stream *stream, Item item) {
    if (!item.wait && !item.record) order_with_legacy(*this, stream);
    item.host = host;
    stream->queue.push_back(std::move(item));
    if (policy == Policy::at_once) run_all();
}

/// Whether a blocking stream records, which what is queued on the legacy stream would have to wait for.
static bool breaks_a_blocking_capture(Device &d, const char *call) {
    for (auto &stream : d.streams) {
        if (!stream->blocking || !stream->capture) continue;
        if (stream->capture->broken.empty()) stream->capture->broken = call;
        return true;
    }
    return false;
}

cudaError_t Device::submit(cudaStream_t handle, const char *call, Work work) {
    Stream *to = stream(handle, call);
    if (!to) return noted(cudaErrorInvalidResourceHandle);
    Capture *capture = to->capture.get();
    if (!capture) {
        if (to == legacy && breaks_a_blocking_capture(*this, call))
            return noted(cudaErrorStreamCaptureImplicit);
        push(to, Item{std::move(work), nullptr, nullptr, nullptr, nullptr});
        return noted(sticky);
    }
    if (capture->thread != std::this_thread::get_id())
        report(std::string(call) + ": another thread captures this stream");
    if (!capture->broken.empty()) return noted(cudaErrorStreamCaptureInvalidated);
    append(to, {std::move(work), {}});
    return cudaSuccess;
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

double Device::time(double model) {
    using milliseconds = std::chrono::duration<double, std::milli>;
    switch (settings.timing) {
    case Timing::model:
        return model;
    case Timing::host:
        return milliseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
    case Timing::random:
        break;
    }
    return random_time += std::uniform_real_distribution<>(0.5, 2)(random);
}

/// Takes the first item off, or one node of it.
void Device::step(Stream &stream) {
    Item &item = stream.front();
    stream.seen.join(*item.host);
    if (item.wait) {
        stream.clock = std::max(stream.clock, item.wait->time);
        stream.seen.join(item.wait->seen);
    } else if (item.record) {
        item.record->time = time(stream.clock);
        item.record->seen = stream.seen;
        item.record->over = true;
    } else if (item.graph) {
        const std::shared_ptr<GraphRun> run = item.graph;
        if (!graph_step(stream, *run)) return;
    } else {
        const Work work = std::move(item.work);
        perform(work, stream.chain, stream.seen);
        stream.clock += work.ms;
    }
    if (stream.empty()) return; // the device was lost
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
    if (sticky != cudaSuccess || done()) return;
    const Access access;
    while (sticky == cudaSuccess && !done()) {
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

void Device::run_all() {
    run_until(nullptr, [this] {
        return std::all_of(streams.begin(), streams.end(), [](auto &s) { return s->empty(); });
    });
}

void Device::drain() {
    run_all();
    Clock seen;
    for (const auto &stream : streams) seen.join(stream->seen);
    host_saw(seen);
    streams.erase(std::remove_if(streams.begin(), streams.end(),
                                 [](const auto &s) { return s->destroyed && s->empty(); }),
                  streams.end());
    forget_what_is_over();
}

} // namespace emulated
