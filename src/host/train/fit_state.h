/* Where a dk_trainer_fit stands: all that it must know to go on in another process. */
#ifndef DKI_FIT_STATE_H
#define DKI_FIT_STATE_H

#include "format/hash.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dki_fit_state {
    /* what it was asked for */
    int64_t epochs, early_stop;
    bool restore_best, in_order;
    char train[DKI_HASH_TEXT], valid[DKI_HASH_TEXT]; /* fingerprints; "" = there is none */
    /* how far it is */
    int64_t epoch; /* under way, from 1; epochs + 1 when all are over */
    bool begun;    /* it has its order */
    int64_t rows;  /* of it that were trained on */
    int64_t steps; /* taken in this fit */
    /* what came of it */
    double train_loss, valid_loss;
    double best_loss; /* of the epochs validated; infinity before the first */
    int64_t best_epoch;
    bool stopped_early;
    bool has_best; /* the best epoch's parameters are kept */
    double seconds;
} dki_fit_state;

#endif
