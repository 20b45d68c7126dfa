/* Batches of a data set, prepared ahead by a thread of their own.
 *
 * An epoch visits every row once, in the order dki_shuffle(seed, epoch, rows, i), or in the set's
 * order; the order never depends on how the set is stored. The thread fills chunks of several
 * batches ahead: for a set in memory a chunk is only the order of its rows; for a mapped file the
 * rows themselves are copied out of the file, in the file's type. */
#ifndef DKI_LOADER_H
#define DKI_LOADER_H

#include "data/dataset.h"

typedef struct dki_loader dki_loader;

/** The rows of one batch, ready for the gather operation; valid until the next call on the loader.
 */
typedef struct dki_loaded {
    int64_t rows; /* 0 = the epoch is over */
    const void *features;
    dk_dtype type;
    int64_t row_stride, col_stride;
    const int64_t *order; /* [rows] row numbers into the arrays here; NULL = 0, 1, 2, … */
    const int32_t *labels;
    const float *targets;
    const float *weights;
} dki_loaded;

/** `batch` rows at a time. Starts no thread yet. DK_E_MEMORY. */
dk_status dki_loader_create(dki_loader **loader, const dk_dataset *dataset, int64_t batch);
void dki_loader_destroy(dki_loader *loader);

/** Begins an epoch: shuffled by (seed, epoch), or in order. An epoch under way is dropped.
 *  DK_E_MEMORY (no thread). */
dk_status dki_loader_begin(dki_loader *loader, bool shuffle, uint64_t seed, uint64_t epoch);

/** The next batch; waits for the thread where it must. DK_E_NONFINITE (a mapped row; names it). */
dk_status dki_loader_next(dki_loader *loader, dki_loaded *batch);

/** Σ of the weights (class weight of the label × sample weight; 1 where absent) over a batch. */
double dki_loaded_weight(const dki_loaded *batch, const float *class_weights);

#endif
