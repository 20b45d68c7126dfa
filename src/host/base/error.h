/* Status codes with a text: nearly the whole error vocabulary of the library.
 *
 * The text is kept per thread, because one context serves sessions on several threads. It says what
 * failed, where (file, position, layer, shape) and what to do. */
#ifndef DKI_ERROR_H
#define DKI_ERROR_H

#include "deltak/deltak.h"

/** Sets the calling thread's error text (printf format) and returns `status`. */
dk_status dki_fail(dk_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Puts "prefix: " before the current error text and returns `status`; for a caller that knows more
 *  about the place, such as the name of the file. */
dk_status dki_fail_in(dk_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For clang's analyzer, which sees one file at a time: what comes back is the status, and no DK_OK. */
#ifdef __clang_analyzer__
#define dki_fail(status, ...)    ((void)dki_fail((status), __VA_ARGS__), (status))
#define dki_fail_in(status, ...) ((void)dki_fail_in((status), __VA_ARGS__), (status))
#endif

/** Sets the text to exactly `text`: carries an error from a worker thread to its owner's. */
void dki_error_restore(const char *text);

/** Returns from the function on failure. */
#define DKI_TRY(call)                                                                              \
    do {                                                                                           \
        dk_status dki_try_status = (call);                                                         \
        if (dki_try_status != DK_OK) return dki_try_status;                                        \
    } while (0)

/** Sets the local `status` and goes to the local label `out` on failure. */
#define DKI_TRY_OUT(call)                                                                          \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != DK_OK) goto out;                                                             \
    } while (0)

/** Returns with a text unless the condition holds. */
#define DKI_REQUIRE(condition, status, ...)                                                        \
    do {                                                                                           \
        if (!(condition)) return dki_fail((status), __VA_ARGS__);                                  \
    } while (0)

#endif
