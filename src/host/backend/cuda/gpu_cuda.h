/* What the files gpu_*.c share: the GPU's insides, and how codes of CUDA and cuBLASLt become
 * statuses with a text. */
#ifndef DKI_GPU_CUDA_H
#define DKI_GPU_CUDA_H

#include "backend/cuda/gpu.h"
#include "kernels/queue.h"

#include <cublasLt.h>
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

/** Functions of the driver, which is looked up at run time: a machine without one can't load a
 *  library that is linked to it. */
typedef struct dki_driver {
    PFN_cuDevicePrimaryCtxRetain_v7000 retain;
    PFN_cuDevicePrimaryCtxRelease_v11000 release;
    PFN_cuCtxPushCurrent_v4000 push;
    PFN_cuCtxPopCurrent_v4000 pop;
    PFN_cuPointerGetAttributes_v7000 pointer_attributes;
} dki_driver;

struct dki_gpu {
    dki_services services;
    dki_gpu_facts facts;
    dki_driver driver;
    CUcontext context; /* the primary one, which runtime calls of the whole process share */
    cublasLtHandle_t library;
    bool lost; /* set once, by whichever thread sees it first */
    bool gone; /* likewise: the context can't be made current any more */
};

/** A stream as CUDA knows it. */
static inline cudaStream_t dki_gpu_handle(dki_stream stream) {
    return (cudaStream_t)((const dki_queue *)stream)->stream;
}

/** gpu_context.c: finds the driver's functions and takes hold of the GPU's primary context. */
dk_status dki_gpu_hold_context(dki_gpu *gpu);
void dki_gpu_release_context(dki_gpu *gpu);

/** gpu_context.c: makes the GPU the thread's current one, and what was current before so again.
 *  Pairs nest. enter fails with DK_E_DEVICE_LOST, and then there is nothing to leave. */
dk_status dki_gpu_enter(dki_gpu *gpu);
void dki_gpu_leave(dki_gpu *gpu);

/** gpu_errors.c: the status of a call of the runtime, with a text. An error that leaves the GPU
 *  usable is cleared, or the next launch would report it again as its own. */
dk_status dki_gpu_status(dki_gpu *gpu, cudaError_t error, const char *call);
/** The same, and dki_gpu_leave. */
dk_status dki_gpu_done(dki_gpu *gpu, cudaError_t error, const char *call);
/** The status of a call of cuBLASLt on a product (or NULL). */
dk_status dki_gpu_library_status(dki_gpu *gpu, cublasStatus_t error, const char *call,
                                 const dki_product *product);
bool dki_gpu_is_lost(const dki_gpu *gpu);
dk_status dki_gpu_lose(dki_gpu *gpu, const char *call, const char *name, const char *text);

/** gpu_products.c: a product in cuBLASLt's terms. The structures are plain memory, with nothing to
 *  release. Without operands the addresses in it stand only for how aligned they are. */
typedef struct dki_product_description {
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t a, b, d;
} dki_product_description;
cublasStatus_t dki_product_describe(const dki_product *product, const dki_operands *operands,
                                    dki_product_description *description);
/** What an algorithm for it may need and do. */
cublasStatus_t dki_product_limits(const dki_product *product,
                                  cublasLtMatmulPreference_t preference);
/** Whether it keeps the parts of a sum in fp32, whatever D's type. */
bool dki_algorithm_sums_in_fp32(const cublasLtMatmulAlgo_t *algorithm);

#endif
