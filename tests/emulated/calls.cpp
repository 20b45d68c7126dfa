// Which calls fail, errors that stay, and what a thread saw last.
#include "insides.h"

#include <map>

namespace emulated {

namespace {

thread_local cudaError_t last = cudaSuccess;

/// Errors after which CUDA's runtime answers nothing else in this process ("the process must be
/// terminated and relaunched", says its header of them).
bool stays(cudaError_t error) {
    switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
        return true;
    default:
        return false;
    }
}

/// Whether it puts work in order: one that was told to fail has been asked for, and isn't missing.
bool orders(const std::string &call) {
    return call == "cudaStreamSynchronize" || call == "cudaEventSynchronize" ||
           call == "cudaEventRecord" || call == "cudaStreamWaitEvent";
}

} // namespace

cudaError_t noted(cudaError_t error) {
    if (error != cudaSuccess) last = error;
    return error;
}

Call::Call(const char *name, Kind kind) : device(emulated::device()), guard_(device.lock) {
    if (device.sticky != cudaSuccess) {
        error = noted(device.sticky);
        return;
    }
    if (kind != release) {
        const long number = ++device.calls, told = device.fail_call;
        if (told != 0 && (number == told || (number > told && device.fail_later))) {
            device.failed = name;
            device.order_is_known = device.order_is_known && !orders(name);
            error = noted(device.fail_error);
            if (stays(error)) device.lose(error);
            return;
        }
    }
    if (kind != plain && device.break_captures(name)) {
        error = noted(cudaErrorStreamCaptureUnsupported);
        if (kind == release) device.report(std::string(name) + ": while this thread captures");
    }
}

void Device::lose(cudaError_t error) {
    sticky = error;
    for (auto &stream : streams) stream->next = stream->queue.size();
}

/// A capture in global mode is broken by every thread's calls, others by its own thread's.
bool Device::break_captures(const char *call) {
    bool any = false;
    for (auto &stream : streams) {
        Capture *capture = stream->capture.get();
        if (!capture || capture->mode == cudaStreamCaptureModeRelaxed) continue;
        if (capture->mode == cudaStreamCaptureModeThreadLocal &&
            capture->thread != std::this_thread::get_id())
            continue;
        if (capture->broken.empty()) capture->broken = call;
        any = true;
    }
    return any;
}

void fail_at(long n, cudaError_t error) {
    const Guard guard(device().lock);
    device().calls = 0;
    device().fail_call = n;
    device().fail_later = false;
    device().fail_error = error;
}

void fail_from(long n, cudaError_t error) {
    const Guard guard(device().lock);
    fail_at(n, error);
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

} // namespace emulated

using emulated::device;
using emulated::Guard;

cudaError_t cudaPeekAtLastError() {
    const Guard guard(device().lock);
    return device().sticky != cudaSuccess ? device().sticky : emulated::last;
}

cudaError_t cudaGetLastError() {
    const cudaError_t error = cudaPeekAtLastError();
    emulated::last = cudaSuccess;
    return error;
}

const char *cudaGetErrorName(cudaError_t error) {
    static const std::map<cudaError_t, const char *> names = {
#define NAME(error) {error, #error}
        NAME(cudaSuccess),
        NAME(cudaErrorInvalidValue),
        NAME(cudaErrorMemoryAllocation),
        NAME(cudaErrorInvalidConfiguration),
        NAME(cudaErrorInsufficientDriver),
        NAME(cudaErrorNoDevice),
        NAME(cudaErrorInvalidDevice),
        NAME(cudaErrorInvalidDeviceFunction),
        NAME(cudaErrorNoKernelImageForDevice),
        NAME(cudaErrorInvalidPtx),
        NAME(cudaErrorContextIsDestroyed),
        NAME(cudaErrorIllegalAddress),
        NAME(cudaErrorMisalignedAddress),
        NAME(cudaErrorLaunchFailure),
        NAME(cudaErrorInvalidResourceHandle),
        NAME(cudaErrorIllegalState),
        NAME(cudaErrorNotReady),
        NAME(cudaErrorNotSupported),
        NAME(cudaErrorStreamCaptureUnsupported),
        NAME(cudaErrorStreamCaptureInvalidated),
        NAME(cudaErrorStreamCaptureMerge),
        NAME(cudaErrorStreamCaptureUnmatched),
        NAME(cudaErrorStreamCaptureUnjoined),
        NAME(cudaErrorStreamCaptureIsolation),
        NAME(cudaErrorStreamCaptureImplicit),
        NAME(cudaErrorCapturedEvent),
        NAME(cudaErrorStreamCaptureWrongThread),
        NAME(cudaErrorUnknown),
#undef NAME
    };
    const auto at = names.find(error);
    return at == names.end() ? "unrecognized error code" : at->second;
}

const char *cudaGetErrorString(cudaError_t error) {
    return error == cudaSuccess ? "no error" : "emulated CUDA";
}
