/* Order between the lanes; capture and replay. */
#include "backend/cuda/cuda.h"
#include "base/memory.h"

#include <stdio.h>

struct dki_recording {
    dki_graph *graph;
};

/* An event stands for what was recorded when it is waited for, so one for each lane is enough. A
 * lane is in order by itself. */
static dk_status order(dki_cuda *cuda, dki_lane before, dki_lane after) {
    if (before == after) return DK_OK;
    DKI_TRY(dki_gpu_event_record(cuda->gpu, cuda->ordered[before], cuda->lanes[before]));
    return dki_gpu_event_wait(cuda->gpu, cuda->ordered[before], cuda->lanes[after]);
}

dk_status dki_cuda_order(dki_backend *backend, dki_lane before, dki_lane after) {
    dki_cuda *cuda = dki_cuda_enter(backend, "order");
    return dki_cuda_leave(cuda, order(cuda, before, after));
}

static dk_status capture(dki_cuda *cuda, dki_recording *recording, dki_body body, void *argument) {
    const dki_stream stream = cuda->lanes[DKI_LANE_MAIN];
    char text[1024];
    DKI_TRY(dki_gpu_capture_begin(cuda->gpu, stream));
    const dk_status status = body(argument);
    /* Ending a capture that went wrong fails, too, but it was the body that knew why. */
    if (status) snprintf(text, sizeof text, "%s", dk_error_text());
    const dk_status ended = dki_gpu_capture_end(cuda->gpu, stream, &recording->graph);
    if (status) dki_error_restore(text);
    return status ? status : ended;
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
