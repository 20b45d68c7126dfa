/* The plans on disk. */
#include "backend/cuda/plan_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole file. Its bytes are the machine's own, and so is the cache. */
typedef struct {
    char magic[8]; /* with the version of this layout, and of what the answers mean */
    dki_plan_device device;
    dki_plan_key key;
    dki_plan_entry entry;
    uint64_t checksum; /* of all bytes above */
} plan_file;

_Static_assert(sizeof(dki_plan_key) == sizeof(dki_product) + sizeof(int64_t) &&
                   sizeof(dki_product) == 9 * sizeof(int64_t) + 8 * sizeof(int32_t) &&
                   sizeof(dki_plan_device) == 152 && sizeof(dki_plan_entry) == 80 &&
                   sizeof(plan_file) ==
                       16 + sizeof(dki_plan_device) + sizeof(dki_plan_key) + sizeof(dki_plan_entry),
               "compared as bytes, so without padding");

static const char file_magic[8] = "dkplan3";

enum { FILE_NAME = 64, PATH_ROOM = DKI_PLAN_CACHE_PATH + FILE_NAME };

/* $XDG_CACHE_HOME must be absolute to count, says the XDG base directory specification. */
static void choose_folder(char *folder, size_t size) {
    const char *cache = secure_getenv("XDG_CACHE_HOME"), *home = secure_getenv("HOME");
    int length = 0;
    if (cache && cache[0] == '/')
        length = snprintf(folder, size, "%s/deltak", cache);
    else if (home && home[0] == '/')
        length = snprintf(folder, size, "%s/.cache/deltak", home);
    if (length <= 0 || (size_t)length >= size) folder[0] = '\0';
}

void dki_plan_cache_open(dki_plan_cache *cache, dki_logger *log, const dki_gpu_facts *facts) {
    memset(cache, 0, sizeof *cache);
    cache->log = log;
    cache->device.major = facts->major;
    cache->device.minor = facts->minor;
    cache->device.processors = facts->processors;
    cache->device.library_version = facts->library_version;
    memcpy(cache->device.name, facts->name, strnlen(facts->name, sizeof cache->device.name - 1));
    choose_folder(cache->folder, sizeof cache->folder);
}

static void file_path(const dki_plan_cache *cache, const dki_plan_key *key, char *path) {
    uint64_t hash = dki_hash(DKI_HASH_START, &cache->device, sizeof cache->device);
    hash = dki_hash(hash, key, sizeof *key);
    snprintf(path, PATH_ROOM, "%s/%016llx.plan", cache->folder, (unsigned long long)hash);
}

static plan_file make_file(const dki_plan_cache *cache, const dki_plan_key *key,
                           const dki_plan_entry *entry) {
    plan_file file;
    memset(&file, 0, sizeof file);
    memcpy(file.magic, file_magic, sizeof file.magic);
    file.device = cache->device;
    file.key = *key;
    file.entry = *entry;
    file.checksum = dki_hash(DKI_HASH_START, &file, offsetof(plan_file, checksum));
    return file;
}

/* Reads up to `bytes`; fewer at the end of the file; −1 on failure. */
static ssize_t read_all(int descriptor, char *to, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = read(descriptor, to + done, bytes - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static bool write_all(int descriptor, const char *from, size_t bytes) {
    while (bytes) {
        ssize_t put = write(descriptor, from, bytes);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        from += put;
        bytes -= (size_t)put;
    }
    return true;
}

/* What is read goes to the library of products as it is, and anybody can compute its checksum: a file
 * counts if nobody but this user, and root, can have written it. */
static bool is_ours(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
           (status.st_uid == geteuid() || status.st_uid == 0) &&
           !(status.st_mode & (S_IWGRP | S_IWOTH));
}

bool dki_plan_cache_load(const dki_plan_cache *cache, const dki_plan_key *key,
                         dki_plan_entry *entry) {
    if (!cache->folder[0]) return false;
    char path[PATH_ROOM];
    file_path(cache, key, path);
    /* Without O_NONBLOCK a pipe of that name would wait for a writer. */
    int descriptor;
    do {
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) {
        if (errno != ENOENT)
            dki_log_line(cache->log, DK_LOG_DEBUG, "plan cache: %s can't be read: %m", path);
        return false;
    }
    char bytes[sizeof(plan_file) + 1]; /* one more, to see that nothing follows */
    ssize_t got = is_ours(descriptor) ? read_all(descriptor, bytes, sizeof bytes) : -1;
    close(descriptor);
    plan_file file;
    bool good = got == (ssize_t)sizeof file;
    if (good) {
        memcpy(&file, bytes, sizeof file);
        plan_file expected = make_file(cache, key, &file.entry);
        good = memcmp(&file, &expected, sizeof file) == 0;
    }
    if (good)
        *entry = file.entry;
    else
        dki_log_line(cache->log, DK_LOG_DEBUG,
                     "plan cache: %s is damaged, another's, or others may write it; ignored", path);
    return good;
}

/* Makes the folder and those above it that are missing. Whether that worked shows when the file is
 * made. */
static void make_folder(const char *folder) {
    char path[DKI_PLAN_CACHE_PATH];
    size_t length = strlen(folder);
    memcpy(path, folder, length + 1);
    for (size_t i = 1; i <= length; ++i) {
        if (path[i] != '/' && path[i] != '\0') continue;
        path[i] = '\0';
        (void)mkdir(path, 0700);
        path[i] = folder[i];
    }
}

/* A file of its own, then renamed: the old one or the new one is seen, nothing in between. */
static bool store_file(const dki_plan_cache *cache, const char *path, const plan_file *file) {
    char temporary[PATH_ROOM];
    snprintf(temporary, sizeof temporary, "%s/.new-XXXXXX", cache->folder);
    int descriptor = mkostemp(temporary, O_CLOEXEC);
    if (descriptor < 0) return false;
    bool good = write_all(descriptor, (const char *)file, sizeof *file);
    int error = errno;
    /* An interrupted close has closed the file all the same. */
    if (close(descriptor) != 0 && errno != EINTR && good) {
        good = false;
        error = errno;
    }
    if (good && rename(temporary, path) != 0) {
        good = false;
        error = errno;
    }
    if (!good) unlink(temporary);
    errno = error;
    return good;
}

void dki_plan_cache_store(const dki_plan_cache *cache, const dki_plan_key *key,
                          const dki_plan_entry *entry) {
    if (!cache->folder[0]) return;
    char path[PATH_ROOM];
    file_path(cache, key, path);
    plan_file file = make_file(cache, key, entry);
    make_folder(cache->folder);
    if (!store_file(cache, path, &file))
        dki_log_line(cache->log, DK_LOG_DEBUG, "plan cache: %s can't be written: %m", path);
}
