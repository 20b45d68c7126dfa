/* Threads of the library's own. */
#ifndef DKI_THREAD_H
#define DKI_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/** Starts a thread that takes no signals: a program's handlers run on the program's threads, whose
 *  blocking calls they interrupt. False where the system gives no thread. */
bool dki_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

/** Keeps every signal from the calling thread until dki_signals_release; `before` is what was kept from
 *  it until then. */
void dki_signals_hold(sigset_t *before);
void dki_signals_release(const sigset_t *before);

/** write(2), where the signals that would end the process instead of an error's return are an error: SIGXFSZ
 *  of a limit of file size (EFBIG), SIGPIPE of a pipe without a reader (EPIPE). */
ssize_t dki_write(int descriptor, const void *data, size_t bytes);

/** Lets the calling thread have only the processor time that others leave. */
void dki_thread_yield_to_others(void);

#endif
