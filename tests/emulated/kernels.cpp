// Kernels, compiled as C++ and run by the thread emulator, as work on the emulation's streams.
#include "insides.h"

#include "watch.h"

#include "kernels/queue.h"
#include "simt/simt.h"

namespace emulated {

namespace {

/// Runs a kernel under watch.
void run_kernel(const std::string &name, bool dependent, const std::function<Ran()> &run,
                Footprint &touched) {
    Device &d = device();
    ++d.counts.kernels;
    d.counts.dependent_kernels += dependent;
    Watch watch(name, dependent);
    const Ran ran = run();
    d.counts.loads += watch.loads();
    watch.into(touched);
    if (ran.error) return d.lose(ran.error);
    if (dependent && !ran.waited)
        d.report(name + ": launched dependently, and doesn't wait for the work before it");
}

/// Launches of the thread emulator. Below 9.0 nvcc leaves the wait out.
int launch_emulated(void *stream, const char *kernel, std::function<simt::Outcome()> run) {
    const auto *queue = static_cast<const dki_queue *>(stream);
    return submit_our_kernel(
        static_cast<cudaStream_t>(queue->stream), kernel, queue->dependent, [=] {
            const simt::Outcome outcome = run();
            const int compiled_for = device().settings.kernels;
            return Ran{outcome.well ? cudaSuccess : cudaErrorLaunchFailure,
                       outcome.waited && (compiled_for == 0 || compiled_for >= 90)};
        });
}

} // namespace

cudaError_t submit_kernel(cudaStream_t stream, const std::string &name, bool dependent,
                          std::function<Ran()> run) {
    const Call call("cudaLaunchKernelExC");
    if (call.error) return call.error;
    Device &d = call.device;
    if (dependent && d.settings.major < 9) {
        d.report(name + ": programmatic stream serialization needs compute capability 9.0");
        return noted(cudaErrorNotSupported);
    }
    if (dependent && !d.settings.dependent_works) return noted(cudaErrorNotSupported);
    Work work = {name,
                 [=, run = std::move(run)](Footprint &touched) {
                     run_kernel(name, dependent, run, touched);
                 },
                 dependent ? d.settings.dependent_ms : d.settings.other_ms,
                 cudaGraphNodeTypeKernel};
    return d.submit(stream, "a kernel launch", std::move(work));
}

cudaError_t submit_our_kernel(cudaStream_t stream, const std::string &name, bool dependent,
                              std::function<Ran()> run) {
    if (!in_context()) {
        const Guard guard(device().lock);
        device().report(name + ": launched while the GPU isn't the thread's current");
    }
    return submit_kernel(stream, name, dependent, std::move(run));
}

int launch(const void *queue, std::function<void()> run, const std::string &name) {
    const auto *on = static_cast<const dki_queue *>(queue);
    return submit_kernel(static_cast<cudaStream_t>(on->stream), name, on->dependent, [=] {
        run();
        return Ran{};
    });
}

void take_launches() {
    simt::set_launch_hook(launch_emulated);
}

} // namespace emulated
