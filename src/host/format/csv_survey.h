/* What stands in front of a CSV text's rows: columns, header, label column. */
#ifndef DKI_CSV_SURVEY_H
#define DKI_CSV_SURVEY_H

#include "format/csv.h"
#include "format/csv_number.h"
#include "format/csv_scan.h"

/** Sets columns, their roles, features, label_column and header of *csv, which is released by the caller on
 *  failure too; *scan moves to the first row of data. DK_E_ARGUMENT, DK_E_DATA, DK_E_MEMORY. */
dk_status dki_csv_survey(const dk_allocator *allocator, const dki_csv_options *options,
                         locale_t locale, dki_csv_scan *scan, dki_csv *csv);

/** Whether the field is one of the usual marks of a missing value: NA, N/A, null, none, ?, -, or
 *  nothing at all. */
bool dki_csv_is_missing(const dki_csv_field *field);

/** DK_E_DATA where blank lines were skipped, in a table of one column, between `line` and the row that
 *  the scan stands at. */
dk_status dki_csv_check_blank(const dki_csv_scan *scan, int64_t columns, int64_t line);

#endif
