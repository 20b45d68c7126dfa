#include "base/thread.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* pthread_sigmask fails only if it is asked for something else. */
void dki_signals_hold(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

void dki_signals_release(const sigset_t *before) {
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* A thread inherits the mask of the one that starts it: blocked first, it never has a moment in
 * which a signal could reach it. */
bool dki_thread_start(pthread_t *thread, void *(*run)(void *), void *argument) {
    sigset_t before;
    dki_signals_hold(&before);
    bool started = pthread_create(thread, NULL, run, argument) == 0;
    dki_signals_release(&before);
    return started;
}

/* Takes back what a write raised. A signal of its kind that was pending before isn't ours: the two are one. */
static void discard(const sigset_t *raised, const sigset_t *pending) {
    static const int kinds[] = {SIGXFSZ, SIGPIPE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, kinds[i]);
        const struct timespec at_once = {0, 0};
        if (sigismember(raised, kinds[i]) == 1 && sigismember(pending, kinds[i]) == 0)
            while (sigtimedwait(&one, NULL, &at_once) < 0 && errno == EINTR) {
            }
    }
}

ssize_t dki_write(int descriptor, const void *data, size_t bytes) {
    sigset_t held, before, pending;
    sigemptyset(&held);
    sigaddset(&held, SIGXFSZ);
    sigaddset(&held, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    const ssize_t written = write(descriptor, data, bytes);
    const int error = errno;
    if (written < 0 && (error == EFBIG || error == EPIPE)) discard(&held, &pending);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

/* On Linux a thread has a nice value of its own. It may always be raised; where not, nothing is lost. */
void dki_thread_yield_to_others(void) {
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
}
