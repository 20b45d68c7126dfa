/* The CPU backend's threads: the caller and threads − 1 helpers share the pieces of one job.
 *
 * Not an OpenMP team, for one reason: at the end of an OpenMP region every thread must arrive, also
 * one that the system hasn't given a core. Here the caller waits only for pieces that somebody has
 * begun, and does all others itself. On an idle machine the two are equally fast; beside other work
 * a step of MNIST's network was several times slower with the team, whose threads burn their share
 * of the cores waiting for each other.
 *
 * Each thread begins with the same part of a job's pieces every time, so that what it wrote in one step
 * is in its own cache in the next (where two cores share none, a step of MNIST's network with AdamW
 * took 1.55 times its products like this, and 1.8 times them with pieces taken in turn); what others
 * haven't begun by then it takes from them.
 *
 * Helpers wait for the next job awake for a short while (the operations of a step follow each other
 * closely), then asleep. */
#ifndef DKI_POOL_H
#define DKI_POOL_H

#include "base/memory.h"

typedef struct dki_pool dki_pool;

/** One piece of a job, 0 … pieces − 1; pieces run in any order, on any thread. */
typedef void (*dki_piece)(void *job, int64_t index);

/** Starts threads − 1 helpers. DK_E_MEMORY (the system gives no more threads). */
dk_status dki_pool_create(dki_pool **pool, const dk_allocator *allocator, int threads);

/** Ends the helpers. NULL does nothing. */
void dki_pool_destroy(dki_pool *pool);

/** Which of the pool's threads calls: 1 … threads − 1 for a helper, 0 for any other. */
int dki_pool_place(const dki_pool *pool);

/** Runs every piece and returns when all are done. While another thread's job is running, the
 *  caller does its own alone, and so does a forked process, which has no helpers. Inside a piece
 *  oneDNN runs on its thread alone. */
void dki_pool_run(dki_pool *pool, dki_piece piece, void *job, int64_t pieces);

#endif
