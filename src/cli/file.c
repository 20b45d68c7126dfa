#include "file.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The unfinished file, for those who end the process: exit and signals. */
static char pending[PATH_MAX + 16];
static volatile sig_atomic_t is_pending;

static void remove_pending(void) {
    if (is_pending) unlink(pending);
    is_pending = 0;
}

static void on_signal(int signal_number) {
    remove_pending();
    raise(signal_number); /* SA_RESETHAND: the default action ends the process */
}

static void watch_signals(void) {
    static bool watching;
    if (watching) return;
    watching = true;
    atexit(remove_pending);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) {
        struct sigaction old;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(numbers[i], &action, NULL);
    }
}

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

bool cli_can_write(const char *path) {
    struct stat info;
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
    if (mode && !S_ISREG(mode)) {
        if (access(path, W_OK) == 0) return true;
        cli_error("can't write %s: %s", path, strerror(errno));
        return false;
    }
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

bool cli_file_open(cli_file *file, const char *path) {
    *file = (cli_file){.path = path};
    if (!cli_can_write(path)) return false;
    mode_t mode;
    int descriptor;
    if (!find_mode(path, &mode)) return false;
    if (mode && !S_ISREG(mode)) {
        file->direct = true;
        descriptor = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        snprintf(pending, sizeof pending, "%s.%ld.tmp", path, (long)getpid());
        watch_signals();
        descriptor = open(pending, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        is_pending = descriptor >= 0;
    }
    if (descriptor >= 0) file->stream = fdopen(descriptor, "w");
    if (file->stream) return true;
    cli_error("can't write %s: %s", path, strerror(errno));
    if (descriptor >= 0) close(descriptor);
    remove_pending();
    return false;
}

bool cli_file_commit(cli_file *file) {
    errno = 0;
    bool written = !ferror(file->stream) && fflush(file->stream) == 0;
    if (written && !file->direct) written = fsync(fileno(file->stream)) == 0;
    int problem = errno;
    if (fclose(file->stream) != 0 && written) {
        written = false;
        problem = errno;
    }
    file->stream = NULL;
    if (written && !file->direct) {
        written = rename(pending, file->path) == 0;
        problem = errno;
        if (written) is_pending = 0;
    }
    if (written) return true;
    cli_error("can't write %s: %s", file->path, problem ? strerror(problem) : "write error");
    remove_pending();
    return false;
}

void cli_file_abandon(cli_file *file) {
    if (!file->stream) return;
    (void)fclose(file->stream); /* what was written is thrown away */
    file->stream = NULL;
    remove_pending();
}
