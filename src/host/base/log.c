#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void dki_log_line(dki_logger *log, dk_log_level level, const char *format, ...) {
    if (!log->write || level > log->level) return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&log->lock);
    log->write(log->user, level, line);
    pthread_mutex_unlock(&log->lock);
}
