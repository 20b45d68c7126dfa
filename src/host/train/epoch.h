/* Passes over a data set through a session: training steps, evaluation. */
#ifndef DKI_EPOCH_H
#define DKI_EPOCH_H

#include "train/trainer.h"

/** Gathers rows first … first+rows−1 of a loaded batch into a session's input and staging;
 * `targets` tells where they lie. */
dk_status dki_gather_batch(dk_session *session, const dki_loaded *loaded, int64_t first,
                           int64_t rows, dki_targets *targets);

/** One training step on a loaded batch, in micro-batches. */
dk_status dki_train_loaded(dk_trainer *trainer, const dki_loaded *loaded);

#endif
