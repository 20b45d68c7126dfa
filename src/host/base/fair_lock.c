#include "base/fair_lock.h"

void dki_fair_lock_init(dki_fair_lock *lock) {
    *lock = (dki_fair_lock){.reading = 0};
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->to_read, NULL);
    pthread_cond_init(&lock->to_write, NULL);
}

void dki_fair_lock_destroy(dki_fair_lock *lock) {
    pthread_cond_destroy(&lock->to_write);
    pthread_cond_destroy(&lock->to_read);
    pthread_mutex_destroy(&lock->mutex);
}

static bool writers_wait(const dki_fair_lock *lock) {
    return lock->first_writer != lock->writers;
}

/* The writer that leaves counts those that waited as inside, so that none comes in between. */
void dki_fair_lock_read(dki_fair_lock *lock) {
    pthread_mutex_lock(&lock->mutex);
    if (lock->writing || writers_wait(lock)) {
        const uint64_t before = lock->groups;
        ++lock->waiting_readers;
        while (lock->groups == before) pthread_cond_wait(&lock->to_read, &lock->mutex);
    } else {
        ++lock->reading;
    }
    pthread_mutex_unlock(&lock->mutex);
}

void dki_fair_lock_write(dki_fair_lock *lock) {
    pthread_mutex_lock(&lock->mutex);
    const uint64_t number = lock->writers++;
    while (lock->writing || lock->reading > 0 || lock->first_writer != number)
        pthread_cond_wait(&lock->to_write, &lock->mutex);
    ++lock->first_writer;
    lock->writing = true;
    pthread_mutex_unlock(&lock->mutex);
}

static void let_readers_in(dki_fair_lock *lock) {
    lock->reading = lock->waiting_readers;
    lock->waiting_readers = 0;
    ++lock->groups;
    pthread_cond_broadcast(&lock->to_read);
}

/* Readers wait only where a writer is inside or waits, which lets them in when it leaves. */
void dki_fair_unlock(dki_fair_lock *lock) {
    pthread_mutex_lock(&lock->mutex);
    const bool wrote = lock->writing;
    if (wrote)
        lock->writing = false;
    else
        --lock->reading;
    if (wrote && lock->waiting_readers > 0)
        let_readers_in(lock);
    else if (lock->reading == 0 && writers_wait(lock))
        pthread_cond_broadcast(&lock->to_write);
    pthread_mutex_unlock(&lock->mutex);
}
