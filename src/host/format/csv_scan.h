/* Walks over the rows and fields of a CSV text in memory. */
#ifndef DKI_CSV_SCAN_H
#define DKI_CSV_SCAN_H

#include "base/error.h"

typedef struct dki_csv_scan {
    const char *name; /* for error texts */
    const char *at, *end;
    char separator;
    int64_t line;     /* of `at`, from 1 */
    int64_t row_line; /* on which the current row began */
    const char *row_start;
} dki_csv_scan;

/** A field: what stands between the quotes, or the separators less blanks. */
typedef struct dki_csv_field {
    const char *text;
    size_t length;
    bool escaped; /* its quotes are doubled: see dki_csv_field_copy */
} dki_csv_field;

/** Starts before the first row: skips a byte order mark, finds the separator. DK_E_DATA if it holds
 *  a zero byte. */
dk_status dki_csv_scan_start(const char *name, const char *text, size_t bytes, dki_csv_scan *scan);

/** Moves to the next row that isn't blank; false at the end. */
bool dki_csv_next_row(dki_csv_scan *scan);

/** Takes the row's next field; *more tells whether another follows. DK_E_DATA (quotes). */
dk_status dki_csv_next_field(dki_csv_scan *scan, dki_csv_field *field, bool *more);

/** Writes the field and a zero byte, doubled quotes halved, to `to` [length + 1]; returns the
 *  bytes written, the zero byte counted. */
size_t dki_csv_field_copy(const dki_csv_field *field, char *to);

#endif
