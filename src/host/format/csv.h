/* CSV: tables of numbers with, where wanted, one column of labels and one of row names.
 *
 * Fields are separated by `,`, `;` or TAB, whichever is the most frequent in the first line; quotes
 * are those of RFC 4180; lines end with LF or CRLF; blank lines and a UTF-8 byte order mark are
 * skipped, but in a table of one column, where an empty line is a missing value. Blanks around an
 * unquoted field are not part of it. Numbers have a decimal point, in every locale. Missing values are
 * written as nothing at all, NA, N/A, null, none, ? or -, in any case.
 *
 * Whether the first row is a header: csv_header.h. Which column is what: csv_columns.h. */
#ifndef DKI_CSV_H
#define DKI_CSV_H

#include "format/file.h"

enum { DKI_CSV_COLUMNS = 1000000, DKI_CSV_LINE_BYTES = 64 << 20 };

typedef enum dki_csv_header {
    DKI_CSV_HEADER_AUTO, /* decide where that is sure, refuse where not */
    DKI_CSV_HEADER_YES,
    DKI_CSV_HEADER_NO
} dki_csv_header;

/** The columns of another table, to find the same ones in this one. */
typedef struct dki_csv_layout {
    int64_t columns;                  /* of the other table; 0 = there is none */
    int64_t features;                 /* how many of them are features */
    const int64_t *positions;         /* [features] their numbers, from 0 */
    int64_t label_position;           /* −1 = none */
    const char *const *names;         /* [features], or NULL: it had no header */
    const char *label_name, *id_name; /* or NULL */
} dki_csv_layout;

typedef struct dki_csv_options {
    const char *label_column; /* NULL or "last", "first", a number from 0, or a header's name */
    bool no_label;            /* no column is the label; label_column is ignored */
    int64_t max_rows;         /* read no more; 0 = all */
    dki_csv_header header;
    const char *ignored;   /* names or numbers of columns to leave out, by commas; or NULL */
    const char *id_column; /* name or number of the column that names the rows; or NULL */
    dki_csv_layout like;
    int64_t first_line; /* the number of the text's first line; 0 = 1 */
} dki_csv_options;

/** What a column is, where it isn't a feature (≥ 0: which). */
enum { DKI_CSV_LABEL = -1, DKI_CSV_ID = -2, DKI_CSV_LEFT_OUT = -3 };

typedef struct dki_csv {
    int64_t rows;         /* the header not counted */
    int64_t columns;      /* of the file */
    int64_t features;     /* columns that are features */
    int64_t label_column; /* −1 = none */
    int64_t id_column;    /* −1 = none */
    int64_t *roles;       /* [columns] the feature that a column is, or DKI_CSV_LABEL … */
    double *values;       /* [rows, features]; finite */
    int64_t *lines;       /* [rows] the line of the file on which each row starts, from 1 */
    char **header;        /* [columns] names as written, or NULL */
    char **labels;        /* [rows] texts as written, UTF-8, or NULL */
    char **ids;           /* [rows] the same of the id column, or NULL */
    double *label_values; /* [rows], or NULL if any label isn't a number */
    char separator;
    char *label_texts, *id_texts, *header_texts; /* what labels, ids and header point into */
} dki_csv;

/** Reads a CSV file (gzip too); `options` NULL = all zero. The caller releases *csv.
 *  DK_E_IO; DK_E_DATA, with file:line and column (ragged row, text among numbers, missing value,
 *  no rows, a number too large, not text at all); DK_E_NONFINITE for a NaN or Inf written out;
 *  DK_E_STATE for a header without rows; DK_E_ARGUMENT for an unknown label column; DK_E_MEMORY. *csv is empty then. */
dk_status dki_csv_read(const dk_allocator *allocator, const char *path,
                       const dki_csv_options *options, dki_csv *csv);

/** The same from text in memory; `name` stands in error texts. */
dk_status dki_csv_parse(const dk_allocator *allocator, const char *name, const char *text,
                        size_t bytes, const dki_csv_options *options, dki_csv *csv);

/** Whether a text is one of the marks of a missing value that stand above. */
bool dki_csv_is_mark(const char *text);

/** Releases and zeroes. */
void dki_csv_release(const dk_allocator *allocator, dki_csv *csv);

#endif
