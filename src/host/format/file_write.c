#include "base/memory.h"
#include "base/thread.h"
#include "format/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 1000, NAME_ROOM = 64 };

/* Bytes of `path` up to and with its last slash; 0 where there is none. */
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Creates a new file in the target's folder. Its name doesn't grow with the target's, whose own may
 * be as long as the file system allows. */
static dk_status create_temporary(dki_writer *writer, mode_t mode) {
    size_t folder = folder_length(writer->target);
    DKI_TRY(dki_new(writer->allocator, &writer->temporary, folder + NAME_ROOM, "a file name"));
    memcpy(writer->temporary, writer->target, folder);
    for (int attempt = 0; attempt < TRIES; ++attempt) {
        snprintf(writer->temporary + folder, NAME_ROOM, ".deltak-%ld-%d.tmp", (long)getpid(),
                 attempt);
        writer->descriptor = dki_file_open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (writer->descriptor >= 0) {
            writer->open = true;
            return DK_OK;
        }
        if (errno != EEXIST) break;
    }
    int error = errno;
    /* The name isn't ours, perhaps somebody else's: it must not be removed later. */
    dki_release(writer->allocator, writer->temporary);
    writer->temporary = NULL;
    if (error == EEXIST)
        return dki_fail(DK_E_IO, "%s: its folder is full of .deltak-*.tmp files: remove them",
                        writer->path);
    return dki_file_fail(writer->path, "write", error);
}

/* Opens a device or a pipe: there is nothing to keep whole, and no renaming over it. */
static dk_status open_directly(dki_writer *writer) {
    writer->descriptor = dki_file_open(writer->target, O_WRONLY, 0);
    if (writer->descriptor < 0) return dki_file_fail(writer->path, "write", errno);
    writer->open = true;
    return DK_OK;
}

static dk_status open_target(dki_writer *writer) {
    struct stat old;
    if (stat(writer->target, &old) != 0) {
        if (errno != ENOENT) return dki_file_fail(writer->path, "write", errno);
        size_t length = strlen(writer->target);
        if (length == 0 || writer->target[length - 1] == '/')
            return dki_file_fail(writer->path, "write", length == 0 ? ENOENT : EISDIR);
        return create_temporary(writer, 0666); /* less the umask */
    }
    if (S_ISDIR(old.st_mode)) return dki_file_fail(writer->path, "write", EISDIR);
    if (!S_ISREG(old.st_mode)) return open_directly(writer);
    /* Renaming needs no right to write the old file, but its owner who took that right away meant
     * it to stay. */
    if (faccessat(AT_FDCWD, writer->target, W_OK, AT_EACCESS) != 0)
        return dki_file_fail(writer->path, "write", errno);
    DKI_TRY(create_temporary(writer, 0600));
    if (fchmod(writer->descriptor, old.st_mode & 07777) != 0)
        return dki_file_fail(writer->path, "write", errno);
    return DK_OK;
}

dk_status dki_writer_open(const dk_allocator *allocator, const char *path, dki_writer *writer) {
    *writer = (dki_writer){.allocator = allocator};
    char resolved[PATH_MAX];
    /* A link is followed, so that it stays one; what isn't there yet is written under its name. */
    const char *target = realpath(path, resolved) ? resolved : path;
    if (target == path && errno != ENOENT) return dki_file_fail(path, "write", errno);
    dk_status status = DK_OK;
    DKI_TRY_OUT(dki_copy_text(allocator, path, &writer->path));
    DKI_TRY_OUT(dki_copy_text(allocator, target, &writer->target));
    DKI_TRY_OUT(open_target(writer));
    return DK_OK;
out:
    dki_writer_abandon(writer);
    return status;
}

static bool set_direct(const dki_writer *writer, bool direct) {
    const int flags = fcntl(writer->descriptor, F_GETFL);
    const int wanted = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
    return flags >= 0 && fcntl(writer->descriptor, F_SETFL, wanted) == 0;
}

/* Past the page cache only whole pages may be written: where a write was cut within one, or the file system
 * can't, it is refused, and the rest goes through the cache. */
static dk_status write_all(const dki_writer *writer, const char *at, size_t bytes, bool direct) {
    direct = direct && set_direct(writer, true);
    while (bytes > 0) {
        const ssize_t written = dki_write(writer->descriptor, at, bytes);
        const int error = written < 0 ? errno : EIO;
        const bool refused = direct && written < 0 && error == EINVAL;
        if (refused) direct = !set_direct(writer, false);
        if (written < 0 && (error == EINTR || (refused && !direct))) continue;
        if (written <= 0) return dki_file_fail(writer->path, "write", error);
        at += written;
        bytes -= (size_t)written;
    }
    return !direct || set_direct(writer, false) ? DK_OK
                                                : dki_file_fail(writer->path, "write", errno);
}

/* A checkpoint that fills the page cache drives out of it what training reads, and takes three times as much
 * of the processor's time from it (8 MiB on ext4: 3.6 ms and 0.8). */
static size_t direct_part(const dki_writer *writer, const void *data, size_t bytes) {
    const bool aligned = ((uintptr_t)data | writer->bytes) % DKI_PAGE == 0;
    return writer->temporary && aligned && bytes >= DKI_DIRECT ? bytes - bytes % DKI_PAGE : 0;
}

dk_status dki_writer_put(dki_writer *writer, const void *data, size_t bytes) {
    if (bytes == 0) return DK_OK;
    const size_t direct = direct_part(writer, data, bytes);
    if (direct) DKI_TRY(write_all(writer, data, direct, true));
    DKI_TRY(write_all(writer, (const char *)data + direct, bytes - direct, false));
    writer->bytes += bytes;
    return DK_OK;
}

static int sync_retrying(int descriptor) {
    int result;
    do {
        result = fsync(descriptor);
    } while (result != 0 && errno == EINTR);
    return result;
}

/* Some file systems can't, and a folder may be closed to readers: the file is in place all the same. Any
 * other failure (no descriptor left, a full disk) means that the name may be lost. */
dk_status dki_folder_sync(const char *folder, const char *path) {
    int descriptor = dki_file_open(folder, O_RDONLY | O_DIRECTORY, 0);
    int error = descriptor >= 0 && sync_retrying(descriptor) == 0 ? 0 : errno;
    if (descriptor >= 0) close(descriptor);
    const bool cannot = error == EACCES || error == EINVAL || error == ENOTSUP;
    return error && !cannot ? dki_file_fail(path, "write", error) : DK_OK;
}

/* Makes the new name durable. */
static dk_status sync_folder(const dki_writer *writer) {
    char folder[PATH_MAX] = ".";
    size_t length = folder_length(writer->target);
    if (length >= sizeof folder) return DK_OK;
    if (length > 0) snprintf(folder, sizeof folder, "%.*s", (int)length, writer->target);
    return dki_folder_sync(folder, writer->path);
}

static dk_status finish(dki_writer *writer) {
    int error = 0;
    if (writer->temporary && sync_retrying(writer->descriptor) != 0) error = errno;
    writer->open = false;
    /* An interrupted close has closed the file all the same. */
    if (close(writer->descriptor) != 0 && errno != EINTR && !error) error = errno;
    if (error) return dki_file_fail(writer->path, "write", error);
    if (!writer->temporary) return DK_OK;
    if (rename(writer->temporary, writer->target) != 0)
        return dki_file_fail(writer->path, "write", errno);
    dki_release(writer->allocator, writer->temporary);
    writer->temporary = NULL;
    return sync_folder(writer);
}

dk_status dki_writer_commit(dki_writer *writer) {
    dk_status status = finish(writer);
    dki_writer_abandon(writer);
    return status;
}

void dki_writer_abandon(dki_writer *writer) {
    if (!writer->allocator) return;
    if (writer->open) close(writer->descriptor);
    if (writer->temporary) unlink(writer->temporary);
    dki_release(writer->allocator, writer->temporary);
    dki_release(writer->allocator, writer->target);
    dki_release(writer->allocator, writer->path);
    *writer = (dki_writer){0};
}

dk_status dk_file_write(const char *path, const void *data, size_t bytes) {
    DKI_REQUIRE(path && (data || bytes == 0), DK_E_ARGUMENT, "dk_file_write: a NULL argument");
    return dki_file_write(&dki_libc_allocator, path, data, bytes);
}

dk_status dki_file_write(const dk_allocator *allocator, const char *path, const void *data,
                         size_t bytes) {
    dki_writer writer;
    DKI_TRY(dki_writer_open(allocator, path, &writer));
    dk_status status = dki_writer_put(&writer, data, bytes);
    if (status == DK_OK) return dki_writer_commit(&writer);
    dki_writer_abandon(&writer);
    return status;
}
