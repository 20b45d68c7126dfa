/* Timing by replay of graphs, so that the host's own time doesn't count. */
#include "backend/cuda/plan_time.h"
#include "base/error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

dk_status dki_timer_open(dki_timer *timer, dki_gpu *gpu, dki_stream stream) {
    *timer = (dki_timer){.gpu = gpu, .stream = stream};
    dk_status status = DK_OK;
    for (int i = 0; i <= DKI_TIMED_REPLAYS && !status; ++i)
        status = dki_gpu_event_create(gpu, true, &timer->events[i]);
    if (status) dki_timer_close(timer);
    return status;
}

void dki_timer_close(dki_timer *timer) {
    for (int i = 0; i <= DKI_TIMED_REPLAYS; ++i)
        if (timer->events[i]) dki_gpu_event_destroy(timer->gpu, timer->events[i]);
    memset(timer, 0, sizeof *timer);
}

static dk_status capture(dki_timer *timer, dki_trial trial, void *argument, int copies, int repeats,
                         dki_graph **graph) {
    DKI_TRY(dki_gpu_capture_begin(timer->gpu, timer->stream));
    dk_status status = DK_OK;
    for (int i = 0; i < repeats && !status; ++i) status = trial(argument, i % copies);
    dk_status ended = dki_gpu_capture_end(timer->gpu, timer->stream, graph);
    return status ? status : ended;
}

/* Plays the graph `replays` times in a row and gives each one's time. They are queued before the
 * first is over, so the launches hide. */
static dk_status play(dki_timer *timer, dki_graph *graph, int replays, double *milliseconds) {
    DKI_TRY(dki_gpu_event_record(timer->gpu, timer->events[0], timer->stream));
    for (int i = 0; i < replays; ++i) {
        DKI_TRY(dki_gpu_graph_launch(timer->gpu, graph, timer->stream));
        DKI_TRY(dki_gpu_event_record(timer->gpu, timer->events[i + 1], timer->stream));
    }
    DKI_TRY(dki_gpu_event_sync(timer->gpu, timer->events[replays]));
    for (int i = 0; i < replays; ++i)
        DKI_TRY(dki_gpu_event_elapsed(timer->gpu, timer->events[i], timer->events[i + 1],
                                      &milliseconds[i]));
    return DK_OK;
}

/* After a call that failed, launches may be under way, on memory that the caller gives back and in
 * workspaces that the next product on either lane takes. It is the first failure that counts. */
static void end_launches(const dki_timer *timer) {
    char text[1024];
    snprintf(text, sizeof text, "%s", dk_error_text());
    if (dki_gpu_stream_sync(timer->gpu, timer->stream)) dki_error_restore(text);
}

static double median(double *values, int count) {
    for (int i = 1; i < count; ++i)
        for (int j = i; j > 0 && values[j] < values[j - 1]; --j) {
            const double smaller = values[j];
            values[j] = values[j - 1];
            values[j - 1] = smaller;
        }
    return values[count / 2];
}

/* The first replay only warms up; one that takes twice the limit need not be played again. What it
 * has in it beside the products, launch and cold caches, is allowed for. */
static const double COLD_MS = 0.1;

dk_status dki_timer_measure(dki_timer *timer, dki_trial trial, void *argument, int copies,
                            int repeats, double limit, double *milliseconds) {
    dki_graph *graph = NULL;
    double times[DKI_TIMED_REPLAYS] = {0};
    *milliseconds = INFINITY;
    dk_status status = capture(timer, trial, argument, copies, repeats, &graph);
    if (status) goto out;
    DKI_TRY_OUT(play(timer, graph, 1, times));
    if (times[0] > 2.0 * limit * repeats + COLD_MS) goto out;
    DKI_TRY_OUT(play(timer, graph, DKI_TIMED_REPLAYS, times));
    *milliseconds = median(times, DKI_TIMED_REPLAYS) / repeats;
out:
    if (status && graph) end_launches(timer);
    if (graph) dki_gpu_graph_destroy(timer->gpu, graph);
    return status;
}

enum { BLOCK_BYTES = 1 << 20 };

/* Sign and fraction random, the exponent that of [½, 1). The generator is Knuth's MMIX; only its
 * high bits are used. */
static void random_block(dki_element element, unsigned char *block) {
    const size_t size = dki_element_bytes(element);
    const uint32_t half = element == DKI_ELEMENT_F32    ? 0x3f000000u
                          : element == DKI_ELEMENT_BF16 ? 0x3f00u
                                                        : 0x3800u;
    const int fraction = element == DKI_ELEMENT_F32 ? 23 : element == DKI_ELEMENT_BF16 ? 7 : 10;
    const uint32_t mask = (1u << fraction) - 1u;
    uint64_t state = 1;
    for (size_t i = 0; i < BLOCK_BYTES; i += size) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const uint32_t word = (uint32_t)(state >> 32);
        const uint32_t bits = half | (word & mask) | (word >> 31) << (8 * size - 1);
        for (size_t byte = 0; byte < size; ++byte)
            block[i + byte] = (unsigned char)(bits >> (8 * byte));
    }
}

/* One random block from the host, and the filled part doubled until all is full. */
dk_status dki_fill_random(dki_gpu *gpu, dki_stream stream, dki_element element, void *memory,
                          size_t bytes) {
    void *block = NULL;
    dk_status status = dki_gpu_alloc_host(gpu, BLOCK_BYTES, &block);
    if (status) return status;
    random_block(element, block);
    size_t full = bytes < BLOCK_BYTES ? bytes : BLOCK_BYTES;
    DKI_TRY_OUT(dki_gpu_copy(gpu, stream, memory, block, full));
    while (full < bytes) {
        const size_t more = bytes - full < full ? bytes - full : full;
        DKI_TRY_OUT(dki_gpu_copy(gpu, stream, (char *)memory + full, memory, more));
        full += more;
    }
out:;
    dk_status synced = dki_gpu_stream_sync(gpu, stream);
    dki_gpu_free_host(gpu, block);
    return status ? status : synced;
}
