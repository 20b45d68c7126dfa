/* A lock for many readers or one writer under which nobody starves. */
#ifndef DKI_FAIR_LOCK_H
#define DKI_FAIR_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** Readers and writers take turns (a "phase-fair" lock; Brandenburg and Anderson, "Spin-based
 *  reader-writer synchronization for multiprocessor real-time systems", 2010). A reader that comes while
 *  a writer waits stands behind that writer, and all readers that wait when a writer leaves go in
 *  together, before the next writer. So a reader waits for one writer at most, after the readers
 *  inside; a writer waits for the readers inside, and then, for each writer ahead of it, that writer and
 *  one more group of readers. Writers keep the order in which they came.
 *
 *  A thread that holds the lock must not take it again, not for reading either: a writer between the two
 *  would wait for the first, and the second for the writer. pthread_rwlock_t prefers readers, under which
 *  a writer may never come in while several threads read in loops. */
typedef struct dki_fair_lock {
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t to_read, to_write;
    int reading;         /* readers inside */
    int waiting_readers; /* that the next writer to leave lets in */
    bool writing;
    uint64_t groups;                /* of readers let in by a writer: what they wait for */
    uint64_t first_writer, writers; /* the number of the first that waits; numbers given so far */
} dki_fair_lock;

void dki_fair_lock_init(dki_fair_lock *lock);
void dki_fair_lock_destroy(dki_fair_lock *lock);
void dki_fair_lock_read(dki_fair_lock *lock);
void dki_fair_lock_write(dki_fair_lock *lock);
/** Of the calling thread's own turn, whichever it is. */
void dki_fair_unlock(dki_fair_lock *lock);

#endif
