/* Order between the lanes; capture and replay. */
#include "backend/cuda/cuda.h"
#include "base/memory.h"

#include <stdio.h>

struct dki_recording {
    dki_graph *graph;
};

/* What is queued on `after` from now on comes after what is on `before` by now. */
static dk_status order_streams(dki_cuda *cuda, dki_event event, dki_stream before,
                               dki_stream after) {
    DKI_TRY(dki_gpu_event_record(cuda->gpu, event, before));
    return dki_gpu_event_wait(cuda->gpu, event, after);
}

/* An event stands for what was recorded when it is waited for, so one for each lane is enough. A
 * lane is in order by itself. */
static dk_status order(dki_cuda *cuda, dki_lane before, dki_lane after) {
    if (before == after) return DK_OK;
    return order_streams(cuda, cuda->ordered[before], cuda->lanes[before], cuda->lanes[after]);
}

dk_status dki_cuda_order(dki_backend *backend, dki_lane before, dki_lane after) {
    dki_cuda *cuda = dki_cuda_enter(backend, "order");
    return dki_cuda_leave(cuda, order(cuda, before, after));
}

dki_stream dki_cuda_swap_main(dki_cuda *cuda, dki_stream stream) {
    const dki_stream before = cuda->lanes[DKI_LANE_MAIN];
    cuda->lanes[DKI_LANE_MAIN] = stream;
    return before;
}

static dk_status capture_here(dki_cuda *cuda, dki_recording *recording, dki_body body,
                              void *argument) {
    const dki_stream stream = cuda->lanes[DKI_LANE_MAIN];
    char text[1024];
    DKI_TRY(dki_gpu_capture_begin(cuda->gpu, stream));
    const dk_status status = body(argument);
    /* Ending a capture that went wrong fails, too, but it was the body that knew why. */
    if (status) snprintf(text, sizeof text, "%s", dk_error_text());
    const dk_status ended = dki_gpu_capture_end(cuda->gpu, stream, &recording->graph);
    if (!status) return ended;
    dki_gpu_graph_destroy(cuda->gpu, recording->graph);
    recording->graph = NULL;
    dki_error_restore(text);
    return status;
}

/* A step that can't be recorded with dependent launches is recorded without them, and all later ones are:
 * they were tried on a chain of kernels like a step's, but that wasn't this step. A body may be called
 * again. */
static dk_status capture_either_way(dki_cuda *cuda, dki_recording *recording, dki_body body,
                                    void *argument) {
    const dk_status status = capture_here(cuda, recording, body, argument);
    if (!status || status == DK_E_DEVICE_LOST || !cuda->dependent) return status;
    dki_log_line(cuda->services.log, DK_LOG_INFO,
                 "a step can't be recorded with dependent launches, so it is without: %s",
                 dk_error_text());
    dki_cuda_set_dependent(cuda, false);
    return capture_here(cuda, recording, body, argument);
}

/* On the backend's own stream, because an application's default stream can't be captured. The launches
 * on the application's come after what the graph's preparation has queued here. */
static dk_status capture(dki_cuda *cuda, dki_recording *recording, dki_body body, void *argument) {
    const dki_stream own = cuda->own_main, launched_on = dki_cuda_swap_main(cuda, own);
    const dk_status status = capture_either_way(cuda, recording, body, argument);
    dki_cuda_swap_main(cuda, launched_on);
    if (status || launched_on == own) return status;
    return order_streams(cuda, cuda->ordered[DKI_LANE_MAIN], own, launched_on);
}

static void forget(dki_cuda *cuda, dki_recording *recording) {
    if (recording->graph) dki_gpu_graph_destroy(cuda->gpu, recording->graph);
    dki_release(cuda->services.allocator, recording);
}

/* A recording's inner branch takes the workspace of the parameters' lane, and so do products that are
 * queued on that lane outside of it, maybe by another thread in the middle of its backward pass: a graph
 * comes after those that are queued by now, and before any later one. */
static dk_status launch(dki_cuda *cuda, const dki_recording *recording) {
    const dki_stream stream = cuda->lanes[DKI_LANE_MAIN];
    if (cuda->params_multiplied) DKI_TRY(order(cuda, DKI_LANE_PARAMS, DKI_LANE_MAIN));
    cuda->params_multiplied = false;
    DKI_TRY(dki_gpu_graph_launch(cuda->gpu, recording->graph, stream));
    return order(cuda, DKI_LANE_MAIN, DKI_LANE_PARAMS);
}

static dk_status run(dki_cuda *cuda, dki_recording **recording, dki_body body, void *argument) {
    if (!*recording) {
        dki_recording *fresh = NULL;
        DKI_TRY(dki_new(cuda->services.allocator, &fresh, 1, "a recording"));
        const dk_status status = capture(cuda, fresh, body, argument);
        if (status) {
            forget(cuda, fresh);
            return status;
        }
        *recording = fresh;
    }
    return launch(cuda, *recording);
}

dk_status dki_cuda_run(dki_backend *backend, dki_recording **recording, dki_body body,
                       void *argument) {
    if (!body && !*recording) return DK_OK;
    /* A graph isn't destroyed while it runs. */
    if (!body) (void)dki_cuda_sync(backend);
    dki_cuda *cuda = dki_cuda_enter(backend, "%s", body ? "run" : "forget");
    if (body) return dki_cuda_leave(cuda, run(cuda, recording, body, argument));
    forget(cuda, *recording);
    *recording = NULL;
    return dki_cuda_leave(cuda, DK_OK);
}
