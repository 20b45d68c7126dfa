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

/** What a chunk holds beside the order of its rows. */
typedef enum dki_loading {
    DKI_LOAD_IN_PLACE, /* rows of a mapped file; those in memory are read where they lie */
    DKI_LOAD_COPIES,   /* rows, wherever they lie */
    DKI_LOAD_ORDER     /* nothing */
} dki_loading;

/** Some batches' rows. Copies are dense, [rows, …], in the set's types; NULL where there are none. */
typedef struct dki_chunk {
    int64_t rows;
    int64_t *order; /* row numbers in the storage; DKI_LOAD_ORDER: in the set */
    void *features;
    int32_t *labels;
    double *targets;
    float *weights;
} dki_chunk;

/** The rows of one batch, ready for the gather operation; valid until the next call on the loader.
 */
typedef struct dki_loaded {
    int64_t rows; /* 0 = the epoch is over */
    const void *features;
    dk_dtype type;
    int64_t row_stride, col_stride;
    const int64_t *order; /* [rows] row numbers into the arrays here; NULL = 0, 1, 2, … */
    const int32_t *labels;
    const double *targets;
    const float *weights;
} dki_loaded;

/** `batch` rows at a time. Starts no thread yet. DK_E_MEMORY. */
dk_status dki_loader_create(dki_loader **loader, const dk_dataset *dataset, int64_t batch,
                            dki_loading loading);
void dki_loader_destroy(dki_loader *loader);

/** An epoch's order, and where in it to begin. */
typedef struct dki_epoch_start {
    bool shuffle; /* by (seed, epoch); otherwise in order */
    uint64_t seed, epoch;
    int64_t row; /* the first one's place in the order; the rows before it are left out */
} dki_epoch_start;

/** Begins an epoch; NULL: in order, from the first row. One under way is dropped.
 *  DK_E_MEMORY (no thread). */
dk_status dki_loader_begin(dki_loader *loader, const dki_epoch_start *start);

/** The next batch; waits for the thread where it must. DK_E_NONFINITE (a mapped row; names it). */
dk_status dki_loader_next(dki_loader *loader, dki_loaded *batch);

/** In place of single batches: the next chunk, NULL at the end of the epoch. It holds whole batches, at
 *  most dki_loader_chunk_rows() rows, and is valid until the next call. */
dk_status dki_loader_next_chunk(dki_loader *loader, const dki_chunk **chunk);
int64_t dki_loader_chunk_rows(const dki_loader *loader);

/** The weight of a row: sample weight × class weight of its label; 1 for what is absent (NULL). */
static inline double dki_row_weight(const float *weights, const int32_t *labels,
                                    const float *class_weights, int64_t row) {
    double weight = weights ? (double)weights[row] : 1.0;
    return labels && class_weights ? weight * (double)class_weights[labels[row]] : weight;
}

/** Σ of the rows' weights over a batch. */
double dki_loaded_weight(const dki_loaded *batch, const float *class_weights);

#endif
