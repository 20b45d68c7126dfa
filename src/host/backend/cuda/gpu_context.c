/* Which GPU a thread's calls go to.
 *
 * The runtime works on the context that is current to the calling thread. We push the GPU's primary
 * context before our calls and pop it after them, through the driver: what the application had
 * chosen stays untouched, whatever it was. (cudaSetDevice back to an application's device that it
 * hasn't used yet would create a context there, hundreds of megabytes of it.) */
#include "backend/cuda/gpu_cuda.h"

#include <nvtx3/nvToolsExt.h>

static dk_status find(dki_gpu *gpu, const char *name, void **function) {
    enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
    cudaError_t error =
        cudaGetDriverEntryPointByVersion(name, function, 12000, cudaEnableDefault, &found);
#else
    cudaError_t error = cudaGetDriverEntryPoint(name, function, cudaEnableDefault, &found);
#endif
    DKI_TRY(dki_gpu_status(gpu, error, name));
    DKI_REQUIRE(found == cudaDriverEntryPointSuccess && *function, DK_E_DEVICE,
                "GPU %d: the NVIDIA driver has no %s: update the driver", gpu->facts.ordinal, name);
    return DK_OK;
}

dk_status dki_gpu_hold_context(dki_gpu *gpu) {
    dki_driver *driver = &gpu->driver;
    DKI_TRY(find(gpu, "cuDevicePrimaryCtxRetain", (void **)&driver->retain));
    DKI_TRY(find(gpu, "cuDevicePrimaryCtxRelease", (void **)&driver->release));
    DKI_TRY(find(gpu, "cuCtxPushCurrent", (void **)&driver->push));
    DKI_TRY(find(gpu, "cuCtxPopCurrent", (void **)&driver->pop));
    DKI_TRY(find(gpu, "cuPointerGetAttributes", (void **)&driver->pointer_attributes));
    /* The driver's codes are the runtime's. */
    CUresult error = driver->retain(&gpu->context, gpu->facts.ordinal);
    if (error != CUDA_SUCCESS) gpu->context = NULL;
    return dki_gpu_status(gpu, (cudaError_t)error, "cuDevicePrimaryCtxRetain");
}

void dki_gpu_release_context(dki_gpu *gpu) {
    if (gpu->context) gpu->driver.release(gpu->facts.ordinal);
    gpu->context = NULL;
}

/* Only a context that is gone can't be pushed: the application has reset the device. */
static dk_status push(dki_gpu *gpu) {
    CUresult error = gpu->driver.push(gpu->context);
    if (error == CUDA_SUCCESS) return DK_OK;
    __atomic_store_n(&gpu->gone, true, __ATOMIC_RELAXED);
    return dki_gpu_lose(gpu, "cuCtxPushCurrent", cudaGetErrorName((cudaError_t)error),
                        cudaGetErrorString((cudaError_t)error));
}

dk_status dki_gpu_enter(dki_gpu *gpu) {
    DKI_REQUIRE(!dki_gpu_is_lost(gpu), DK_E_DEVICE_LOST,
                "GPU %d was lost to an earlier error: start a new process and resume from the last "
                "checkpoint",
                gpu->facts.ordinal);
    return push(gpu);
}

void dki_gpu_leave(dki_gpu *gpu) {
    CUcontext ours;
    gpu->driver.pop(&ours);
}

static bool is_gone(const dki_gpu *gpu) {
    return __atomic_load_n(&gpu->gone, __ATOMIC_RELAXED);
}

/* A range has to end whatever happened in it, so it doesn't ask whether the GPU is lost, only
 * whether there is something to pop. */
void dki_gpu_range_begin(dki_gpu *gpu, const char *name) {
    nvtxRangePushA(name);
    if (!is_gone(gpu)) (void)push(gpu);
}

void dki_gpu_range_end(dki_gpu *gpu) {
    if (!is_gone(gpu)) dki_gpu_leave(gpu);
    nvtxRangePop();
}
