/* Whole training steps, from the rows to the update: captured once, and played from then on. */
#ifndef DKI_RUN_H
#define DKI_RUN_H

#include "deltak/deltak_cuda.h"
#include "train/gather.h"
#include "train/trainer.h"

/** Announced steps that are alike, on one source of rows. */
typedef struct dki_steps {
    int64_t rows; /* of a step; more than the session's max_batch are taken in micro-batches */
    int64_t steps;
    const dki_loaded *loaded;    /* gathered at the cursor; or */
    const dk_batch *batch;       /* in the host's memory; or */
    const dk_cuda_batch *device; /* in the device's */
} dki_steps;

/** Queues them. The recording at `captured` is used where it is of the same work. A failure leaves
 *  the trainer broken. */
dk_status dki_run_steps(dk_trainer *trainer, const dki_steps *work, dki_captured *captured);

/** One step on a batch of the caller's, from its announcement on. Waits for the loss if it is asked
 *  for, or costs nothing to wait for. */
dk_status dki_run_batch(dk_trainer *trainer, const dki_steps *work, double weight_sum,
                        double *loss);

#endif
