#include "base/thread.h"

#include <sys/resource.h>
#include <sys/syscall.h>
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

/* On Linux a thread has a nice value of its own. It may always be raised; where not, nothing is lost. */
void dki_thread_yield_to_others(void) {
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
}
