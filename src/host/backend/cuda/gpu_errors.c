/* Codes of CUDA and cuBLASLt as statuses: the call, the error's name and text, and what to do. */
#include "backend/cuda/gpu_cuda.h"

#include <stdio.h>

/* Errors after which every later call in this process fails ("leaves the process in an inconsistent
 * state", says the runtime's header). By number, because older toolkits lack some names. */
static bool poisons(cudaError_t error) {
    static const int codes[] = {
        214, /* cudaErrorECCUncorrectable */
        220, /* cudaErrorNvlinkUncorrectable */
        226, /* cudaErrorContained */
        700, /* cudaErrorIllegalAddress */
        702, /* cudaErrorLaunchTimeout */
        709, /* cudaErrorContextIsDestroyed */
        710, /* cudaErrorAssert */
        714, /* cudaErrorHardwareStackError */
        715, /* cudaErrorIllegalInstruction */
        716, /* cudaErrorMisalignedAddress */
        717, /* cudaErrorInvalidAddressSpace */
        718, /* cudaErrorInvalidPc */
        719, /* cudaErrorLaunchFailure */
        721, /* cudaErrorTensorMemoryLeak */
        810, /* cudaErrorMpsClientTerminated */
        911, /* cudaErrorExternalDevice */
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if ((int)error == codes[i]) return true;
    return false;
}

static const char *remedy(cudaError_t error) {
    switch (error) {
    case cudaErrorStubLibrary:
        return "take the toolkit's folder lib64/stubs out of LD_LIBRARY_PATH";
    case cudaErrorSystemDriverMismatch:
        return "the driver was updated while it ran: restart the machine";
    case cudaErrorCompatNotSupportedOnDevice:
        return "take the folder of cuda-compat out of LD_LIBRARY_PATH";
    case cudaErrorSystemNotReady:
        return "the service nvidia-fabricmanager doesn't run";
    case cudaErrorDevicesUnavailable:
        return "another process holds the GPU: wait, or choose another with cuda:N";
    case cudaErrorOperatingSystem:
    case cudaErrorNotPermitted:
        return "see that this user may open /dev/nvidia*; a container needs --gpus all";
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorCallRequiresNewerDriver:
        return "update the NVIDIA driver";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
        return "this build has no code for this GPU: add its architecture to "
               "CMAKE_CUDA_ARCHITECTURES";
    default:
        return NULL;
    }
}

bool dki_gpu_is_lost(const dki_gpu *gpu) {
    return __atomic_load_n(&gpu->lost, __ATOMIC_RELAXED);
}

dk_status dki_gpu_lose(dki_gpu *gpu, const char *call, const char *name, const char *text) {
    __atomic_store_n(&gpu->lost, true, __ATOMIC_RELAXED);
    return dki_fail(DK_E_DEVICE_LOST,
                    "GPU %d: %s: %s (%s); CUDA is lost to this process: start a new process and "
                    "resume from the last checkpoint",
                    gpu->facts.ordinal, call, name, text);
}

dk_status dki_gpu_status(dki_gpu *gpu, cudaError_t error, const char *call) {
    if (error == cudaSuccess) return DK_OK;
    const char *name = cudaGetErrorName(error), *text = cudaGetErrorString(error);
    if (poisons(error)) return dki_gpu_lose(gpu, call, name, text);
    (void)cudaGetLastError();
    const char *advice = remedy(error);
    return dki_fail(error == cudaErrorMemoryAllocation ? DK_E_MEMORY : DK_E_DEVICE,
                    "GPU %d: %s: %s (%s)%s%s", gpu->facts.ordinal, call, name, text,
                    advice ? "; " : "", advice ? advice : "");
}

dk_status dki_gpu_done(dki_gpu *gpu, cudaError_t error, const char *call) {
    dk_status status = dki_gpu_status(gpu, error, call);
    dki_gpu_leave(gpu);
    return status;
}

dk_status dki_gpu_launched(dki_gpu *gpu, int code, const char *kernel) {
    if (code == 0) return DK_OK;
    char call[96];
    snprintf(call, sizeof call, "launch of kernel %s", kernel);
    return dki_gpu_status(gpu, (cudaError_t)code, call);
}

static const char *element_name(int32_t element) {
    static const char *const names[] = {"fp32", "bf16", "fp16"};
    return element >= 0 && element < 3 ? names[element] : "?";
}

static dk_status library_error(cublasStatus_t error) {
    switch (error) {
    case CUBLAS_STATUS_ALLOC_FAILED:
        return DK_E_MEMORY;
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return DK_E_UNSUPPORTED;
    default:
        return DK_E_DEVICE;
    }
}

dk_status dki_gpu_library_status(dki_gpu *gpu, cublasStatus_t error, const char *call,
                                 const dki_product *product) {
    if (error == CUBLAS_STATUS_SUCCESS) return DK_OK;
    /* An error that came earlier, asynchronously, shows itself here as the library's own failure. */
    cudaError_t pending = cudaGetLastError();
    if (poisons(pending)) return dki_gpu_status(gpu, pending, call);
    char shape[160] = "";
    if (product)
        snprintf(shape, sizeof shape, " of %lld×%lld×%lld%s%s, %s to %s, epilogue %d",
                 (long long)product->m, (long long)product->n, (long long)product->k,
                 product->trans_a ? ", A transposed" : "", product->trans_b ? ", B transposed" : "",
                 element_name(product->type), element_name(product->type_d), product->epilogue);
    return dki_fail(library_error(error), "GPU %d: %s%s: %s (%s)", gpu->facts.ordinal, call, shape,
                    cublasLtGetStatusName(error), cublasLtGetStatusString(error));
}
