/* Streams and events. */
#include "backend/cuda/gpu_cuda.h"

#include "base/memory.h"

/* Non-blocking: it doesn't wait for what the application queues on its default stream. */
dk_status dki_gpu_stream_create(dki_gpu *gpu, dki_stream *stream) {
    cudaStream_t made = NULL;
    dki_queue *queue = NULL;
    *stream = NULL;
    DKI_TRY(dki_gpu_enter(gpu));
    dk_status status = dki_new(gpu->services.allocator, &queue, 1, "a stream");
    if (status == DK_OK)
        status = dki_gpu_status(gpu, cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking),
                                "cudaStreamCreateWithFlags");
    dki_gpu_leave(gpu);
    if (status) {
        dki_release(gpu->services.allocator, queue);
        return status;
    }
    queue->stream = made;
    *stream = queue;
    return DK_OK;
}

dk_status dki_gpu_stream_wrap(dki_gpu *gpu, void *handle, dki_stream *stream) {
    dki_queue *queue = NULL;
    *stream = NULL;
    DKI_TRY(dki_new(gpu->services.allocator, &queue, 1, "a stream"));
    *queue = (dki_queue){.stream = handle, .borrowed = true};
    *stream = queue;
    return DK_OK;
}

void dki_gpu_stream_depend(dki_gpu *gpu, dki_stream stream, bool dependent) {
    (void)gpu;
    ((dki_queue *)stream)->dependent = dependent;
}

void dki_gpu_stream_destroy(dki_gpu *gpu, dki_stream stream) {
    dki_queue *queue = stream;
    if (!queue) return;
    if (!queue->borrowed && !dki_gpu_is_lost(gpu) && dki_gpu_enter(gpu) == DK_OK)
        (void)dki_gpu_done(gpu, cudaStreamDestroy(dki_gpu_handle(queue)), "cudaStreamDestroy");
    dki_release(gpu->services.allocator, queue);
}

dk_status dki_gpu_stream_sync(dki_gpu *gpu, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu, cudaStreamSynchronize(dki_gpu_handle(stream)),
                        "cudaStreamSynchronize");
}

dk_status dki_gpu_event_create(dki_gpu *gpu, bool timing, dki_event *event) {
    *event = NULL;
    DKI_TRY(dki_gpu_enter(gpu));
    cudaEvent_t made = NULL;
    cudaError_t error =
        cudaEventCreateWithFlags(&made, timing ? cudaEventDefault : cudaEventDisableTiming);
    if (error == cudaSuccess) *event = made;
    return dki_gpu_done(gpu, error, "cudaEventCreateWithFlags");
}

void dki_gpu_event_destroy(dki_gpu *gpu, dki_event event) {
    if (!event || dki_gpu_is_lost(gpu) || dki_gpu_enter(gpu) != DK_OK) return;
    (void)dki_gpu_done(gpu, cudaEventDestroy(event), "cudaEventDestroy");
}

dk_status dki_gpu_event_record(dki_gpu *gpu, dki_event event, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu, cudaEventRecord(event, dki_gpu_handle(stream)), "cudaEventRecord");
}

/* In a capture a plain record is no more than a dependency: an external one makes a node. */
dk_status dki_gpu_event_mark(dki_gpu *gpu, dki_event event, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    cudaError_t error = cudaStreamIsCapturing(dki_gpu_handle(stream), &capture);
    const unsigned flags =
        capture == cudaStreamCaptureStatusNone ? cudaEventRecordDefault : cudaEventRecordExternal;
    if (error == cudaSuccess)
        error = cudaEventRecordWithFlags(event, dki_gpu_handle(stream), flags);
    return dki_gpu_done(gpu, error, "cudaEventRecordWithFlags");
}

dk_status dki_gpu_event_wait(dki_gpu *gpu, dki_event event, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu, cudaStreamWaitEvent(dki_gpu_handle(stream), event, 0),
                        "cudaStreamWaitEvent");
}

dk_status dki_gpu_event_sync(dki_gpu *gpu, dki_event event) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu, cudaEventSynchronize(event), "cudaEventSynchronize");
}

dk_status dki_gpu_event_elapsed(dki_gpu *gpu, dki_event first, dki_event last,
                                double *milliseconds) {
    *milliseconds = 0;
    DKI_TRY(dki_gpu_enter(gpu));
    float elapsed = 0;
    DKI_TRY(dki_gpu_done(gpu, cudaEventElapsedTime(&elapsed, first, last), "cudaEventElapsedTime"));
    *milliseconds = elapsed;
    return DK_OK;
}
