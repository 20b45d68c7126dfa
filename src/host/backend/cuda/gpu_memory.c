/* Memory of the GPU and of the host that both see, and copies. */
#include "backend/cuda/gpu_cuda.h"

#include <string.h>

dk_status dki_gpu_memory(dki_gpu *gpu, uint64_t *total, uint64_t *free_now) {
    *total = *free_now = 0;
    DKI_TRY(dki_gpu_enter(gpu));
    size_t all = 0, available = 0;
    DKI_TRY(dki_gpu_done(gpu, cudaMemGetInfo(&available, &all), "cudaMemGetInfo"));
    *total = all;
    *free_now = available;
    return DK_OK;
}

/* Other processes and the application use the same memory, so what is free is asked for now. */
static dk_status out_of_memory(dki_gpu *gpu, size_t wanted) {
    (void)cudaGetLastError();
    size_t total = 0, available = 0;
    if (cudaMemGetInfo(&available, &total) != cudaSuccess) (void)cudaGetLastError();
    return dki_fail(DK_E_MEMORY,
                    "GPU %d (%s) is out of memory: %zu bytes wanted, %zu of %zu are free "
                    "(cudaMalloc: cudaErrorMemoryAllocation)",
                    gpu->facts.ordinal, gpu->facts.name, wanted, available, total);
}

dk_status dki_gpu_alloc(dki_gpu *gpu, size_t bytes, void **memory) {
    *memory = NULL;
    DKI_TRY(dki_gpu_enter(gpu));
    cudaError_t error = cudaMalloc(memory, bytes ? bytes : 1);
    if (error != cudaSuccess) *memory = NULL;
    dk_status status = error == cudaErrorMemoryAllocation
                           ? out_of_memory(gpu, bytes)
                           : dki_gpu_status(gpu, error, "cudaMalloc");
    dki_gpu_leave(gpu);
    return status;
}

void dki_gpu_free(dki_gpu *gpu, void *memory) {
    if (!memory || dki_gpu_is_lost(gpu) || dki_gpu_enter(gpu) != DK_OK) return;
    (void)dki_gpu_done(gpu, cudaFree(memory), "cudaFree");
}

dk_status dki_gpu_alloc_host(dki_gpu *gpu, size_t bytes, void **memory) {
    *memory = NULL;
    DKI_TRY(dki_gpu_enter(gpu));
    /* With one address space for both, which every 64-bit system has, mapped memory lies at the
     * same address on both sides. */
    cudaError_t error =
        cudaHostAlloc(memory, bytes ? bytes : 1, cudaHostAllocMapped | cudaHostAllocPortable);
    if (error != cudaSuccess) *memory = NULL;
    dk_status status = dki_gpu_status(gpu, error, "cudaHostAlloc");
    if (error == cudaErrorMemoryAllocation)
        status = dki_fail(DK_E_MEMORY,
                          "out of pinned host memory: %zu bytes wanted (cudaHostAlloc: "
                          "cudaErrorMemoryAllocation)",
                          bytes);
    dki_gpu_leave(gpu);
    if (*memory) memset(*memory, 0, bytes);
    return status;
}

void dki_gpu_free_host(dki_gpu *gpu, void *memory) {
    if (!memory || dki_gpu_is_lost(gpu) || dki_gpu_enter(gpu) != DK_OK) return;
    (void)dki_gpu_done(gpu, cudaFreeHost(memory), "cudaFreeHost");
}

/* Host memory that CUDA doesn't know is no error: it has a type of its own. */
static cudaError_t is_ours(const dki_gpu *gpu, const void *p, bool *ours) {
    struct cudaPointerAttributes attributes = {0};
    cudaError_t error = cudaPointerGetAttributes(&attributes, p);
    *ours = error == cudaSuccess && attributes.device == gpu->facts.ordinal &&
            (attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged);
    return error;
}

/* Whether all bytes from p to `last` are of one allocation: two that are neighbours don't pass for one. Of
 * addresses that an application has reserved and mapped piece by piece (cuMemAddressReserve) it is the
 * reserved range, so that what is mapped there is asked for at both ends besides. */
static cudaError_t is_one(const dki_gpu *gpu, const void *p, uintptr_t last, bool *one) {
    CUdeviceptr start = 0;
    size_t bytes = 0;
    CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
                                   CU_POINTER_ATTRIBUTE_RANGE_SIZE};
    void *values[] = {&start, &bytes};
    /* The driver's codes are the runtime's. */
    const CUresult error =
        gpu->driver.pointer_attributes(2, names, values, (CUdeviceptr)(uintptr_t)p);
    *one = error == CUDA_SUCCESS && last - (uintptr_t)start < bytes;
    return (cudaError_t)error;
}

dk_status dki_gpu_is_resident(dki_gpu *gpu, const void *p, size_t bytes, bool *resident) {
    *resident = false;
    uintptr_t last;
    if (!p || __builtin_add_overflow((uintptr_t)p, bytes ? bytes - 1 : 0, &last)) return DK_OK;
    DKI_TRY(dki_gpu_enter(gpu));
    bool first_is = false, last_is = false, one = false;
    cudaError_t error = is_ours(gpu, p, &first_is);
    if (error == cudaSuccess) error = is_ours(gpu, (const void *)last, &last_is);
    if (error == cudaSuccess && first_is && last_is) error = is_one(gpu, p, last, &one);
    *resident = one;
    return dki_gpu_done(gpu, error, "cudaPointerGetAttributes");
}

dk_status dki_gpu_copy(dki_gpu *gpu, dki_stream stream, void *to, const void *from, size_t bytes) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu,
                        cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, dki_gpu_handle(stream)),
                        "cudaMemcpyAsync");
}

dk_status dki_gpu_zero(dki_gpu *gpu, dki_stream stream, void *memory, size_t bytes) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu, cudaMemsetAsync(memory, 0, bytes, dki_gpu_handle(stream)),
                        "cudaMemsetAsync");
}
