/* Batches of a data set where the device can read them.
 *
 * On a device with the host's memory they are the loader's own. Elsewhere a set that fits lives on
 * the device, its rows packed, and only the order of an epoch is sent, chunk by chunk; of a larger
 * one the rows themselves are. Two slots take turns: one is filled by the copy lane while steps read
 * the other. The order of the rows is the same in every case. */
#ifndef DKI_FEED_H
#define DKI_FEED_H

#include "data/loader.h"

typedef struct dki_feed dki_feed;

/** One batch, for the gather operation. */
typedef struct dki_fed {
    int64_t rows;      /* 0 = the epoch is over */
    double weight;     /* Σ of its weights, as dki_loaded_weight */
    uint64_t position; /* of its first row: where the cursor must stand */
    int64_t following; /* so many batches of `batch` rows come next, each where this one ends */
    dki_loaded from;   /* device addresses; position 0 is their first row or order[0] */
} dki_fed;

/** `batch` rows at a time. `class_weights` [classes] or NULL, borrowed. DK_E_MEMORY, DK_E_NONFINITE
 *  (a mapped row). */
dk_status dki_feed_create(dki_feed **feed, dk_context *context, const dk_dataset *dataset,
                          int64_t batch, const float *class_weights);
void dki_feed_destroy(dki_feed *feed);

/** As dki_loader_begin. */
dk_status dki_feed_begin(dki_feed *feed, const dki_epoch_start *start);

/** The next batch. It may be read by what is queued on the main lane before the next call. */
dk_status dki_feed_next(dki_feed *feed, dki_fed *batch);

#endif
