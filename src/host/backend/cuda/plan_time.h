/* How long a piece of work takes on the GPU. */
#ifndef DKI_PLAN_TIME_H
#define DKI_PLAN_TIME_H

#include "backend/cuda/gpu.h"

enum { DKI_TIMED_REPLAYS = 5 };

typedef struct dki_timer {
    dki_gpu *gpu;
    dki_stream stream; /* on which nothing else is queued meanwhile */
    dki_event events[DKI_TIMED_REPLAYS + 1];
} dki_timer;

dk_status dki_timer_open(dki_timer *timer, dki_gpu *gpu, dki_stream stream);
void dki_timer_close(dki_timer *timer);

/** Queues the work once, on copy 0 ≤ copy < copies of its operands. */
typedef dk_status (*dki_trial)(void *argument, int copy);

/** *milliseconds of one trial: of `repeats` captured in a graph, on one copy after the other; the
 *  median of several replays. INFINITY where it is clearly slower than `limit`. */
dk_status dki_timer_measure(dki_timer *timer, dki_trial trial, void *argument, int copies,
                            int repeats, double limit, double *milliseconds);

/** Random numbers ±[½, 1) of the storage type all over the memory: what a processor computes with
 *  zeros is faster, because it draws less power. Read as fp32 they are finite, too. Blocks. */
dk_status dki_fill_random(dki_gpu *gpu, dki_stream stream, dki_element element, void *memory,
                          size_t bytes);

#endif
