/* For applications that use the GPU themselves: their stream, their memory. */
#include "backend/cuda/cuda.h"
#include "base/error.h"

void dki_cuda_take_back_main(dki_cuda *cuda) {
    if (cuda->lanes[DKI_LANE_MAIN] != cuda->own_main)
        dki_gpu_stream_destroy(cuda->gpu, cuda->lanes[DKI_LANE_MAIN]);
    cuda->lanes[DKI_LANE_MAIN] = cuda->own_main;
}

/* What was queued on the old stream comes before what will be queued on the new one. */
static dk_status use_stream(dki_backend *backend, void *handle) {
    dki_cuda *cuda = dki_cuda_enter(backend, "use stream");
    dki_stream stream = NULL;
    dk_status status = dki_cuda_sync(backend);
    if (!status) status = dki_gpu_stream_wrap(cuda->gpu, handle, &stream);
    if (status) return dki_cuda_leave(cuda, status);
    dki_cuda_take_back_main(cuda);
    (void)dki_cuda_swap_main(cuda, stream);
    return dki_cuda_leave(cuda, DK_OK);
}

static dk_status use_own_stream(dki_backend *backend) {
    dki_cuda *cuda = dki_cuda_enter(backend, "use own stream");
    const dk_status status = dki_cuda_sync(backend);
    if (!status) dki_cuda_take_back_main(cuda);
    return dki_cuda_leave(cuda, status);
}

static dk_status require_resident(dki_backend *backend, const void *p, size_t bytes,
                                  size_t alignment, const char *what) {
    dki_cuda *cuda = dki_cuda_of(backend);
    bool resident = false;
    DKI_REQUIRE(p, DK_E_ARGUMENT, "%s is NULL", what);
    DKI_REQUIRE((uintptr_t)p % alignment == 0, DK_E_ARGUMENT,
                "%s must start on a multiple of %zu bytes", what, alignment);
    DKI_TRY(dki_gpu_is_resident(cuda->gpu, p, bytes, &resident));
    DKI_REQUIRE(resident, DK_E_ARGUMENT,
                "%s: its %zu bytes must lie in the memory of GPU %d; copy them there first", what,
                bytes, cuda->options.ordinal);
    return DK_OK;
}

static dk_status unpack(dki_backend *backend, dki_lane lane, dki_matrix from, float *to) {
    dki_cuda *cuda =
        dki_cuda_enter(backend, "unpack %lldx%lld", (long long)from.rows, (long long)from.cols);
    const int code = dki_cuda_unpack(cuda->lanes[lane], cuda->base.element, from, to);
    return dki_cuda_leave(cuda, dki_gpu_launched(cuda->gpu, code, "unpack_kernel"));
}

const dki_cuda_ops dki_cuda_application_ops = {
    .use_stream = use_stream,
    .use_own_stream = use_own_stream,
    .require_resident = require_resident,
    .unpack = unpack,
};
