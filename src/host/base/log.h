/* The context's log callback, called by one thread at a time. */
#ifndef DKI_LOG_H
#define DKI_LOG_H

#include "base/error.h"

#include <pthread.h>

typedef struct dki_logger {
    dk_log_fn write; /* NULL = silence */
    void *user;
    dk_log_level level;
    pthread_mutex_t lock;
} dki_logger;

/** Formats and writes one line if `level` is wanted. */
void dki_log_line(dki_logger *log, dk_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
