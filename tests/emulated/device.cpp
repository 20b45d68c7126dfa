// What the runtime says of the device, and the driver's primary context.
#include "insides.h"

#include "registered.h"

#include <cuda.h>

#include <cstring>

namespace emulated {

namespace {

int context; // its address stands for the primary context
thread_local std::vector<CUcontext> current;

CUcontext primary() {
    return reinterpret_cast<CUcontext>(&context);
}

void report_leaks(Device &d) {
    for (const auto &entry : d.arena.all())
        if (entry.second.ours)
            d.report("leak: " + std::to_string(entry.second.bytes) + " bytes of " +
                     (entry.second.device ? "device" : "pinned") + " memory");
    for (const auto &stream : d.streams)
        if (stream->ours && !stream->destroyed) d.report("leak: a stream");
    for (const Event *event : d.events)
        if (event->ours) d.report("leak: an event");
    for (const Graph *recording : d.recordings)
        if (recording->ours) d.report("leak: a graph");
    for (const auto &graph : d.graphs)
        if (graph.second->ours) d.report("leak: a graph to be launched");
    if (d.handles != 0) d.report("leak: a handle of cuBLASLt");
    if (d.pushed != 0) d.report("a context was pushed and not popped");
}

/// Only what deltak left; nobody reports it twice.
void forget_leaks(Device &d) {
    std::vector<char *> left;
    for (const auto &entry : d.arena.all())
        if (entry.second.ours) left.push_back(entry.second.data);
    for (char *data : left) d.arena.release(data);
    for (auto &stream : d.streams) stream->destroyed = stream->destroyed || stream->ours;
}

CUresult retain(CUcontext *out, CUdevice ordinal) {
    const Call call("cuDevicePrimaryCtxRetain");
    if (call.error) return static_cast<CUresult>(call.error);
    if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
    ++call.device.retained;
    *out = primary();
    return CUDA_SUCCESS;
}

CUresult release(CUdevice ordinal) {
    Device &d = device();
    const Guard guard(d.lock);
    if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (d.retained == 0) {
        d.report("cuDevicePrimaryCtxRelease: nobody holds the context");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (--d.retained > 0 || d.sticky != cudaSuccess) return CUDA_SUCCESS;
    d.drain();
    report_leaks(d);
    forget_leaks(d);
    d.restart_clocks();
    return CUDA_SUCCESS;
}

CUresult push(CUcontext pushed) {
    Device &d = device();
    const Guard guard(d.lock);
    if (pushed != primary()) return CUDA_ERROR_INVALID_CONTEXT;
    if (d.retained == 0) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    current.push_back(pushed);
    ++d.pushed;
    return CUDA_SUCCESS;
}

CUresult pop(CUcontext *out) {
    Device &d = device();
    const Guard guard(d.lock);
    if (current.empty()) {
        d.report("cuCtxPopCurrent: no context was pushed");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    *out = current.back();
    current.pop_back();
    --d.pushed;
    return CUDA_SUCCESS;
}

/// Of the allocation that an address lies in, where it begins and how long it is.
CUresult pointer_attributes(unsigned count, CUpointer_attribute *names, void **values,
                            CUdeviceptr p) {
    const Call call("cuPointerGetAttributes");
    if (call.error) return static_cast<CUresult>(call.error);
    const Allocation *block = call.device.arena.find(reinterpret_cast<const void *>(p), 1);
    for (unsigned i = 0; i < count; ++i) {
        if (names[i] == CU_POINTER_ATTRIBUTE_RANGE_START_ADDR)
            *static_cast<CUdeviceptr *>(values[i]) =
                block ? reinterpret_cast<CUdeviceptr>(block->data) : 0;
        else if (names[i] == CU_POINTER_ATTRIBUTE_RANGE_SIZE)
            *static_cast<size_t *>(values[i]) = block ? block->bytes : 0;
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

} // namespace

void forget_contexts() {
    current.clear();
}

bool in_context() {
    return !current.empty();
}

} // namespace emulated

using emulated::Call;
using emulated::device;
using emulated::Guard;
using emulated::noted;

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult *result) {
    const Call call("cudaGetDriverEntryPointByVersion");
    if (call.error) return call.error;
    const struct {
        const char *name;
        void *function;
    } known[] = {
        {"cuDevicePrimaryCtxRetain", reinterpret_cast<void *>(emulated::retain)},
        {"cuDevicePrimaryCtxRelease", reinterpret_cast<void *>(emulated::release)},
        {"cuCtxPushCurrent", reinterpret_cast<void *>(emulated::push)},
        {"cuCtxPopCurrent", reinterpret_cast<void *>(emulated::pop)},
        {"cuPointerGetAttributes", reinterpret_cast<void *>(emulated::pointer_attributes)}};
    *function = nullptr;
    for (const auto &entry : known)
        if (strcmp(entry.name, name) == 0) *function = entry.function;
    *result = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPoint(const char *name, void **function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult *result) {
    return cudaGetDriverEntryPointByVersion(name, function, CUDART_VERSION, flags, result);
}

cudaError_t cudaDriverGetVersion(int *version) {
    const Guard guard(device().lock);
    *version = device().settings.driver ? device().settings.driver_version : CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    const Call call("cudaGetDeviceCount");
    *count = 0;
    if (call.error) return call.error;
    if (call.device.settings.driver) return noted(call.device.settings.driver);
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int ordinal) {
    const Call call("cudaGetDeviceProperties");
    if (call.error) return call.error;
    if (ordinal != 0) return noted(cudaErrorInvalidDevice);
    *properties = cudaDeviceProp{};
    strcpy(properties->name, emulated::device_name);
    properties->major = call.device.settings.major;
    properties->minor = call.device.settings.minor;
    properties->multiProcessorCount = 132;
    properties->totalGlobalMem = call.device.settings.device_memory;
    properties->warpSize = 32;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function) {
    const Call call("cudaFuncGetAttributes");
    if (call.error) return call.error;
    *attributes = cudaFuncAttributes{};
    const emulated::Settings &settings = call.device.settings;
    attributes->binaryVersion = 10 * settings.major + settings.minor;
    attributes->ptxVersion = settings.kernels ? settings.kernels : attributes->binaryVersion;
    if (!emulated::is_registered(function)) return cudaSuccess; // compiled for the host
    attributes->ptxVersion = emulated::architecture_of(function);
    return noted(attributes->ptxVersion ? cudaSuccess : cudaErrorNoKernelImageForDevice);
}

cudaError_t cudaGetDevice(int *ordinal) {
    *ordinal = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int ordinal) {
    return noted(ordinal == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceSynchronize() {
    Call call("cudaDeviceSynchronize", Call::waiting);
    if (call.error) return call.error;
    ++call.device.counts.syncs;
    call.device.drain();
    return noted(call.device.sticky);
}
