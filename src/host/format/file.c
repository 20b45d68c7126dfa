#include "format/file.h"

#include "base/memory.h"
#include "format/inflate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *remedy(int error) {
    switch (error) {
    case ENOENT:
        return "check the path";
    case ENOTDIR:
        return "a folder in the path is a file";
    case EISDIR:
        return "name a file in it";
    case EACCES:
    case EPERM:
        return "change its permissions, or those of its folder";
    case EROFS:
        return "choose another place";
    case ENOSPC:
    case EDQUOT:
        return "free some space, or choose another place";
    case EFBIG:
        return "the file system or a limit of the process allows no file of this size";
    case EMFILE:
    case ENFILE:
        return "close files, or raise the limit of open ones";
    default:
        return "try again, or choose another place";
    }
}

dk_status dki_file_fail(const char *path, const char *verb, int error) {
    errno = error; /* for %m, strerror's text without its shared buffer */
    return dki_fail(DK_E_IO, "%s: can't %s it: %m: %s", path, verb, remedy(error));
}

int dki_file_open(const char *path, int flags, mode_t mode) {
    int descriptor;
    do {
        descriptor = open(path, flags | O_CLOEXEC, mode);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

dk_status dki_file_exists(const char *path, bool *exists) {
    struct stat ignored;
    *exists = stat(path, &ignored) == 0;
    return *exists || errno == ENOENT || errno == ENOTDIR ? DK_OK
                                                          : dki_file_fail(path, "read", errno);
}

/* Opens for reading, with more `flags` or 0; *status_of is the file's fstat. */
static dk_status open_to_read(const char *path, int flags, int *descriptor,
                              struct stat *status_of) {
    *descriptor = dki_file_open(path, O_RDONLY | flags, 0);
    if (*descriptor < 0) return dki_file_fail(path, "read", errno);
    int error = fstat(*descriptor, status_of) != 0 ? errno
                : S_ISDIR(status_of->st_mode)      ? EISDIR
                                                   : 0;
    if (!error) return DK_OK;
    close(*descriptor);
    return dki_file_fail(path, "read", error);
}

static ssize_t read_retrying(int descriptor, void *to, size_t bytes) {
    ssize_t got;
    do {
        got = read(descriptor, to, bytes);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* Reads to the end into memory whose last byte stays zero. */
static dk_status read_all(const dk_allocator *allocator, int descriptor, const char *path,
                          size_t expected, size_t limit, dki_file *file) {
    /* Room for a zero byte, and for one byte more, so that the end shows without growing. */
    size_t capacity = 0, used = 0, room = expected + 2;
    for (;;) {
        DKI_TRY(dki_grow(allocator, &file->memory, &capacity, room, 1, path));
        ssize_t got = read_retrying(descriptor, (char *)file->memory + used, capacity - used - 1);
        if (got < 0) return dki_file_fail(path, "read", errno);
        if (got == 0) break;
        used += (size_t)got;
        DKI_REQUIRE(used <= limit, DK_E_DATA, "%s: more than %zu bytes: split it", path, limit);
        if (used + 1 == capacity) room = capacity + 1;
    }
    file->data = file->memory;
    file->bytes = used;
    return DK_OK;
}

dk_status dki_file_read(const dk_allocator *allocator, const char *path, size_t limit,
                        dki_file *file) {
    *file = (dki_file){0};
    dki_file raw = {0};
    int descriptor;
    struct stat status_of;
    DKI_TRY(open_to_read(path, 0, &descriptor, &status_of));
    size_t expected = S_ISREG(status_of.st_mode) ? (size_t)status_of.st_size : 1 << 16;
    dk_status status = DK_OK;
    if (expected > limit)
        status = dki_fail(DK_E_DATA, "%s: it has %zu bytes, at most %zu can be read: split it",
                          path, expected, limit);
    else
        status = read_all(allocator, descriptor, path, expected, limit, &raw);
    close(descriptor);
    if (status == DK_OK && dki_is_gzip(raw.data, raw.bytes))
        status = dki_file_inflate(allocator, path, raw.data, raw.bytes, limit, file);
    else if (status == DK_OK) {
        *file = raw;
        return DK_OK;
    }
    dki_file_release(allocator, &raw);
    return status;
}

dk_status dki_file_map(const char *path, dki_file *file) {
    *file = (dki_file){0};
    int descriptor;
    struct stat status_of;
    /* A pipe is refused below: don't wait here until somebody writes to it. */
    DKI_TRY(open_to_read(path, O_NONBLOCK, &descriptor, &status_of));
    dk_status status = DK_OK;
    if (!S_ISREG(status_of.st_mode))
        status = dki_fail(DK_E_IO, "%s: not a regular file, so it can't be mapped: save it to one",
                          path);
    else if (status_of.st_size == 0)
        file->data = (const unsigned char *)""; /* a map has a byte at least */
    else {
        size_t bytes = (size_t)status_of.st_size;
        void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (map == MAP_FAILED)
            status = dki_file_fail(path, "map", errno);
        else
            *file = (dki_file){.data = map, .bytes = bytes, .map = map};
    }
    close(descriptor);
    return status;
}

void dki_file_release(const dk_allocator *allocator, dki_file *file) {
    if (file->map) munmap(file->map, file->bytes);
    dki_release(allocator, file->memory);
    *file = (dki_file){0};
}

dk_status dki_file_peek(const char *path, unsigned char *head, size_t bytes, size_t *got) {
    enum { PEEKED = 4096 };
    unsigned char raw[PEEKED];
    int descriptor;
    struct stat status_of;
    *got = 0;
    DKI_TRY(open_to_read(path, 0, &descriptor, &status_of));
    size_t count = 0;
    ssize_t more;
    while ((more = read_retrying(descriptor, raw + count, sizeof raw - count)) > 0)
        count += (size_t)more;
    int error = errno;
    close(descriptor);
    if (more < 0) return dki_file_fail(path, "read", error);
    if (dki_is_gzip(raw, count)) return dki_inflate_head(path, raw, count, head, bytes, got);
    *got = count < bytes ? count : bytes;
    memcpy(head, raw, *got);
    return DK_OK;
}
