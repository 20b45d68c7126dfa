/* Whether the first row of a CSV text names its columns. */
#ifndef DKI_CSV_HEADER_H
#define DKI_CSV_HEADER_H

#include "format/csv.h"
#include "format/csv_number.h"
#include "format/csv_scan.h"

/** The first row is a header for sure if in some column it holds a name (no number, and no mark of a
 *  missing value, for taking that row as a header would lose a row) where the next value is a number; of
 *  the label's column, where a text may be a class, every other value must be one. It is a header, too,
 *  where it has all the names that are looked for.
 *
 *  It isn't sure where the first row counts the columns, 0, 1, … or 1, 2, …, as programs write it whose
 *  columns have no names, and a sample with these values isn't likely: from four columns on, or where the
 *  second row is written with fractions. That is DK_E_DATA, which asks for `header`.
 *
 *  `first` [csv->columns] are the fields of the first row; `second` is a scan at the row behind it, or
 *  NULL if there is none. */
dk_status dki_csv_find_header(const dki_csv_options *options, locale_t locale, const dki_csv *csv,
                              const dki_csv_field *first, const dki_csv_scan *second, bool *header);

#endif
