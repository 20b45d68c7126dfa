/* From a column of labels, as a file has them, to a task, classes and targets. */
#ifndef DKI_LABELS_H
#define DKI_LABELS_H

#include "data/source.h"

/** A column of labels, one a row: numbers, texts, or texts that all are numbers, with these. A class is
 *  named by its text where there are texts. */
typedef struct dki_labels {
    const char *file; /* for error texts */
    int64_t rows;
    const double *numbers;    /* [rows], or NULL */
    const char *const *texts; /* [rows], or NULL */
    bool integer_typed;       /* a label file of an integer type: classes unless said otherwise */
    const char *place;        /* "row" or "line": how the source counts, for error texts */
    const int64_t *places;    /* [rows] its numbers, or NULL: 0, 1, … */
} dki_labels;

/** "FILE: line 12", of label i, in error texts. */
#define DKI_PLACE_FORMAT "%s: %s %lld"
#define DKI_PLACE(labels, i)                                                                       \
    (labels)->file, (labels)->place, (long long)((labels)->places ? (labels)->places[i] : (i))

/** Fills task, labels or targets, and class names of the storage, by the labels and what the
 *  request says. DK_E_DATA, DK_E_SHAPE, DK_E_NONFINITE, DK_E_MEMORY. */
dk_status dki_labels_apply(const dki_request *request, const dki_labels *labels,
                           dki_storage *storage);

/** Regression targets [rows, count] of any type, strided; DK_E_NONFINITE names row and column. */
dk_status dki_targets_apply(const dki_request *request, const char *file, const void *elements,
                            dk_dtype type, int64_t row_stride, int64_t col_stride, int64_t count,
                            dki_storage *storage);

/** DK_E_SHAPE, naming both, where the schema has another number of classes or targets. */
dk_status dki_check_targets(const dki_request *request, const dki_storage *storage);

#endif
