/* base/error.h, and dk_error_text, for code that is compiled into the plugin: the error text is kept
 * by the host. */
#include "backend/cuda/plugin_host.h"

#include <stdarg.h>
#include <stdio.h>

#undef dki_fail /* the analyzer's */
#undef dki_fail_in

enum { TEXT_BYTES = 1024 };

/* The one variable of the library: dki_fail has no argument that could carry the host. It is set
 * whenever the plugin is asked for, so that it points into the libdeltak that is loaded now. */
static const dki_plugin_host *attached;

void dki_plugin_attach(const dki_plugin_host *host) {
    __atomic_store_n(&attached, host, __ATOMIC_RELEASE);
}

static const dki_plugin_host *host_now(void) {
    return __atomic_load_n(&attached, __ATOMIC_ACQUIRE);
}

dk_status dki_fail(dk_status status, const char *format, ...) {
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return host_now()->fail(status, text);
}

dk_status dki_fail_in(dk_status status, const char *format, ...) {
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return host_now()->fail_in(status, text);
}

const char *dk_error_text(void) {
    return host_now()->text();
}

void dki_error_restore(const char *text) {
    (void)host_now()->fail(DK_OK, text);
}
