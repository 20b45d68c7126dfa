#include "format/csv_header.h"

#include "format/csv_survey.h"

#include <string.h>

enum { SURELY_A_COUNT = 4 /* columns numbered in order, which no sample has by chance */ };

typedef enum { IS_NUMBER, IS_MISSING, IS_TEXT } kind;

static kind kind_of(const dki_csv_field *field, locale_t locale) {
    double value;
    if (dki_csv_is_missing(field)) return IS_MISSING;
    return dki_csv_number(field->text, field->length, locale, &value) == DKI_NUMBER_TEXT
               ? IS_TEXT
               : IS_NUMBER;
}

/* The field of a column in the row that the scan stands at; the scan moves behind it. */
static dk_status field_at(dki_csv_scan *scan, int64_t column, dki_csv_field *field, bool *found) {
    bool more = true;
    *found = false;
    for (int64_t j = 0; more && j <= column; ++j) {
        DKI_TRY(dki_csv_next_field(scan, field, &more));
        *found = j == column;
    }
    dki_csv_field rest;
    while (more) DKI_TRY(dki_csv_next_field(scan, &rest, &more));
    return DK_OK;
}

/* Whether the first value of the column that isn't missing is a number; of `all`, whether all are. */
static dk_status column_has_numbers(const dki_csv_scan *second, int64_t column, bool all,
                                    locale_t locale, bool *numbers) {
    dki_csv_scan scan = *second;
    *numbers = false;
    do {
        dki_csv_field field;
        bool found = false;
        DKI_TRY(field_at(&scan, column, &field, &found));
        if (!found) continue; /* a ragged row has an error text of its own */
        const kind what = kind_of(&field, locale);
        if (what == IS_MISSING) continue;
        *numbers = what == IS_NUMBER;
        if (!all || !*numbers) return DK_OK;
    } while (dki_csv_next_row(&scan));
    return DK_OK;
}

static bool has_name(const dki_csv *csv, const char *name) {
    for (int64_t j = 0; j < csv->columns; ++j)
        if (strcmp(csv->header[j], name) == 0) return true;
    return false;
}

static bool has_names_looked_for(const dki_csv_options *options, const dki_csv *csv) {
    if (!options->like.names) return false;
    for (int64_t i = 0; i < options->like.features; ++i)
        if (!has_name(csv, options->like.names[i])) return false;
    return true;
}

/* The number that a field of digits alone is, at most a count of columns; −1 where it is something else. */
static int64_t count_in(const dki_csv_field *field) {
    int64_t value = 0;
    for (size_t i = 0; i < field->length; ++i) {
        if (field->text[i] < '0' || field->text[i] > '9' || value > DKI_CSV_COLUMNS) return -1;
        value = value * 10 + (field->text[i] - '0');
    }
    return field->length ? value : -1;
}

/* Whether the first row is 0, 1, … or 1, 2, …, the label's column aside, where a name may stand. */
static bool counts_columns(const dki_csv *csv, const dki_csv_field *first) {
    int64_t counted = 0;
    const int64_t from = count_in(&first[0]);
    if (from > 1) return false;
    for (int64_t j = 0; j < csv->columns; ++j) {
        const int64_t value = count_in(&first[j]);
        if (value < 0 && j == csv->label_column) continue;
        if (value < 0 || value != from + j) return false;
        ++counted;
    }
    return counted >= 2;
}

/* Whether some column counted as a whole number goes on with a fraction, or there are many. */
static dk_status is_doubtful(const dki_csv *csv, const dki_csv_field *first, locale_t locale,
                             const dki_csv_scan *second, bool *doubtful) {
    *doubtful = counts_columns(csv, first);
    if (!*doubtful || csv->columns >= SURELY_A_COUNT) return DK_OK;
    dki_csv_scan scan = *second;
    bool more = true;
    *doubtful = false;
    while (more) {
        dki_csv_field field;
        DKI_TRY(dki_csv_next_field(&scan, &field, &more));
        if (kind_of(&field, locale) == IS_NUMBER && memchr(field.text, '.', field.length))
            *doubtful = true;
    }
    return DK_OK;
}

/* Whether no field of the first line is a number, the label's aside, and one at least is a text: no row is
 * like that, so that whatever comes below, the line names the columns. */
static bool has_no_numbers(const dki_csv *csv, const dki_csv_field *first, locale_t locale) {
    bool text = false;
    for (int64_t j = 0; j < csv->columns; ++j) {
        const kind what = kind_of(&first[j], locale);
        if (what == IS_NUMBER && j != csv->label_column) return false;
        text = text || (what == IS_TEXT && j != csv->label_column);
    }
    return text;
}

dk_status dki_csv_find_header(const dki_csv_options *options, locale_t locale, const dki_csv *csv,
                              const dki_csv_field *first, const dki_csv_scan *second,
                              bool *header) {
    *header = options->header == DKI_CSV_HEADER_YES || has_names_looked_for(options, csv);
    if (options->header != DKI_CSV_HEADER_AUTO || *header || !second) return DK_OK;
    *header = has_no_numbers(csv, first, locale);
    for (int64_t j = 0; j < csv->columns && !*header; ++j)
        if (kind_of(&first[j], locale) == IS_TEXT)
            DKI_TRY(column_has_numbers(second, j, j == csv->label_column, locale, header));
    if (*header) return DK_OK;
    bool doubtful = false;
    DKI_TRY(is_doubtful(csv, first, locale, second, &doubtful));
    DKI_REQUIRE(!doubtful, DK_E_DATA,
                "%s: its first line counts the columns, \"%.*s\", \"%.*s\", …: a header without "
                "names, or a row? Say which: --header yes or --header no (dk_data_options.header)",
                second->name, (int)first[0].length, first[0].text, (int)first[1].length,
                first[1].text);
    return DK_OK;
}
