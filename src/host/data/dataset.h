/* A data set: shared immutable storage, and the rows of it that belong to the set. */
#ifndef DKI_DATASET_H
#define DKI_DATASET_H

#include "format/hash.h"
#include "model/columns.h"
#include "model/context.h"

#include <math.h>

/** What the rows are stored as; shared by all the sets split from one. */
typedef struct dki_storage {
    int references; /* atomic */
    dk_context *context;
    char *name; /* the source as given, for error texts */

    int64_t rows, features_count;
    const void *features; /* element (i, j) at i·row_stride + j·col_stride */
    dk_dtype type;
    int64_t row_stride, col_stride; /* in elements */
    bool mapped; /* features lie in a file: rows are staged, and checked for NaN as they are read */
    int64_t image_rows, image_cols;

    dk_task task;
    int32_t *labels;      /* [rows], classification; else NULL */
    double *targets;      /* [rows, target_count], regression; else NULL */
    float *weights;       /* [rows] or NULL */
    int64_t target_count; /* classes, target columns, or 0 */
    char **class_names;   /* [target_count] or NULL */
    dki_columns columns;  /* of the table that it was read from */
    char **ids;           /* [rows] names of the rows, or NULL */
    char *id_texts;       /* what they point into */
    char **notes;         /* [note_count] what was made of the source, and what is doubtful */
    size_t note_count, note_capacity;

    void *owned;                                         /* what holds the features … */
    void (*release_owned)(const dk_allocator *, void *); /* … and how to let go; NULL = borrowed */
} dki_storage;

struct dk_dataset {
    int references; /* atomic */
    dki_storage *storage;
    int64_t rows;
    int64_t *subset; /* [rows] row numbers in the storage, ascending; NULL = all of them */
};

dk_dataset *dki_dataset_hold(const dk_dataset *dataset);

/** The storage's row of the set's row i. */
static inline int64_t dki_dataset_row(const dk_dataset *dataset, int64_t i) {
    return dataset->subset ? dataset->subset[i] : i;
}

/** What a later source must match: task, widths, class names in order. */
typedef struct dki_schema {
    dk_task task;
    int64_t features;
    int64_t targets;
    const char *const *class_names; /* [targets] or NULL */
    const dki_columns *columns;     /* or NULL */
} dki_schema;

/** Whether a spread σ around the mean is what rounding makes of one number, as of 0.1 + 0.2 and 0.3: two
 *  steps from a number to the next at most. `step` is the largest, relative to the number; a float's is
 *  FLT_EPSILON. */
static inline bool dki_is_rounding(double sigma, double mean, double step) {
    return sigma <= 2 * step * fabs(mean);
}

/** Mean and population standard deviation (0 → 1) of each feature column and, for regression, each
 *  target column, in double, over the set's rows; feature arrays [features], target arrays
 *  [target_count] or NULL. DK_E_NONFINITE names row and column. */
dk_status dki_dataset_statistics(const dk_dataset *dataset, double *feature_mean,
                                 double *feature_sigma, double *target_mean, double *target_sigma);

/** A hash of the shape, every label, target and weight, and the features of 1024 rows (all, where there
 *  are fewer). DK_E_MEMORY. data/fingerprint.c */
dk_status dki_dataset_fingerprint(const dk_dataset *dataset, char text[DKI_HASH_TEXT]);

/** Whether a labelled set has the widths, the task and the classes of a network; a text otherwise.
 *  DK_E_SHAPE, DK_E_STATE. data/create_for.c */
dk_status dki_dataset_fits(const dk_dataset *dataset, const dk_net *net);

#endif
