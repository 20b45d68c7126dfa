/* Files as bytes: read whole (gzip too), mapped, written so that the old file stays whole until the
 * new one is. Every error names the path. */
#ifndef DKI_FILE_H
#define DKI_FILE_H

#include "base/error.h"

#include <sys/types.h>

/** More bytes than this are refused when a file is read whole or inflated: 64 GiB. */
#define DKI_FILE_LIMIT ((size_t)1 << 36)

/** DK_E_IO: "path: can't <verb> it: <strerror>: <remedy>". */
dk_status dki_file_fail(const char *path, const char *verb, int error);

/** open with O_CLOEXEC, again as long as a signal interrupts it. */
int dki_file_open(const char *path, int flags, mode_t mode);

/** Whether there is a file (or anything else) of that name. DK_E_IO: the system doesn't say. */
dk_status dki_file_exists(const char *path, bool *exists);

/** The bytes of a file. All zero is a valid empty one. */
typedef struct dki_file {
    const unsigned char *data; /* [bytes] */
    size_t bytes;
    void *memory; /* from dki_alloc, or NULL */
    void *map;    /* from mmap, or NULL */
} dki_file;

/** Reads a whole file, inflating it if it starts as gzip does. A zero byte follows the last one.
 *  `limit` bounds the bytes, inflated ones too. Pipes and devices are read to their end.
 *  DK_E_IO, DK_E_DATA (gzip damaged or cut short, over the limit), DK_E_MEMORY. */
dk_status dki_file_read(const dk_allocator *allocator, const char *path, size_t limit,
                        dki_file *file);

/** The same from `bytes` in memory, gzip or not; `name` stands in error texts. */
dk_status dki_file_inflate(const dk_allocator *allocator, const char *name, const void *data,
                           size_t bytes, size_t limit, dki_file *file);

/** Maps a regular file, read-only. DK_E_IO. */
dk_status dki_file_map(const char *path, dki_file *file);

/** Releases either and zeroes it. */
void dki_file_release(const dk_allocator *allocator, dki_file *file);

/** The first bytes of a file, inflated if it is gzip: *got of them, fewer than `bytes` where the
 *  file ends or the gzip is damaged. DK_E_IO, DK_E_MEMORY. */
dk_status dki_file_peek(const char *path, unsigned char *head, size_t bytes, size_t *got);

/** A file being written. All zero is a valid closed one. */
typedef struct dki_writer {
    const dk_allocator *allocator;
    int descriptor;
    bool open;
    char *path;      /* as the caller gave it */
    char *target;    /* where it lies, links followed; what `temporary` is renamed to */
    char *temporary; /* beside it; NULL where the path isn't a regular file (a device, a pipe) */
    uint64_t bytes;  /* so far */
} dki_writer;

/** Opens a temporary file beside `path`, or `path` itself where it is a device or a pipe.
 *  DK_E_IO, DK_E_MEMORY; the writer is closed then. */
dk_status dki_writer_open(const dk_allocator *allocator, const char *path, dki_writer *writer);

/** So many bytes at once, from a page in memory to a page of the file, go past the page cache. */
enum { DKI_DIRECT = 1 << 20, DKI_PAGE = 4096 };

/** Appends. DK_E_IO (a full disk); the writer must be closed by dki_writer_abandon then. */
dk_status dki_writer_put(dki_writer *writer, const void *data, size_t bytes);

/** Makes the bytes durable and gives them their name; closes the writer, on failure as
 *  dki_writer_abandon does. DK_E_IO. */
dk_status dki_writer_commit(dki_writer *writer);

/** Closes the writer and removes the temporary file; a closed writer is left alone. */
void dki_writer_abandon(dki_writer *writer);

/** Brings a folder's names to the disk; `path` is the one that is meant. DK_E_IO. */
dk_status dki_folder_sync(const char *folder, const char *path);

/** Writes `bytes` as the whole new content of `path`: open, put, commit. */
dk_status dki_file_write(const dk_allocator *allocator, const char *path, const void *data,
                         size_t bytes);

#endif
