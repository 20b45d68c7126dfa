#include "backend/cpu/pool.h"

#include "base/thread.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

/* How often a helper looks for a new job before it goes to sleep: tens of microseconds. */
enum { LOOKS = 4000, LOOKS_BEFORE_YIELD = 200 };

/* The pieces that a thread takes first: next … end − 1. On a cache line of its own. */
typedef struct {
    _Alignas(64) _Atomic int64_t next;
    int64_t end;
} share;

struct dki_pool {
    const dk_allocator *allocator;
    pthread_t *helpers;
    int helper_count;
    pid_t process;          /* where the helpers live: a fork has none of them */
    pthread_mutex_t caller; /* held by the thread whose job is running */

    /* The job. Written by the caller while it is closed and no helper is inside. */
    dki_piece piece;
    void *job;
    share *shares; /* [helper_count + 1] */
    atomic_bool open;
    atomic_int inside; /* helpers that may be reading the job */
    _Atomic int64_t done;

    atomic_uint generation; /* one more for each job: what helpers wait for */
    atomic_bool ending;
    atomic_int sleepers;
    pthread_mutex_t lock; /* for the condition alone */
    pthread_cond_t wake;
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Takes pieces until there are none left: one's own share first, then what the others haven't begun. */
static void work(dki_pool *pool) {
    const int threads = pool->helper_count + 1, place = dki_pool_place(pool);
    for (int i = 0; i < threads; ++i) {
        share *from = &pool->shares[(place + i) % threads];
        for (;;) {
            const int64_t index = atomic_fetch_add(&from->next, 1);
            if (index >= from->end) break;
            pool->piece(pool->job, index);
            atomic_fetch_add(&pool->done, 1);
        }
    }
}

/* A helper first says that it is inside, then asks whether the job is open; the caller closes it
 * first, then waits for nobody to be inside. So no one reads a job that is being changed. */
static void help(dki_pool *pool) {
    atomic_fetch_add(&pool->inside, 1);
    if (atomic_load(&pool->open)) work(pool);
    atomic_fetch_sub(&pool->inside, 1);
}

static bool something_new(dki_pool *pool, unsigned seen) {
    return atomic_load(&pool->generation) != seen || atomic_load(&pool->ending);
}

static void wait_for_job(dki_pool *pool, unsigned seen) {
    for (int i = 0; i < LOOKS; ++i) {
        if (something_new(pool, seen)) return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!something_new(pool, seen)) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

/* oneDNN asks the calling thread how many threads it may use. */
static void *helper_main(void *argument) {
    dki_pool *pool = argument;
    unsigned seen = 0;
    omp_set_num_threads(1);
    while (!atomic_load(&pool->ending)) {
        wait_for_job(pool, seen);
        seen = atomic_load(&pool->generation);
        help(pool);
    }
    return NULL;
}

static void wake_sleepers(dki_pool *pool) {
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* Looks until the condition holds; whoever is waited for may need this core. */
#define WAIT_UNTIL(condition)                                                                      \
    for (int looks_ = 0; !(condition); ++looks_) {                                                 \
        if (looks_ < LOOKS_BEFORE_YIELD)                                                           \
            relax();                                                                               \
        else                                                                                       \
            sched_yield();                                                                         \
    }

static void share_out(dki_pool *pool, int64_t pieces) {
    const int threads = pool->helper_count + 1;
    for (int i = 0; i < threads; ++i) {
        atomic_store(&pool->shares[i].next, pieces * i / threads);
        pool->shares[i].end = pieces * (i + 1) / threads;
    }
}

static void run_shared(dki_pool *pool, dki_piece piece, void *job, int64_t pieces) {
    pool->piece = piece;
    pool->job = job;
    share_out(pool, pieces);
    atomic_store(&pool->done, 0);
    atomic_store(&pool->open, true);
    atomic_fetch_add(&pool->generation, 1);
    wake_sleepers(pool);
    work(pool);
    WAIT_UNTIL(atomic_load(&pool->done) == pieces)
    atomic_store(&pool->open, false);
    WAIT_UNTIL(atomic_load(&pool->inside) == 0)
}

int dki_pool_place(const dki_pool *pool) {
    for (int i = 0; i < pool->helper_count; ++i)
        if (pthread_equal(pthread_self(), pool->helpers[i])) return i + 1;
    return 0;
}

static bool has_helpers(const dki_pool *pool) {
    return pool->helper_count > 0 && getpid() == pool->process;
}

void dki_pool_run(dki_pool *pool, dki_piece piece, void *job, int64_t pieces) {
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    if (pieces > 1 && has_helpers(pool) && pthread_mutex_trylock(&pool->caller) == 0) {
        run_shared(pool, piece, job, pieces);
        pthread_mutex_unlock(&pool->caller);
    } else {
        for (int64_t index = 0; index < pieces; ++index) piece(job, index);
    }
    omp_set_num_threads(threads);
}

static void end_helpers(dki_pool *pool) {
    atomic_store(&pool->ending, true);
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->helper_count; ++i) pthread_join(pool->helpers[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->caller);
}

dk_status dki_pool_create(dki_pool **pool, const dk_allocator *allocator, int threads) {
    *pool = NULL;
    dki_pool *made = NULL;
    DKI_TRY(dki_new(allocator, &made, 1, "the thread pool"));
    made->allocator = allocator;
    made->process = getpid();
    pthread_mutex_init(&made->caller, NULL);
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->wake, NULL);
    dk_status status = dki_new(allocator, &made->helpers, (size_t)threads, "the thread pool");
    if (!status) status = dki_new(allocator, &made->shares, (size_t)threads, "the thread pool");
    while (!status && made->helper_count < threads - 1) {
        if (!dki_thread_start(&made->helpers[made->helper_count], helper_main, made))
            status =
                dki_fail(DK_E_MEMORY, "the system gives no more than %d threads; ask for fewer",
                         made->helper_count + 1);
        else
            ++made->helper_count;
    }
    if (status)
        dki_pool_destroy(made);
    else
        *pool = made;
    return status;
}

void dki_pool_destroy(dki_pool *pool) {
    if (!pool) return;
    /* In a fork there is nobody to wait for, and whoever held or waited for these never lets go. */
    if (getpid() == pool->process) end_helpers(pool);
    dki_release(pool->allocator, pool->helpers);
    dki_release(pool->allocator, pool->shares);
    dki_release(pool->allocator, pool);
}
