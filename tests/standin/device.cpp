// The stand-in as a whole: opening and closing it, faults, reports, controls.
#include "insides.h"

#include <cstring>

namespace standin {

Device &device() {
    static Device it;
    return it;
}

static dk_status lost(const char *call) {
    return dki_fail(DK_E_DEVICE_LOST, "%s: the device is lost (stand-in); start a new process",
                    call);
}

dk_status Device::enter(const char *call) {
    if (lost) return standin::lost(call);
    ++calls;
    if (fail_call == 0 || calls < fail_call || (calls > fail_call && !fail_later)) return DK_OK;
    failed = call;
    if (fail_status != DK_E_DEVICE_LOST)
        return dki_fail(fail_status, "%s: call %ld was told to fail (stand-in)", call, calls);
    lost = true;
    for (auto &stream : streams) stream->next = stream->queue.size();
    return standin::lost(call);
}

bool Device::break_captures(const char *call) {
    bool any = false;
    for (auto &stream : streams) {
        Capture *capture = stream->capture.get();
        if (!capture || capture->thread != std::this_thread::get_id()) continue;
        if (capture->broken.empty()) capture->broken = call;
        any = true;
    }
    return any;
}

dk_status Device::enter_waiting(const char *call) {
    DKI_TRY(enter(call));
    if (!break_captures(call)) return DK_OK;
    return dki_fail(DK_E_DEVICE, "%s: not allowed while this thread captures (stand-in)", call);
}

void reset() {
    Device &d = device();
    const Guard guard(d.lock);
    for (auto &stream : d.streams) stream->next = stream->queue.size();
    for (auto &entry : d.regions) d.release(entry.second);
    d.regions.clear();
    d.streams.clear();
    d.wraps.clear();
    d.default_streams.clear();
    for (Event *event : d.events) delete event;
    d.events.clear();
    for (auto &graph : d.graphs) delete graph.first;
    d.graphs.clear();
    for (dki_gpu *gpu : d.gpus) delete gpu;
    d.gpus.clear();
    d.open_failure.clear();
    d.reports.clear();
    d.counts = Counts();
    d.calls = d.fail_call = 0;
    d.lost = false;
    d.failed.clear();
    d.ranges = 0;
    d.turn = 0;
    d.uses.clear();
    d.finished.clear();
    set_memory(size_t{1} << 30);
    set_schedule(0);
    set_algorithms(all_algorithms);
    set_times(usual_times);
    set_dependent_launches(0.01);
    set_contention(0);
}

void set_schedule(uint64_t seed) {
    const Guard guard(device().lock);
    const auto most = static_cast<uint64_t>(Policy::random);
    device().policy = static_cast<Policy>(seed < most ? seed : most);
    device().random.seed(seed);
}

void set_memory(size_t device_bytes, size_t pinned) {
    const Guard guard(device().lock);
    device().device_total = device_bytes;
    device().pinned_total = pinned;
}

void set_open_failure(const std::string &text) {
    const Guard guard(device().lock);
    device().open_failure = text;
}

void fail_at(long n, dk_status status) {
    const Guard guard(device().lock);
    device().calls = 0;
    device().fail_call = n;
    device().fail_later = false;
    device().fail_status = status;
}

void fail_from(long n, dk_status status) {
    fail_at(n, status);
    const Guard guard(device().lock);
    device().fail_later = true;
}

std::string failed_call() {
    const Guard guard(device().lock);
    return device().failed;
}

long calls() {
    const Guard guard(device().lock);
    return device().calls;
}

Counts counts() {
    const Guard guard(device().lock);
    return device().counts;
}

void reset_counts() {
    const Guard guard(device().lock);
    device().counts = Counts();
}

size_t memory_in_use() {
    const Guard guard(device().lock);
    return device().in_use(true);
}

int open_gpus() {
    const Guard guard(device().lock);
    return static_cast<int>(device().gpus.size());
}

void set_algorithms(std::function<int(const dki_product &)> known) {
    const Guard guard(device().lock);
    device().known = std::move(known);
}

void set_times(std::function<double(const dki_product &, int)> times, double other) {
    const Guard guard(device().lock);
    device().times = std::move(times);
    device().other_ms = other;
}

void set_contention(double factor) {
    const Guard guard(device().lock);
    device().contention = factor;
}

/// Codes of launches that were told to fail, far from CUDA's own.
void set_dependent_launches(double milliseconds, bool work) {
    const Guard guard(device().lock);
    device().dependent_ms = milliseconds;
    device().dependent_works = work;
}

constexpr int told_to_fail = 100000;

int launch(void *stream, std::function<void()> run) {
    Device &d = device();
    const Guard guard(d.lock);
    bool dependent = false;
    for (const auto &known : d.streams)
        dependent = dependent || (known.get() == stream && known->dependent);
    if (dependent && !d.dependent_works) return told_to_fail + DK_E_DEVICE;
    const Work work = {[&d, run, dependent] {
                           ++d.counts.kernels;
                           d.counts.dependent_kernels += dependent;
                           run();
                       },
                       dependent ? d.dependent_ms : d.other_ms};
    const dk_status status = d.submit(stream, "a kernel launch", work);
    return status == DK_OK ? 0 : told_to_fail + status;
}

/// What `gpu` hasn't given back.
static void report_leaks(Device &d, const dki_gpu *gpu) {
    for (auto at = d.regions.begin(); at != d.regions.end();) {
        const Region region = at->second;
        if (region.owner != gpu) {
            ++at;
            continue;
        }
        at = d.regions.erase(at);
        d.report("leak: " + std::to_string(region.bytes) + " bytes of " +
                 (region.device ? "device" : "pinned") + " memory");
        d.release(region);
    }
    for (const auto &stream : d.streams)
        if (stream->owner == gpu && !stream->destroyed) d.report("leak: a stream");
    for (const auto &wrap : d.wraps)
        if (wrap->owner == gpu) d.report("leak: a stream of the caller's");
    for (const Event *event : d.events)
        if (event->owner == gpu) d.report("leak: an event");
    for (const auto &graph : d.graphs)
        if (graph.second == gpu) d.report("leak: a graph");
}

} // namespace standin

using standin::device;
using standin::Guard;

dk_status dki_gpu_open(dki_gpu **gpu, const dki_services *services, int ordinal) {
    (void)services;
    standin::Device &d = device();
    const Guard guard(d.lock);
    *gpu = nullptr;
    if (!d.open_failure.empty()) return dki_fail(DK_E_DEVICE, "%s", d.open_failure.c_str());
    DKI_TRY(d.enter("dki_gpu_open"));
    DKI_REQUIRE(ordinal == 0, DK_E_DEVICE, "cuda:%d: there is no such GPU, only cuda:0 (stand-in)",
                ordinal);
    dki_gpu_facts facts;
    memset(&facts, 0, sizeof facts);
    strcpy(facts.name, "deltak stand-in");
    strcpy(facts.library, "no CUDA: the stand-in of the tests");
    facts.major = 9;
    facts.processors = 132;
    facts.driver_version = facts.runtime_version = 13000;
    facts.library_version = 130000;
    facts.product_workspace = 64 * 1024;
    *gpu = new dki_gpu{facts};
    d.gpus.insert(*gpu);
    standin::take_launches();
    return DK_OK;
}

void dki_gpu_close(dki_gpu *gpu) {
    if (!gpu) return;
    standin::Device &d = device();
    const Guard guard(d.lock);
    if (d.gpus.erase(gpu) == 0) return d.report("dki_gpu_close: not an open GPU");
    d.drain();
    report_leaks(d, gpu);
    if (d.gpus.empty() && d.ranges != 0) d.report("dki_gpu_close: a range was begun and not ended");
    delete gpu;
}

const dki_gpu_facts *dki_gpu_facts_of(const dki_gpu *gpu) {
    return &gpu->facts;
}

dk_status dki_gpu_launched(dki_gpu *, int code, const char *kernel) {
    if (code == 0) return DK_OK;
    if (code > standin::told_to_fail)
        return dki_fail_in(static_cast<dk_status>(code - standin::told_to_fail), "%s", kernel);
    return dki_fail(DK_E_DEVICE, "%s: the launch failed with code %d (stand-in)", kernel, code);
}

void dki_gpu_range_begin(dki_gpu *, const char *name) {
    const Guard guard(device().lock);
    if (!name || !*name) device().report("dki_gpu_range_begin: no name");
    ++device().ranges;
}

void dki_gpu_range_end(dki_gpu *) {
    const Guard guard(device().lock);
    if (--device().ranges < 0) device().report("dki_gpu_range_end: no range was begun");
}
