#include "train/checkpoint_folder.h"

#include "base/memory.h"
#include "format/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "checkpoint-"
#define SUFFIX ".safetensors"
enum { DIGITS = 12, NAME_ROOM = 64 };

/* ---- names --------------------------------------------------------------------------------- */

bool dki_checkpoint_step(const char *path, uint64_t *step) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *end = NULL;
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0) return false;
    name += sizeof PREFIX - 1;
    if (strspn(name, "0123456789") < DIGITS) return false;
    errno = 0;
    *step = strtoull(name, &end, 10);
    return errno == 0 && strcmp(end, SUFFIX) == 0;
}

dk_status dki_checkpoint_path(const dk_allocator *allocator, const char *folder, uint64_t step,
                              char **path) {
    const size_t room = strlen(folder) + NAME_ROOM;
    DKI_TRY(dki_new(allocator, path, room, "the name of a checkpoint"));
    snprintf(*path, room, "%s/" PREFIX "%0*llu" SUFFIX, folder, DIGITS, (unsigned long long)step);
    return DK_OK;
}

/* ---- listing ------------------------------------------------------------------------------- */

static int by_step(const void *a, const void *b) {
    const uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

/* Adds what the names say; *error is that of a folder that can't be read to its end. */
static dk_status add_all(const dk_allocator *allocator, DIR *directory, dki_checkpoint_list *list,
                         int *error) {
    size_t capacity = 0;
    for (;;) {
        uint64_t step = 0;
        errno = 0;
        const struct dirent *entry = readdir(directory);
        *error = entry ? 0 : errno;
        if (!entry) return DK_OK;
        if (!dki_checkpoint_step(entry->d_name, &step)) continue;
        DKI_TRY(dki_grow(allocator, (void **)&list->steps, &capacity, list->count + 1, sizeof step,
                         "a list of checkpoints"));
        list->steps[list->count++] = step;
    }
}

dk_status dki_checkpoint_folder_list(const dk_allocator *allocator, const char *folder,
                                     dki_checkpoint_list *list) {
    *list = (dki_checkpoint_list){0};
    DIR *directory = opendir(folder);
    if (!directory) return dki_file_fail(folder, "read", errno);
    int error = 0;
    dk_status status = add_all(allocator, directory, list, &error);
    closedir(directory);
    if (!status && error) status = dki_file_fail(folder, "read", error);
    if (status) {
        dki_release(allocator, list->steps);
        *list = (dki_checkpoint_list){0};
        return status;
    }
    if (list->count) qsort(list->steps, list->count, sizeof *list->steps, by_step);
    return DK_OK;
}

/* ---- a run's own folder -------------------------------------------------------------------- */

/* The folder's name must be on the disk, too: also of one that was made just now, by the user or by a run
 * that was killed. */
static dk_status make_folder(const char *path) {
    char parent[PATH_MAX + 4];
    if (mkdir(path, 0777) != 0 && errno != EEXIST) /* less the umask */
        return dki_file_fail(path, "make", errno);
    if ((size_t)snprintf(parent, sizeof parent, "%s/..", path) >= sizeof parent) return DK_OK;
    return dki_folder_sync(parent, path);
}

/* Two runs in one folder would take each other's checkpoints for their own. Some network file systems
 * have no locks; there it goes without. */
static dk_status lock(dki_checkpoint_folder *folder) {
    folder->lock = dki_file_open(folder->path, O_RDONLY | O_DIRECTORY, 0);
    if (folder->lock < 0) return dki_file_fail(folder->path, "open", errno);
    if (flock(folder->lock, LOCK_EX | LOCK_NB) == 0) return DK_OK;
    if (errno != EWOULDBLOCK) {
        dki_log_line(folder->log, DK_LOG_WARNING,
                     "%s can't be locked (%m): nothing else may save there", folder->path);
        return DK_OK;
    }
    return dki_fail(DK_E_STATE,
                    "%s: another run saves its checkpoints there: choose another folder",
                    folder->path);
}

static bool is_half_written(const char *name) {
    const char *end = strrchr(name, '.');
    return strncmp(name, ".deltak-", 8) == 0 && end && strcmp(end, ".tmp") == 0;
}

/* With the lock held, whoever wrote them is dead. */
static void remove_half_written(const dki_checkpoint_folder *folder) {
    DIR *directory = opendir(folder->path);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (is_half_written(entry->d_name)) unlinkat(folder->lock, entry->d_name, 0);
    if (directory) closedir(directory);
}

dk_status dki_checkpoint_folder_open(dki_checkpoint_folder *folder, const dk_allocator *allocator,
                                     dki_logger *log, const char *path) {
    *folder = (dki_checkpoint_folder){.allocator = allocator, .log = log, .lock = -1};
    dk_status status = dki_copy_text(allocator, path, &folder->path);
    if (!status) status = make_folder(path);
    if (!status) status = lock(folder);
    if (status)
        dki_checkpoint_folder_close(folder);
    else
        remove_half_written(folder);
    return status;
}

void dki_checkpoint_folder_close(dki_checkpoint_folder *folder) {
    if (!folder->allocator) return;
    if (folder->lock >= 0) close(folder->lock);
    dki_release(folder->allocator, folder->path);
    *folder = (dki_checkpoint_folder){0};
}

/* A name that isn't taken: *.old, *.old2, … */
static bool name_aside(const char *path, char aside[PATH_MAX]) {
    for (int n = 1; n < 1000; ++n) {
        char number[8] = "";
        struct stat info;
        if (n > 1) snprintf(number, sizeof number, "%d", n);
        if ((size_t)snprintf(aside, PATH_MAX, "%s.old%s", path, number) >= PATH_MAX) return false;
        if (lstat(aside, &info) != 0) return true;
    }
    return false;
}

static dk_status set_aside(const dki_checkpoint_folder *folder, uint64_t step) {
    char *path = NULL, aside[PATH_MAX];
    DKI_TRY(dki_checkpoint_path(folder->allocator, folder->path, step, &path));
    dk_status status = DK_OK;
    if (!name_aside(path, aside))
        status = dki_file_fail(path, "rename", ENAMETOOLONG);
    else if (rename(path, aside) != 0)
        status = dki_file_fail(path, "rename", errno);
    else
        dki_log_line(folder->log, DK_LOG_WARNING,
                     "%s is of a later step than the run begins at: it is %s now", path, aside);
    dki_release(folder->allocator, path);
    return status;
}

dk_status dki_checkpoint_folder_set_aside(const dki_checkpoint_folder *folder, uint64_t step) {
    dki_checkpoint_list list;
    DKI_TRY(dki_checkpoint_folder_list(folder->allocator, folder->path, &list));
    dk_status status = DK_OK;
    for (size_t i = 0; i < list.count && !status; ++i)
        if (list.steps[i] > step) status = set_aside(folder, list.steps[i]);
    dki_release(folder->allocator, list.steps);
    return status;
}

static void remove_checkpoint(const dki_checkpoint_folder *folder, uint64_t step) {
    char *path = NULL;
    if (dki_checkpoint_path(folder->allocator, folder->path, step, &path)) return;
    if (unlink(path) != 0)
        dki_log_line(folder->log, DK_LOG_WARNING,
                     "%s is no longer needed, but can't be removed: %m", path);
    dki_release(folder->allocator, path);
}

void dki_checkpoint_folder_prune(const dki_checkpoint_folder *folder, size_t keep) {
    dki_checkpoint_list list;
    if (dki_checkpoint_folder_list(folder->allocator, folder->path, &list)) return;
    for (size_t i = 0; i + keep < list.count; ++i) remove_checkpoint(folder, list.steps[i]);
    dki_release(folder->allocator, list.steps);
}
