#include "format/csv_survey.h"

#include "base/memory.h"
#include "base/names.h"
#include "format/utf8.h"

#include <string.h>
#include <strings.h>

bool dki_csv_is_missing(const dki_csv_field *field) {
    static const char *const marks[] = {"", "na", "n/a", "null", "none", "?", "-"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; ++i)
        if (strlen(marks[i]) == field->length &&
            strncasecmp(marks[i], field->text, field->length) == 0)
            return true;
    return false;
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

static dk_status find_name(const char *name, const char *label, dki_csv *csv) {
    for (int64_t j = 0; j < csv->columns; ++j)
        if (strcmp(csv->header[j], label) == 0) {
            csv->label_column = j;
            return DK_OK;
        }
    const char *nearest =
        dki_nearest(label, strlen(label), (const char *const *)csv->header, (size_t)csv->columns);
    if (nearest)
        return dki_fail(DK_E_ARGUMENT, "%s: no column is named \"%s\": did you mean \"%s\"?", name,
                        label, nearest);
    return dki_fail(DK_E_ARGUMENT,
                    "%s: no column is named \"%s\" in its first line: give a number from 0 to "
                    "%lld, first or last",
                    name, label, (long long)csv->columns - 1);
}

/* Sets label_column; *by_name if it was found by its name in the first row. */
static dk_status choose_label(const char *name, const dki_csv_options *options, dki_csv *csv,
                              bool *by_name) {
    const char *label = options->label_column ? options->label_column : "last";
    *by_name = false;
    csv->label_column = -1;
    csv->features = csv->columns;
    if (options->no_label) return DK_OK;
    DKI_REQUIRE(csv->columns > 1, DK_E_DATA,
                "%s: one column only, and it would be the label: separate columns by , ; or TAB",
                name);
    csv->features = csv->columns - 1;
    csv->label_column = csv->columns - 1;
    if (strcmp(label, "last") == 0) return DK_OK;
    if (strcmp(label, "first") == 0) {
        csv->label_column = 0;
        return DK_OK;
    }
    size_t digits = strspn(label, "0123456789");
    *by_name = digits == 0 || label[digits] != 0;
    if (*by_name) return find_name(name, label, csv);
    int64_t number = 0;
    for (size_t i = 0; i < digits && number < csv->columns; ++i)
        number = number * 10 + (label[i] - '0');
    DKI_REQUIRE(number < csv->columns, DK_E_ARGUMENT,
                "%s: there is no column %s: they are numbered 0 to %lld", name, label,
                (long long)csv->columns - 1);
    csv->label_column = number;
    return DK_OK;
}

/* The rule that csv.h states. A mark of a missing value is no name: taking its row for a header
 * would lose a row without a word. */
static bool is_header(const dki_csv_field *first, const dki_csv_field *second, int64_t both,
                      int64_t label_column, locale_t locale) {
    for (int64_t j = 0; j < both; ++j)
        if (j != label_column && !is_number(&first[j], locale) && !dki_csv_is_missing(&first[j]) &&
            is_number(&second[j], locale))
            return true;
    return false;
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

dk_status dki_csv_survey(const dk_allocator *allocator, const dki_csv_options *options,
                         locale_t locale, dki_csv_scan *scan, dki_csv *csv) {
    dki_csv_field *first = NULL, *second = NULL;
    size_t first_count = 0, second_count = 0;
    bool by_name = false, header = false;
    dk_status status = DK_OK;
    DKI_REQUIRE(dki_csv_next_row(scan), DK_E_DATA, "%s: there are no rows in it", scan->name);
    const dki_csv_scan at_first = *scan;
    csv->separator = scan->separator;
    DKI_TRY_OUT(take_row(allocator, scan, &first, &first_count));
    csv->columns = (int64_t)first_count;
    DKI_TRY_OUT(copy_names(allocator, first, csv));
    DKI_TRY_OUT(choose_label(scan->name, options, csv, &by_name));
    bool alone = !dki_csv_next_row(scan);
    const dki_csv_scan at_second = *scan;
    if (!alone) {
        DKI_TRY_OUT(take_row(allocator, scan, &second, &second_count));
        size_t both = first_count < second_count ? first_count : second_count;
        header = by_name || is_header(first, second, (int64_t)both, csv->label_column, locale);
    } else if (by_name || !has_number(first, csv->columns, locale)) {
        status = dki_fail(DK_E_DATA, "%s: no rows follow its header", scan->name);
        goto out;
    }
    *scan = header ? at_second : at_first;
    if (header)
        status = check_names(&at_first, csv);
    else
        drop_names(allocator, csv);
out:
    dki_release(allocator, first);
    dki_release(allocator, second);
    return status;
}
