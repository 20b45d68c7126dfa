/* The floating-point environment in which the library computes, whatever its caller's is. */
#ifndef DKI_ARITHMETIC_H
#define DKI_ARITHMETIC_H

#if defined(__SSE2__)
#include <xmmintrin.h>
#else
#include <fenv.h>
#endif

/** A caller may round upwards, flush denormals to zero (-ffast-math does so for the whole process) or
 *  trap on overflow. A result would then depend on the thread that computed it, and speculative
 *  operations of vectorised loops, whose results are thrown away, would end the process. */
#if defined(__SSE2__)
typedef unsigned int dki_arithmetic; /* the control and status register of SSE and AVX; nothing here
                                        uses the x87 unit */
enum { DKI_MXCSR_DEFAULT = 0x1f80 }; /* to nearest, denormals kept, no flag set, every trap off */

static inline dki_arithmetic dki_arithmetic_begin(void) {
    const dki_arithmetic callers = _mm_getcsr();
    _mm_setcsr(DKI_MXCSR_DEFAULT);
    return callers;
}
static inline void dki_arithmetic_end(const dki_arithmetic *callers) {
    _mm_setcsr(*callers);
}
#else
typedef fenv_t dki_arithmetic;

static inline dki_arithmetic dki_arithmetic_begin(void) {
    dki_arithmetic callers;
    fegetenv(&callers);
    fesetenv(FE_DFL_ENV);
    return callers;
}
static inline void dki_arithmetic_end(const dki_arithmetic *callers) {
    fesetenv(callers);
}
#endif

/** First in a public function that computes: the default environment until the function returns, then
 *  the caller's again, its flags included. Threads that are started meanwhile inherit the default. */
#define DKI_ARITHMETIC                                                                             \
    dki_arithmetic callers_arithmetic_ __attribute__((cleanup(dki_arithmetic_end), unused)) =      \
        dki_arithmetic_begin()

#endif
