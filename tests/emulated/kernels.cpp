// Kernels, compiled as C++ and run by the thread emulator, as work on the emulation's streams.
#include "insides.h"

#include "watch.h"

#include "kernels/queue.h"
#include "simt/simt.h"

namespace emulated {

namespace {

/// Runs a kernel under watch.
void run_kernel(const std::string &name, bool dependent, const std::function<void()> &run,
                Footprint &touched) {
    Device &d = device();
    ++d.counts.kernels;
    d.counts.dependent_kernels += dependent;
    Watch watch(name, dependent);
    run();
    watch.into(touched);
}

cudaError_t submit_kernel(const dki_queue *queue, const std::string &name,
                          std::function<void()> run) {
    const Call call("cudaLaunchKernelExC");
    if (call.error) return call.error;
    Device &d = call.device;
    const bool dependent = queue->dependent;
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
    return d.submit(static_cast<cudaStream_t>(queue->stream), "a kernel launch", std::move(work));
}

/// Launches of the project's kernels: the thread has to have made the GPU its current one.
int launch_ours(void *stream, const char *kernel, std::function<simt::Outcome()> run) {
    if (!in_context()) {
        const Guard guard(device().lock);
        device().report(std::string(kernel) +
                        ": launched while the GPU isn't the thread's current");
    }
    const std::string name = kernel;
    const auto *queue = static_cast<const dki_queue *>(stream);
    const bool dependent = queue->dependent;
    return submit_kernel(queue, name, [=] {
        const simt::Outcome outcome = run();
        if (!outcome.well) device().lose(cudaErrorLaunchFailure);
        const int compiled_for = device().settings.kernels;
        const bool waited = outcome.waited && (compiled_for == 0 || compiled_for >= 90);
        if (dependent && outcome.well && !waited)
            device().report(name +
                            ": launched dependently, and doesn't wait for the work before it");
    });
}

} // namespace

int launch(const void *queue, std::function<void()> run, const std::string &name) {
    return submit_kernel(static_cast<const dki_queue *>(queue), name, std::move(run));
}

void take_launches() {
    simt::set_launch_hook(launch_ours);
}

} // namespace emulated
