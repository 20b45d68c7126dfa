/* Dependent launches (programmatic dependent launch, compute capability 9.0): a kernel is put on the GPU
 * while the one before it still runs, and waits there for that one, so that the time between the
 * two, about a microsecond, is hidden. Every kernel of ours waits before it touches memory, so the
 * results are the same; whether it pays is measured, once for a context. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/plan_time.h"
#include "base/error.h"

#include <math.h>

enum { LEAST_MAJOR = 9, CHAIN = 8, REPEATS = 4, ELEMENTS = 4096 };

/* What differs by less than measurements do stays as it is. */
static const double clearly_better = 0.98;

typedef struct {
    dki_cuda *cuda;
    float *memory; /* [2, ELEMENTS] */
} chain;

static dk_status copy_there(const chain *it, dki_lane lane, int from) {
    float *const halves[] = {it->memory, it->memory + ELEMENTS};
    return dki_gpu_launched(it->cuda->gpu,
                            dki_cuda_cast(it->cuda->lanes[lane], DKI_ELEMENT_F32, halves[from],
                                          halves[1 - from], ELEMENTS),
                            "cast_kernel");
}

/* Small kernels that depend on each other, as most of ours do in a step of a small network, and on the
 * way a change of lanes, as a step has them: if that can't be captured, it shows here. */
static dk_status queue_chain(void *argument, int copy) {
    const chain *it = argument;
    dki_backend *backend = &it->cuda->base;
    (void)copy;
    for (int i = 0; i < CHAIN; ++i) DKI_TRY(copy_there(it, DKI_LANE_PARAMS, i % 2));
    DKI_TRY(dki_cuda_order(backend, DKI_LANE_PARAMS, DKI_LANE_MAIN));
    for (int i = 0; i < CHAIN; ++i) DKI_TRY(copy_there(it, DKI_LANE_MAIN, i % 2));
    return dki_cuda_order(backend, DKI_LANE_MAIN, DKI_LANE_PARAMS);
}

/* Our own streams only: what an application's allows isn't known. Steps are recorded on ours. */
static void set_lanes(dki_cuda *cuda, bool dependent) {
    cuda->dependent = dependent;
    for (int lane = 0; lane < DKI_LANE_COUNT; ++lane)
        dki_gpu_stream_depend(cuda->gpu, cuda->lanes[lane], dependent);
}

static dk_status measure(dki_cuda *cuda, dki_timer *timer, const chain *it, double *plain,
                         double *dependent) {
    chain work = *it;
    DKI_TRY(dki_timer_measure(timer, queue_chain, &work, 1, REPEATS, INFINITY, plain));
    set_lanes(cuda, true);
    return dki_timer_measure(timer, queue_chain, &work, 1, REPEATS, INFINITY, dependent);
}

static dk_status try_both(dki_cuda *cuda, double *plain, double *dependent) {
    const dki_stream stream = cuda->lanes[DKI_LANE_PARAMS];
    chain it = {.cuda = cuda};
    dki_timer timer = {.gpu = cuda->gpu};
    dk_status status = DK_OK;
    DKI_TRY(dki_gpu_alloc(cuda->gpu, 2 * sizeof(float) * ELEMENTS, (void **)&it.memory));
    DKI_TRY_OUT(dki_gpu_zero(cuda->gpu, stream, it.memory, 2 * sizeof(float) * ELEMENTS));
    DKI_TRY_OUT(dki_timer_open(&timer, cuda->gpu, stream));
    DKI_TRY_OUT(measure(cuda, &timer, &it, plain, dependent));
out:
    dki_timer_close(&timer);
    dki_gpu_free(cuda->gpu, it.memory);
    return status;
}

/* Whatever goes wrong but for the loss of the GPU means: as it has always been. */
dk_status dki_cuda_choose_launches(dki_cuda *cuda) {
    double plain = INFINITY, dependent = INFINITY;
    if (cuda->launches_chosen || cuda->options.deterministic ||
        dki_gpu_facts_of(cuda->gpu)->major < LEAST_MAJOR)
        return DK_OK;
    cuda->launches_chosen = true;
    const dk_status status = try_both(cuda, &plain, &dependent);
    set_lanes(cuda, !status && dependent < clearly_better * plain);
    if (status == DK_E_DEVICE_LOST) return status;
    if (status)
        dki_log_line(cuda->services.log, DK_LOG_DEBUG, "no dependent launches: %s",
                     dk_error_text());
    else
        dki_log_line(cuda->services.log, DK_LOG_DEBUG,
                     "%d small kernels: %.4f ms, launched dependently %.4f ms", 2 * CHAIN, plain,
                     dependent);
    return DK_OK;
}
