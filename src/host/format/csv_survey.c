#include "format/csv_survey.h"

#include "base/memory.h"
#include "format/csv_columns.h"
#include "format/csv_header.h"
#include "format/utf8.h"

#include <string.h>
#include <strings.h>

static bool is_mark(const char *text, size_t length) {
    static const char *const marks[] = {"", "na", "n/a", "null", "none", "?", "-"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; ++i)
        if (strlen(marks[i]) == length && strncasecmp(marks[i], text, length) == 0) return true;
    return false;
}

bool dki_csv_is_missing(const dki_csv_field *field) {
    return is_mark(field->text, field->length);
}

bool dki_csv_is_mark(const char *text) {
    return is_mark(text, strlen(text));
}

static bool is_number(const dki_csv_field *field, locale_t locale) {
    double value;
    return dki_csv_number(field->text, field->length, locale, &value) != DKI_NUMBER_TEXT;
}

/* All fields of the current row. */
static dk_status take_row(const dk_allocator *allocator, dki_csv_scan *scan, dki_csv_field **fields,
                          size_t *count) {
    size_t capacity = 0;
    bool more = true;
    *count = 0;
    while (more) {
        DKI_REQUIRE(*count < DKI_CSV_COLUMNS, DK_E_DATA,
                    "%s:%lld: more than %d columns: the separators understood are , ; and TAB",
                    scan->name, (long long)scan->row_line, (int)DKI_CSV_COLUMNS);
        DKI_TRY(dki_grow(allocator, (void **)fields, &capacity, *count + 1, sizeof **fields,
                         "the fields of a row"));
        DKI_TRY(dki_csv_next_field(scan, &(*fields)[(*count)++], &more));
    }
    return DK_OK;
}

/* Copies the first row's texts, as names of the columns if they turn out to be that. */
static dk_status copy_names(const dk_allocator *allocator, const dki_csv_field *fields,
                            dki_csv *csv) {
    size_t bytes = 0, used = 0;
    for (int64_t j = 0; j < csv->columns; ++j) bytes += fields[j].length + 1;
    DKI_TRY(dki_new(allocator, &csv->header_texts, bytes, "the header of a table"));
    DKI_TRY(dki_new(allocator, &csv->header, (size_t)csv->columns, "the header of a table"));
    for (int64_t j = 0; j < csv->columns; ++j) {
        csv->header[j] = csv->header_texts + used;
        used += dki_csv_field_copy(&fields[j], csv->header_texts + used);
    }
    return DK_OK;
}

static void drop_names(const dk_allocator *allocator, dki_csv *csv) {
    dki_release(allocator, csv->header);
    dki_release(allocator, csv->header_texts);
    csv->header = NULL;
    csv->header_texts = NULL;
}

static bool has_number(const dki_csv_field *fields, int64_t count, locale_t locale) {
    for (int64_t j = 0; j < count; ++j)
        if (is_number(&fields[j], locale)) return true;
    return false;
}

static dk_status check_names(const dki_csv_scan *scan, const dki_csv *csv) {
    for (int64_t j = 0; j < csv->columns; ++j)
        DKI_REQUIRE(dki_is_utf8(csv->header[j]), DK_E_DATA,
                    "%s:%lld: the name of column %lld isn't UTF-8: convert the file (iconv -t "
                    "UTF-8)",
                    scan->name, (long long)scan->row_line, (long long)j);
    return DK_OK;
}

/* An empty line between the rows of one column is a row without a value. */
dk_status dki_csv_check_blank(const dki_csv_scan *scan, int64_t columns, int64_t line) {
    DKI_REQUIRE(columns > 1 || scan->row_line == line, DK_E_DATA,
                "%s:%lld: an empty line, in a table of one column a missing value: put one in, or "
                "take the line out",
                scan->name, (long long)line);
    return DK_OK;
}

/* What the first row is: *scan stands behind it, and then at the first row of data. */
static dk_status decide_header(const dki_csv_options *options, locale_t locale,
                               const dki_csv_field *first, const dki_csv_scan *at_first,
                               dki_csv_scan *scan, dki_csv *csv, bool *header) {
    bool by_name = false;
    DKI_TRY(dki_csv_choose_label(scan->name, options, csv, &by_name));
    const int64_t line = scan->line;
    const bool alone = !dki_csv_next_row(scan);
    if (!alone) DKI_TRY(dki_csv_check_blank(scan, csv->columns, line));
    DKI_REQUIRE(
        !by_name || options->header != DKI_CSV_HEADER_NO, DK_E_ARGUMENT,
        "%s: the label column is asked for by a name, and the file is said to have no header",
        scan->name);
    DKI_TRY(dki_csv_find_header(options, locale, csv, first, alone ? NULL : scan, header));
    *header = *header || by_name;
    const bool nothing_else = *header || !has_number(first, csv->columns, locale);
    DKI_REQUIRE(!alone || !nothing_else || options->header == DKI_CSV_HEADER_NO, DK_E_STATE,
                "%s: no rows follow its header", scan->name);
    if (!*header) *scan = *at_first;
    return DK_OK;
}

dk_status dki_csv_survey(const dk_allocator *allocator, const dki_csv_options *options,
                         locale_t locale, dki_csv_scan *scan, dki_csv *csv) {
    dki_csv_field *first = NULL;
    size_t count = 0;
    bool header = false, by_name = false;
    dk_status status = DK_OK;
    DKI_REQUIRE(dki_csv_next_row(scan), DK_E_DATA, "%s: there are no rows in it", scan->name);
    const dki_csv_scan at_first = *scan;
    csv->separator = scan->separator;
    DKI_TRY_OUT(take_row(allocator, scan, &first, &count));
    csv->columns = (int64_t)count;
    DKI_TRY_OUT(copy_names(allocator, first, csv));
    DKI_TRY_OUT(decide_header(options, locale, first, &at_first, scan, csv, &header));
    if (header)
        DKI_TRY_OUT(check_names(&at_first, csv));
    else
        drop_names(allocator, csv);
    DKI_TRY_OUT(dki_csv_choose_label(scan->name, options, csv, &by_name));
    status = dki_csv_choose_columns(allocator, scan->name, options, csv);
out:
    dki_release(allocator, first);
    return status;
}
