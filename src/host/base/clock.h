/* The time that durations are taken by: it never goes back. */
#ifndef DKI_CLOCK_H
#define DKI_CLOCK_H

#include <time.h>

/** Seconds since some point in the past. */
static inline double dki_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#endif
