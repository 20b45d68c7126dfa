// The wrappers: __wrap_open takes the place of open, __real_open is open.
#include "faults.h"

#include <jansson.h>
#include <oneapi/dnnl/dnnl.h>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdarg>
#include <cstdlib>

using faults::fails;
using faults::Function;

extern "C" {

// name(parameters) that returns `failure` when it is to fail, and is called with the arguments
// otherwise.
#define WRAP_AS(function, type, name, parameters, arguments, failure)                              \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters {                                                                \
        if (fails(Function::function)) return failure;                                             \
        return __real_##name arguments;                                                            \
    }
#define WRAP(type, name, parameters, arguments, failure)                                           \
    WRAP_AS(name, type, name, parameters, arguments, failure)

// --- memory -------------------------------------------------------------------------------------

int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
    if (fails(Function::posix_memalign)) return ENOMEM;
    const int error = __real_posix_memalign(memory, alignment, bytes);
    if (!error) faults::noted(*memory);
    return error;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
    return fails(Function::malloc) ? nullptr : faults::noted(__real_malloc(bytes));
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes) {
    return fails(Function::calloc) ? nullptr : faults::noted(__real_calloc(count, bytes));
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block) {
    if (block) faults::forget(block);
    __real_free(block);
}

int __wrap_asprintf(char **text, const char *format, ...);
int __wrap_asprintf(char **text, const char *format, ...) {
    if (fails(Function::asprintf)) return -1;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(text, format, arguments);
    va_end(arguments);
    if (length >= 0) faults::noted(*text);
    return length;
}

WRAP(locale_t, newlocale, (int mask, const char *name, locale_t base), (mask, name, base), nullptr)

// --- threads and processors ---------------------------------------------------------------------

WRAP(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument),
     (thread, attributes, run, argument), errno)
WRAP(int, sched_getaffinity, (pid_t process, size_t bytes, cpu_set_t *set), (process, bytes, set),
     -1)

// --- files --------------------------------------------------------------------------------------

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (fails(Function::open) || faults::interrupted()) return -1;
    return __real_open(path, flags, mode);
}

ssize_t __real_read(int descriptor, void *to, size_t bytes);
ssize_t __wrap_read(int descriptor, void *to, size_t bytes);
ssize_t __wrap_read(int descriptor, void *to, size_t bytes) {
    if (fails(Function::read) || faults::interrupted()) return -1;
    return __real_read(descriptor, to, faults::cut(bytes));
}

ssize_t __real_write(int descriptor, const void *from, size_t bytes);
ssize_t __wrap_write(int descriptor, const void *from, size_t bytes);
ssize_t __wrap_write(int descriptor, const void *from, size_t bytes) {
    if (fails(Function::write)) return errno ? -1 : 0; // error 0: nothing was written, and no why
    if (faults::interrupted()) return -1;
    const size_t room = faults::cut_to_space(faults::cut(bytes));
    return bytes && !room ? -1 : __real_write(descriptor, from, room);
}

// The disk isn't asked: a test that has no power cut would spend most of its time there.
int __wrap_fsync(int descriptor);
int __wrap_fsync(int descriptor) {
    (void)descriptor;
    return fails(Function::fsync) || faults::interrupted() ? -1 : 0;
}

// Linux closes the file whatever close says.
int __real_close(int descriptor);
int __wrap_close(int descriptor);
int __wrap_close(int descriptor) {
    const int result = __real_close(descriptor);
    return fails(Function::close) || faults::interrupted() ? -1 : result;
}

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int descriptor, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int descriptor, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int descriptor, off_t offset) {
    if (fails(Function::mmap)) return MAP_FAILED;
    void *map = __real_mmap(at, bytes, protection, flags, descriptor, offset);
    if (map != MAP_FAILED) faults::note_map(1);
    return map;
}

int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes) {
    faults::note_map(-1);
    return __real_munmap(at, bytes);
}

WRAP(int, stat, (const char *path, struct stat *info), (path, info), -1)
WRAP(int, fstat, (int descriptor, struct stat *info), (descriptor, info), -1)
WRAP(int, access, (const char *path, int mode), (path, mode), -1)
WRAP(int, faccessat, (int directory, const char *path, int mode, int flags),
     (directory, path, mode, flags), -1)
WRAP(int, fchmod, (int descriptor, mode_t mode), (descriptor, mode), -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), -1)
WRAP(int, unlink, (const char *path), (path), -1)
WRAP(int, unlinkat, (int directory, const char *path, int flags), (directory, path, flags), -1)
WRAP(DIR *, opendir, (const char *path), (path), nullptr)
WRAP(dirent *, readdir, (DIR * directory), (directory), nullptr)
WRAP(int, flock, (int descriptor, int operation), (descriptor, operation), -1)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
WRAP(int, mkostemp, (char *pattern, int flags), (pattern, flags), -1)
WRAP(char *, realpath, (const char *path, char *resolved), (path, resolved), nullptr)
WRAP(int, posix_madvise, (void *at, size_t bytes, int advice), (at, bytes, advice), errno)

// --- shared libraries ---------------------------------------------------------------------------

WRAP(void *, dlopen, (const char *path, int mode), (path, mode), nullptr)
WRAP(void *, dlsym, (void *library, const char *name), (library, name), nullptr)
WRAP(int, dladdr1, (const void *address, Dl_info *info, void **more, int flags),
     (address, info, more, flags), 0)

WRAP_AS(onednn, dnnl_status_t, dnnl_sgemm,
        (char transa, char transb, dnnl_dim_t m, dnnl_dim_t n, dnnl_dim_t k, float alpha,
         const float *a, dnnl_dim_t lda, const float *b, dnnl_dim_t ldb, float beta, float *c,
         dnnl_dim_t ldc),
        (transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc), dnnl_out_of_memory)
WRAP_AS(onednn, dnnl_status_t, dnnl_engine_create,
        (dnnl_engine_t * engine, dnnl_engine_kind_t kind, size_t index), (engine, kind, index),
        dnnl_out_of_memory)
WRAP_AS(onednn, dnnl_status_t, dnnl_stream_create,
        (dnnl_stream_t * stream, dnnl_engine_t engine, unsigned flags), (stream, engine, flags),
        dnnl_out_of_memory)
WRAP_AS(onednn, dnnl_status_t, dnnl_primitive_create,
        (dnnl_primitive_t * primitive, const_dnnl_primitive_desc_t desc), (primitive, desc),
        dnnl_out_of_memory)
WRAP_AS(onednn, dnnl_status_t, dnnl_primitive_execute,
        (const_dnnl_primitive_t primitive, dnnl_stream_t stream, int count,
         const dnnl_exec_arg_t *arguments),
        (primitive, stream, count, arguments), dnnl_out_of_memory)

} // extern "C"

namespace {

void *json_allocate(size_t bytes) {
    return fails(Function::json_malloc) ? nullptr : faults::noted(__real_malloc(bytes));
}

// Before anything can have been allocated by jansson.
const bool json_is_wrapped = [] {
    json_set_alloc_funcs(json_allocate, __wrap_free);
    return true;
}();

} // namespace
