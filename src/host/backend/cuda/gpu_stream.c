/* Streams and events. */
#include "backend/cuda/gpu_cuda.h"

dk_status dki_gpu_stream_create(dki_gpu *gpu, dki_stream *stream) {
    *stream = NULL;
    DKI_TRY(dki_gpu_enter(gpu));
    /* Non-blocking: it doesn't wait for what the application queues on its default stream. */
    cudaStream_t made = NULL;
    cudaError_t error = cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);
    if (error == cudaSuccess) *stream = made;
    return dki_gpu_done(gpu, error, "cudaStreamCreateWithFlags");
}

void dki_gpu_stream_destroy(dki_gpu *gpu, dki_stream stream) {
    if (!stream || dki_gpu_is_lost(gpu) || dki_gpu_enter(gpu) != DK_OK) return;
    (void)dki_gpu_done(gpu, cudaStreamDestroy(stream), "cudaStreamDestroy");
}

dk_status dki_gpu_stream_sync(dki_gpu *gpu, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu, cudaStreamSynchronize(stream), "cudaStreamSynchronize");
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
    return dki_gpu_done(gpu, cudaEventRecord(event, stream), "cudaEventRecord");
}

/* In a capture a plain record is no more than a dependency: an external one makes a node. */
dk_status dki_gpu_event_mark(dki_gpu *gpu, dki_event event, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    cudaError_t error = cudaStreamIsCapturing(stream, &capture);
    const unsigned flags =
        capture == cudaStreamCaptureStatusNone ? cudaEventRecordDefault : cudaEventRecordExternal;
    if (error == cudaSuccess) error = cudaEventRecordWithFlags(event, stream, flags);
    return dki_gpu_done(gpu, error, "cudaEventRecordWithFlags");
}

dk_status dki_gpu_event_wait(dki_gpu *gpu, dki_event event, dki_stream stream) {
    DKI_TRY(dki_gpu_enter(gpu));
    return dki_gpu_done(gpu, cudaStreamWaitEvent(stream, event, 0), "cudaStreamWaitEvent");
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
