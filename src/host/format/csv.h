/* CSV: tables of numbers with, where wanted, one column of labels.
 *
 * Fields are separated by `,`, `;` or TAB, whichever is the most frequent in the first line; quotes
 * are those of RFC 4180; lines end with LF or CRLF; blank lines and a UTF-8 byte order mark are
 * skipped; blanks around an unquoted field are not part of it. Numbers have a decimal point, in
 * every locale.
 *
 * The first row is a header if some column other than the label's holds a name there (no number,
 * and no mark of a missing value such as NA) and a number in the second row, or if the label column
 * is asked for by its name. The label's own column says nothing: a text there may be a class. */
#ifndef DKI_CSV_H
#define DKI_CSV_H

#include "format/file.h"

enum { DKI_CSV_COLUMNS = 1000000, DKI_CSV_LINE_BYTES = 64 << 20 };

typedef struct dki_csv_options {
    const char *label_column; /* NULL or "last", "first", a number from 0, or a header's name */
    bool no_label;            /* every column is a feature; label_column is ignored */
    int64_t max_rows;         /* read no more; 0 = all */
} dki_csv_options;

typedef struct dki_csv {
    int64_t rows;         /* the header not counted */
    int64_t columns;      /* of the file */
    int64_t features;     /* columns less the label's */
    int64_t label_column; /* −1 = none */
    double *values;       /* [rows, features]; finite */
    int64_t *lines;       /* [rows] the line of the file on which each row starts, from 1 */
    char **header;        /* [columns] names as written, or NULL */
    char **labels;        /* [rows] texts as written, UTF-8, or NULL */
    double *label_values; /* [rows], or NULL if any label isn't a number */
    bool labels_integer;  /* all are whole numbers below 2^53 in size */
    char separator;
    char *label_texts, *header_texts; /* what labels and header point into */
} dki_csv;

/** Reads a CSV file (gzip too); `options` NULL = all zero. The caller releases *csv.
 *  DK_E_IO; DK_E_DATA, with file:line and column (ragged row, text among numbers, missing value,
 *  no rows, a number too large, not text at all); DK_E_NONFINITE for a NaN or Inf written out;
 *  DK_E_ARGUMENT for an unknown label column; DK_E_MEMORY. *csv is empty then. */
dk_status dki_csv_read(const dk_allocator *allocator, const char *path,
                       const dki_csv_options *options, dki_csv *csv);

/** The same from text in memory; `name` stands in error texts. */
dk_status dki_csv_parse(const dk_allocator *allocator, const char *name, const char *text,
                        size_t bytes, const dki_csv_options *options, dki_csv *csv);

/** Releases and zeroes. */
void dki_csv_release(const dk_allocator *allocator, dki_csv *csv);

#endif
