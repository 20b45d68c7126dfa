/* Dependent launches (programmatic dependent launch, compute capability 9.0): a kernel is put on the GPU
 * while the one before it still runs, and waits there for that one, so that the time between the
 * two, about a microsecond, is hidden. Every kernel of ours waits before it touches memory, so the
 * results are the same; whether it pays is measured, once for a context. Kernels that were compiled for
 * an older compute capability have no such wait, on whatever GPU they run, and would overtake. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/plan_time.h"
#include "base/error.h"

#include <math.h>

enum { LEAST_KERNELS = 90, CHAIN = 4, REPEATS = 4, WIDTH = 64, MATRICES = 3 };

/* What differs by less than measurements do stays as it is. */
static const double clearly_better = 0.98;

/* Zeros, [MATRICES, WIDTH, WIDTH]: of any storage type, and as fp32. */
typedef struct {
    dki_cuda *cuda;
    float *memory;
} chain;

enum { MATRIX = WIDTH * WIDTH };

static dki_matrix matrix(const chain *it, int index) {
    return (dki_matrix){it->memory + (size_t)index * MATRIX, WIDTH, WIDTH, WIDTH};
}

/* A product of the library's (by its first guess, so that the table of plans learns nothing), and behind
 * it two kernels of ours, each of which reads what the one before it wrote. */
static dk_status queue_link(const chain *it, dki_lane lane) {
    dki_cuda *cuda = it->cuda;
    const dki_bare_product product = {DKI_PRODUCT_FORWARD, matrix(it, 0), matrix(it, 1),
                                      matrix(it, 2)};
    DKI_TRY(dki_cuda_bare_product(&cuda->base, lane, 1, &product));
    for (int to = 1; to >= 0; --to)
        DKI_TRY(
            dki_gpu_launched(cuda->gpu,
                             dki_cuda_cast(cuda->lanes[lane], DKI_ELEMENT_F32,
                                           matrix(it, to + 1).data, matrix(it, to).data, MATRIX),
                             "cast_kernel"));
    return DK_OK;
}

static dk_status queue_links(const chain *it, dki_lane lane) {
    for (int i = 0; i < CHAIN; ++i) DKI_TRY(queue_link(it, lane));
    return DK_OK;
}

/* As a step of a small network: products and kernels that depend on each other, a copy, a fork to the
 * other lane and back. What can't be captured in a step shows here. */
static dk_status queue_chain(void *argument, int copy) {
    const chain *it = argument;
    dki_cuda *cuda = it->cuda;
    (void)copy;
    DKI_TRY(queue_links(it, DKI_LANE_PARAMS));
    DKI_TRY(dki_gpu_copy(cuda->gpu, cuda->lanes[DKI_LANE_PARAMS], matrix(it, 2).data,
                         matrix(it, 0).data, sizeof(float) * MATRIX));
    DKI_TRY(queue_link(it, DKI_LANE_PARAMS));
    DKI_TRY(dki_cuda_order(&cuda->base, DKI_LANE_PARAMS, DKI_LANE_MAIN));
    DKI_TRY(queue_links(it, DKI_LANE_MAIN));
    return dki_cuda_order(&cuda->base, DKI_LANE_MAIN, DKI_LANE_PARAMS);
}

/* Our own streams only: what an application's allows isn't known. Steps are recorded on ours. */
void dki_cuda_set_dependent(dki_cuda *cuda, bool dependent) {
    cuda->dependent = dependent;
    for (int lane = 0; lane < DKI_LANE_COUNT; ++lane)
        dki_gpu_stream_depend(cuda->gpu, cuda->lanes[lane], dependent);
}

static dk_status measure(dki_cuda *cuda, dki_timer *timer, const chain *it, double *plain,
                         double *dependent) {
    chain work = *it;
    DKI_TRY(dki_timer_measure(timer, queue_chain, &work, 1, REPEATS, INFINITY, plain));
    dki_cuda_set_dependent(cuda, true);
    return dki_timer_measure(timer, queue_chain, &work, 1, REPEATS, INFINITY, dependent);
}

static dk_status try_both(dki_cuda *cuda, double *plain, double *dependent) {
    const dki_stream stream = cuda->lanes[DKI_LANE_PARAMS];
    chain it = {.cuda = cuda};
    dki_timer timer = {.gpu = cuda->gpu};
    dk_status status = DK_OK;
    const size_t bytes = sizeof(float) * MATRICES * MATRIX;
    DKI_TRY(dki_gpu_alloc(cuda->gpu, bytes, (void **)&it.memory));
    DKI_TRY_OUT(dki_gpu_zero(cuda->gpu, stream, it.memory, bytes));
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
        dki_gpu_facts_of(cuda->gpu)->kernels < LEAST_KERNELS)
        return DK_OK;
    cuda->launches_chosen = true;
    const dk_status status = try_both(cuda, &plain, &dependent);
    dki_cuda_set_dependent(cuda, !status && dependent < clearly_better * plain);
    if (status == DK_E_DEVICE_LOST) return status;
    if (status)
        dki_log_line(cuda->services.log, DK_LOG_DEBUG, "no dependent launches: %s",
                     dk_error_text());
    else
        dki_log_line(cuda->services.log, DK_LOG_DEBUG,
                     "%d products, each with 2 small kernels: %.4f ms, launched dependently %.4f "
                     "ms",
                     2 * CHAIN + 1, plain, dependent);
    return DK_OK;
}
