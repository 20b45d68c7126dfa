// Failures on demand: calls of the C library, of jansson and of oneDNN that this program's own
// objects make (the library's among them) go through a wrapper (--wrap of the linker), which passes
// them on unless it was told to fail. Calls within shared libraries are not touched.
//
// What can't fail on Linux isn't wrapped: pthread_mutex_init and pthread_cond_init with default
// attributes, pthread_sigmask, sysconf of the page size.
#ifndef DELTAK_TESTS_FAULTS_H
#define DELTAK_TESTS_FAULTS_H

#include <cerrno>
#include <cstdint>
#include <cstdio>

namespace faults {

// json_malloc stands for all that jansson allocates, onednn for oneDNN's functions that allocate.
#define DELTAK_FAULTS_EACH(X)                                                                      \
    X(posix_memalign)                                                                              \
    X(malloc)                                                                                      \
    X(calloc)                                                                                      \
    X(asprintf)                                                                                    \
    X(json_malloc)                                                                                 \
    X(newlocale)                                                                                   \
    X(onednn)                                                                                      \
    X(pthread_create)                                                                              \
    X(open)                                                                                        \
    X(read)                                                                                        \
    X(write)                                                                                       \
    X(fsync)                                                                                       \
    X(close)                                                                                       \
    X(stat)                                                                                        \
    X(fstat)                                                                                       \
    X(access)                                                                                      \
    X(faccessat)                                                                                   \
    X(fchmod)                                                                                      \
    X(rename)                                                                                      \
    X(unlink)                                                                                      \
    X(unlinkat)                                                                                    \
    X(mkdir)                                                                                       \
    X(opendir)                                                                                     \
    X(readdir)                                                                                     \
    X(flock)                                                                                       \
    X(mkostemp)                                                                                    \
    X(realpath)                                                                                    \
    X(mmap)                                                                                        \
    X(posix_madvise)                                                                               \
    X(fopen)                                                                                       \
    X(fdopen)                                                                                      \
    X(sched_getaffinity)                                                                           \
    X(dlopen)                                                                                      \
    X(dlsym)                                                                                       \
    X(dladdr1)

enum class Function {
    none,
#define X(name) name,
    DELTAK_FAULTS_EACH(X)
#undef X
};

const char *name_of(Function function);

/// The at-th call of a function (from 1) fails with `error`; for ever: all later ones, too.
struct Fault {
    Function function = Function::none;
    long at = 0;
    bool for_ever = false;
    int error = 0;
};

void arm(const Fault &fault);
/// Ends it. Returns how many calls were made to fail.
long disarm();

/// What isn't a failure, or becomes one by and by. It holds from one call of set_weather to the next.
struct Weather {
    int interruptions = 0; ///< open, read, write and fsync say EINTR so often before they do it
    unsigned longest = 0;  ///< reads and writes do 1 … longest bytes, at random; 0 = all of them
    int64_t space = -1;    ///< bytes that can still be written; −1 = no end of them
    int full = ENOSPC;     ///< what writes say then
};

void set_weather(const Weather &weather);
/// EINTRs, and reads and writes that were cut short, since set_weather.
struct Effects {
    long interruptions, shortened, refused;
};
Effects effects();

/// What is held now of what went through the wrappers.
struct Held {
    long blocks; ///< of memory
    long maps;   ///< of files
};
Held held();

// --- for the wrappers ---------------------------------------------------------------------------

/// Whether this call is to fail; errno says why.
bool fails(Function function);
/// The weather: whether this call is interrupted; how many of `bytes` are read or written now (0: the
/// disk is full, errno is set).
bool interrupted();
size_t cut(size_t bytes);
size_t cut_to_space(size_t bytes);

/// A stream that is written through the wrapped write, and closed through the wrapped close.
FILE *stream_of(int descriptor);

void *noted(void *block);
void forget(void *block);
void note_map(int more);

} // namespace faults

#endif
