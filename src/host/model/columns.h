/* The columns of the table that a data set, or a network's training set, was read from. */
#ifndef DKI_COLUMNS_H
#define DKI_COLUMNS_H

#include "base/memory.h"

/** All zero: no table, or nothing is known of it. */
typedef struct dki_columns {
    int64_t source;             /* columns of the table; 0 = there is none */
    int64_t features;           /* how many of them are features */
    int64_t *positions;         /* [features] their numbers in the table, from 0 */
    int64_t label;              /* the label's number; −1 = none */
    char **names;               /* [features] by the header, or NULL: there was none */
    char *label_name, *id_name; /* or NULL */
} dki_columns;

/** `to` is empty on failure: DK_E_MEMORY. */
dk_status dki_columns_copy(const dk_allocator *allocator, const dki_columns *from, dki_columns *to);
/** Releases and zeroes. */
void dki_columns_release(const dk_allocator *allocator, dki_columns *columns);

#endif
