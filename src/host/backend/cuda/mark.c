/* Times on the device's own clock. */
#include "backend/cuda/cuda.h"
#include "base/error.h"

static dk_status mark(dki_cuda *cuda, dki_lane lane, int index) {
    dki_event *event = &cuda->marks[index];
    if (!*event) DKI_TRY(dki_gpu_event_create(cuda->gpu, true, event));
    return dki_gpu_event_mark(cuda->gpu, *event, cuda->lanes[lane]);
}

dk_status dki_cuda_mark(dki_backend *backend, dki_lane lane, int index) {
    dki_cuda *cuda = dki_cuda_enter(backend, "mark");
    return dki_cuda_leave(cuda, mark(cuda, lane, index));
}

dk_status dki_cuda_elapsed(dki_backend *backend, int from, int to, double *milliseconds) {
    dki_cuda *cuda = dki_cuda_enter(backend, "elapsed");
    return dki_cuda_leave(
        cuda, dki_gpu_event_elapsed(cuda->gpu, cuda->marks[from], cuda->marks[to], milliseconds));
}

void dki_cuda_marks_close(dki_cuda *cuda) {
    for (int i = 0; i < DKI_MARKS; ++i)
        if (cuda->marks[i]) dki_gpu_event_destroy(cuda->gpu, cuda->marks[i]);
}
