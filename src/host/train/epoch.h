/* Training on a feed, batch after batch. */
#ifndef DKI_EPOCH_H
#define DKI_EPOCH_H

#include "train/run.h"

/** What dki_train_next did. */
typedef struct dki_trained {
    int64_t steps; /* 0 = the epoch is over */
    int64_t rows;
} dki_trained;

/** Queues the next training step of a feed; where a device takes longer to be told than to do it, the
 *  next few at once. */
dk_status dki_train_next(dk_trainer *trainer, dki_feed *feed, dki_trained *trained);

/** Queues one training step on a batch. */
dk_status dki_train_fed(dk_trainer *trainer, const dki_fed *batch);

#endif
