#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef dki_fail /* the analyzer's */
#undef dki_fail_in

enum { TEXT_BYTES = 1024 };

static _Thread_local char error_text[TEXT_BYTES];

const char *dk_error_text(void) {
    return error_text;
}

dk_status dki_fail(dk_status status, const char *format, ...) {
    /* Formatted aside first: an argument may be the current text itself. */
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(error_text, text, sizeof text);
    return status;
}

dk_status dki_fail_in(dk_status status, const char *format, ...) {
    char prefix[TEXT_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    return dki_fail(status, "%s: %s", prefix, error_text);
}

void dki_error_restore(const char *text) {
    snprintf(error_text, sizeof error_text, "%s", text);
}

const char *dk_status_name(dk_status status) {
    switch (status) {
    case DK_OK:
        return "DK_OK";
    case DK_E_ARGUMENT:
        return "DK_E_ARGUMENT";
    case DK_E_SHAPE:
        return "DK_E_SHAPE";
    case DK_E_STATE:
        return "DK_E_STATE";
    case DK_E_MEMORY:
        return "DK_E_MEMORY";
    case DK_E_IO:
        return "DK_E_IO";
    case DK_E_DATA:
        return "DK_E_DATA";
    case DK_E_MODEL:
        return "DK_E_MODEL";
    case DK_E_DEVICE:
        return "DK_E_DEVICE";
    case DK_E_DEVICE_LOST:
        return "DK_E_DEVICE_LOST";
    case DK_E_UNSUPPORTED:
        return "DK_E_UNSUPPORTED";
    case DK_E_NONFINITE:
        return "DK_E_NONFINITE";
    case DK_E_NOT_KEPT:
        return "DK_E_NOT_KEPT";
    case DK_E_STOPPED:
        return "DK_E_STOPPED";
    }
    return "unknown status";
}
