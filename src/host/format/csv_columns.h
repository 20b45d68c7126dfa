/* Which columns of a CSV text are features, which is the label, which names the rows. */
#ifndef DKI_CSV_COLUMNS_H
#define DKI_CSV_COLUMNS_H

#include "format/csv.h"

/** The column that is meant by a number from 0, a header's name, or (of a label) "first" and "last".
 *  *by_name: it was found by its name in the first row, whose texts csv->header holds. A name that two
 *  columns have, or none, is DK_E_ARGUMENT. */
dk_status dki_csv_find_column(const char *name, const char *wanted, const dki_csv *csv,
                              int64_t *column, bool *by_name);

/** Sets label_column, and *by_name if the first row must be a header, since it is asked for by a name.
 *  Without a header the label of options->like is where it was there. */
dk_status dki_csv_choose_label(const char *name, const dki_csv_options *options, dki_csv *csv,
                               bool *by_name);

/** Sets roles, features and id_column once it is known whether there is a header. Where both tables
 *  have one, the features are those of options->like, found by their names, in its order, and columns
 *  that it doesn't have are left out. Where one has none, the columns are those in the same places if
 *  there are as many, and else all that aren't the label, an id or ignored, in their order.
 *  DK_E_ARGUMENT; DK_E_DATA: a column is missing. */
dk_status dki_csv_choose_columns(const dk_allocator *allocator, const char *name,
                                 const dki_csv_options *options, dki_csv *csv);

#endif
