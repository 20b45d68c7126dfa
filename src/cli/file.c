#include "file.h"

#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ----- before the work ----- */

/* What is at path: its mode, 0 where there is nothing. False, with an error line, where the system
 * doesn't say. */
static bool find_mode(const char *path, mode_t *mode) {
    struct stat info;
    const bool found = stat(path, &info) == 0;
    *mode = found ? info.st_mode : 0;
    if (found || errno == ENOENT) return true;
    cli_error("can't write %s: %s", path, strerror(errno));
    return false;
}

static bool can_make(const char *path) {
    struct stat info;
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 1;
    if (strlen(path) >= sizeof directory - 16) {
        cli_error("can't write a file whose path has %zu bytes", strlen(path));
        return false;
    }
    memcpy(directory, slash ? path : ".", length);
    directory[length] = 0;
    if (slash == path) memcpy(directory, "/", sizeof "/");
    if (stat(directory, &info) != 0)
        cli_error("can't write %s: directory %s: %s", path, directory, strerror(errno));
    else if (!S_ISDIR(info.st_mode))
        cli_error("can't write %s: %s isn't a directory", path, directory);
    else if (access(directory, W_OK | X_OK) != 0)
        cli_error("can't write %s: directory %s: %s", path, directory, strerror(errno));
    else
        return true;
    return false;
}

/* A file is replaced by another one in the folder that it lies in, wherever a link to it lies. */
static bool can_replace(const char *path) {
    char resolved[PATH_MAX];
    if (access(path, W_OK) == 0 && realpath(path, resolved)) return can_make(resolved);
    cli_error("can't write %s: %s", path, strerror(errno));
    return false;
}

bool cli_can_write(const char *path) {
    mode_t mode;
    if (!*path) {
        cli_error("an empty text is no path to write to");
        return false;
    }
    if (!find_mode(path, &mode)) return false;
    if (S_ISDIR(mode)) {
        cli_error("can't write %s: it is a directory", path);
        return false;
    }
    if (S_ISREG(mode)) return can_replace(path);
    if (!mode) return can_make(path);
    if (access(path, W_OK) == 0) return true;
    cli_error("can't write %s: %s", path, strerror(errno));
    return false;
}

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether one of a folder's files is the output. */
static bool folder_holds(const char *folder, const struct stat *output) {
    DIR *directory = opendir(folder);
    bool holds = false;
    const struct dirent *entry;
    while (directory && !holds && (entry = readdir(directory))) {
        struct stat file;
        holds = fstatat(dirfd(directory), entry->d_name, &file, 0) == 0 && is_same(&file, output);
    }
    if (directory) closedir(directory);
    return holds;
}

bool cli_keeps(const char *input, const char *output) {
    struct stat in, out;
    if (!input || !output || stat(output, &out) != 0 || !S_ISREG(out.st_mode)) return true;
    if (strcmp(input, "-") == 0) input = "/dev/stdin";
    if (stat(input, &in) != 0) return true;
    if (!is_same(&in, &out) && !(S_ISDIR(in.st_mode) && folder_holds(input, &out))) return true;
    cli_error("%s is read, as %s, and would be overwritten: write to another file", output, input);
    return false;
}

/* ----- behind it ----- */

bool cli_file_open(cli_file *file, const char *path) {
    *file = (cli_file){.path = path};
    mode_t mode;
    if (!cli_can_write(path) || !find_mode(path, &mode)) return false;
    file->direct = mode && !S_ISREG(mode);
    int descriptor = file->direct ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (!file->direct)
        file->stream = open_memstream(&file->content, &file->bytes);
    else if (descriptor >= 0)
        file->stream = fdopen(descriptor, "w");
    if (file->stream) return true;
    cli_error("can't write %s: %s", path, strerror(errno));
    if (descriptor >= 0) close(descriptor);
    return false;
}

/* A signal that came meanwhile would leave the half of a file; it is taken behind it. */
static bool write_content(const cli_file *file) {
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    const dk_status status = dk_file_write(file->path, file->content, file->bytes);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (status) cli_error("%s", dk_error_text());
    return status == DK_OK;
}

bool cli_file_commit(cli_file *file) {
    errno = 0;
    bool written = !ferror(file->stream) && fflush(file->stream) == 0;
    int problem = errno;
    if (fclose(file->stream) != 0 && written) {
        written = false;
        problem = errno;
    }
    file->stream = NULL;
    if (!written)
        cli_error("can't write %s: %s", file->path, problem ? strerror(problem) : "write error");
    else if (!file->direct)
        written = write_content(file);
    free(file->content);
    file->content = NULL;
    return written;
}

void cli_file_abandon(cli_file *file) {
    if (!file->stream) return;
    (void)fclose(file->stream); /* what was written is thrown away */
    file->stream = NULL;
    free(file->content);
    file->content = NULL;
}
