/* deltak inside an application that uses the GPU itself: its stream, and batches that already lie in
 * device memory. Needs no CUDA header. SPDX-License-Identifier: MIT
 *
 * deltak.h, which this header includes, is the API; README.md says how to build, install and link, and
 * docs/cuda.md what happens on the GPU.
 *
 * Conventions are those of deltak.h. Every function here gives DK_E_STATE for a context on the CPU.
 * Pointers are looked at before they are used: one that isn't memory of the context's GPU, or isn't
 * aligned as said, is DK_E_ARGUMENT, and nothing runs. */
#ifndef DELTAK_CUDA_H
#define DELTAK_CUDA_H

#include "deltak/deltak.h"

#ifdef __cplusplus
extern "C" {
#endif

/** From now on the context's work is queued on `stream`, a cudaStream_t of the same GPU, in the order
 *  of the calls; deltak's own streams fork from it and join it again within each call. So what the
 *  application queued on it before is done first, and what it queues afterwards sees the results.
 *  Every handle of CUDA's is taken, also those of the default streams: 0 (which PyTorch's is),
 *  cudaStreamLegacy, and cudaStreamPerThread, which stands for the default stream of the thread that
 *  makes a call, so that only one thread may use the context then. The stream must not be in a capture
 *  of the application's. Waits for the work that is under way. The stream stays the caller's and must
 *  live until another one is chosen or the context is gone. DK_E_ARGUMENT, DK_E_DEVICE_LOST. */
DK_API dk_status dk_cuda_use_stream(dk_context *context, void *stream);

/** Gives the stream back: from now on the context's work is queued on a stream of deltak's own, as it
 *  is at first, which waits for nothing that the application queues. Waits for the work that is under
 *  way, so that the stream may be destroyed afterwards. DK_E_ARGUMENT, DK_E_DEVICE_LOST. */
DK_API dk_status dk_cuda_use_own_stream(dk_context *context);

/** A batch in device memory, model-scale. Borrowed until the work that the call queued is done. */
typedef struct dk_cuda_batch {
    size_t size;  /**< sizeof(dk_cuda_batch) */
    int64_t rows; /**< ≥ 1 */
    /** [rows, n_0], row-major, dense, aligned to 16 bytes. fp32 and tf32 read it where it lies if n_0
     *  is a multiple of 4; else a kernel brings it into the storage type. */
    const float *x;
    /** [rows] class indices; one out of range is found when the step runs: DK_E_NONFINITE. Or: */
    const int32_t *labels;
    const float *targets; /**< [rows, n_L], dense */
    const float *weights; /**< [rows] sample weights ≥ 0, or NULL */
    /** What the loss is divided by: Σ of the rows' weights (class weight of the label × sample
     *  weight); 0 = rows, where neither are in use. */
    double weight_sum;
} dk_cuda_batch;

#define DK_CUDA_BATCH_INIT                                                                         \
    { sizeof(dk_cuda_batch), 0, NULL, NULL, NULL, NULL, 0.0 }

/** dk_trainer_step on a batch in device memory, without a copy. With `loss` NULL it only queues.
 *  a⁽⁰⁾ of the step can't be read afterwards where the batch was read in place (DK_E_NOT_KEPT).
 *  DK_E_ARGUMENT (pointers; weights without a sum), DK_E_SHAPE, DK_E_NONFINITE, DK_E_STATE,
 *  DK_E_DEVICE_LOST. */
DK_API dk_status dk_cuda_trainer_step(dk_trainer *trainer, const dk_cuda_batch *batch,
                                      double *loss);

/** dk_session_forward from x [rows, n_0] to y = a⁽ᴸ⁾ [rows, n_L], dense fp32, both in device memory and
 *  aligned to 16 bytes; a kernel each brings them in and out of the session's layout. Only queues. y may be NULL. DK_E_ARGUMENT, DK_E_SHAPE (rows), DK_E_STATE,
 *  DK_E_DEVICE_LOST. */
DK_API dk_status dk_cuda_session_forward(dk_session *session, const float *x, int64_t rows,
                                         float *y);

#ifdef __cplusplus
}
#endif

#endif /* DELTAK_CUDA_H */
