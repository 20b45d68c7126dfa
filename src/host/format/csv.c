#include "format/csv.h"

#include "base/memory.h"
#include "format/csv_number.h"
#include "format/csv_scan.h"
#include "format/csv_survey.h"
#include "format/utf8.h"

#include <math.h>
#include <string.h>

/* A column of texts as it grows: where each begins among the bytes of all. */
typedef struct {
    size_t *starts; /* [rows] */
    char *bytes;
    size_t used, capacity;
} texts;

typedef struct {
    const dk_allocator *allocator;
    locale_t locale;
    dki_csv_scan scan;
    dki_csv *csv;
    int64_t most_rows;
    texts labels, ids;
    bool text_label;     /* some label isn't a number, and no mark of a missing value */
    int64_t bad_label;   /* line of the first that is a number but not a finite double; 0 = none */
    dki_number bad_kind; /* what it is */
    int64_t missing_label; /* line of the first that is missing; 0 = none */
} reader;

/* Bytes of a field that an error text shows: some forty, whole characters only. */
static int shown(const dki_csv_field *field) {
    enum { SHOWN = 40 };
    if (field->length <= SHOWN) return (int)field->length;
    int length = SHOWN;
    while (length > 0 && ((unsigned char)field->text[length] & 0xc0) == 0x80) --length;
    return length;
}

/* "file:line: column 3 ("width")", columns from 0, in front of what is wrong there. */
static dk_status fail_at(const reader *it, int64_t column, dk_status status, const char *what,
                         const dki_csv_field *field) {
    const char *name = it->csv->header ? it->csv->header[column] : "";
    const char *quote = it->csv->header ? "\"" : "";
    const char *place = it->csv->header ? "" : "from 0";
    return dki_fail(status, "%s:%lld: column %lld (%s%s%.40s%s): \"%.*s\" %s", it->scan.name,
                    (long long)it->scan.row_line, (long long)column, place, quote, name, quote,
                    shown(field), field->text, what);
}

static dk_status fail_number(const reader *it, int64_t column, dki_number kind,
                             const dki_csv_field *field) {
    if (kind == DKI_NUMBER_NONFINITE)
        return fail_at(it, column, DK_E_NONFINITE,
                       "is not a finite number: leave the row out, or put a number in", field);
    if (kind == DKI_NUMBER_TOO_LARGE)
        return fail_at(it, column, DK_E_DATA, "is beyond the range of a double", field);
    if (dki_csv_is_missing(field))
        return fail_at(it, column, DK_E_DATA,
                       "is a missing value: leave the row out, or put a number in", field);
    if (memchr(field->text, ',', field->length))
        return fail_at(it, column, DK_E_DATA,
                       "is not a number: write decimal points, not decimal commas", field);
    if (it->csv->label_column < 0)
        return fail_at(it, column, DK_E_DATA,
                       "is not a number: features alone are read here, drop the label column; "
                       "columns are separated by , ; or TAB",
                       field);
    return fail_at(it, column, DK_E_DATA,
                   "is not a number: only the label may be a text; columns are separated by , ; or "
                   "TAB",
                   field);
}

static dk_status take_text(reader *it, texts *column, int64_t row, int64_t number,
                           const dki_csv_field *field) {
    DKI_TRY(dki_grow(it->allocator, (void **)&column->bytes, &column->capacity,
                     column->used + field->length + 1, 1, "a table's texts"));
    char *text = column->bytes + column->used;
    column->starts[row] = column->used;
    column->used += dki_csv_field_copy(field, text);
    if (!dki_is_utf8(text))
        return fail_at(it, number, DK_E_DATA, "isn't UTF-8: convert the file (iconv -t UTF-8)",
                       field);
    return DK_OK;
}

static dk_status take_label(reader *it, int64_t row, const dki_csv_field *field) {
    dki_csv *csv = it->csv;
    if (field->length == 0)
        return fail_at(it, csv->label_column, DK_E_DATA,
                       "is a missing label: leave the row out, or put one in", field);
    double value = NAN;
    dki_number kind = dki_csv_number(field->text, field->length, it->locale, &value);
    if (dki_csv_is_missing(field)) {
        if (!it->missing_label) it->missing_label = it->scan.row_line;
    } else if (kind == DKI_NUMBER_TEXT) {
        it->text_label = true;
    } else if (kind != DKI_NUMBER_FINITE && !it->bad_label) {
        it->bad_label = it->scan.row_line;
        it->bad_kind = kind;
    }
    csv->label_values[row] = value;
    return take_text(it, &it->labels, row, csv->label_column, field);
}

static dk_status take_feature(reader *it, int64_t row, int64_t column, const dki_csv_field *field) {
    double *value = it->csv->values + row * it->csv->features + it->csv->roles[column];
    dki_number kind = dki_csv_number(field->text, field->length, it->locale, value);
    return kind == DKI_NUMBER_FINITE ? DK_OK : fail_number(it, column, kind, field);
}

static dk_status take_field(reader *it, int64_t row, int64_t column, const dki_csv_field *field) {
    switch (it->csv->roles[column]) {
    case DKI_CSV_LABEL:
        return take_label(it, row, field);
    case DKI_CSV_ID:
        return take_text(it, &it->ids, row, column, field);
    case DKI_CSV_LEFT_OUT:
        return DK_OK;
    default:
        return take_feature(it, row, column, field);
    }
}

static dk_status take_row(reader *it, int64_t row) {
    dki_csv *csv = it->csv;
    int64_t column = 0;
    bool more = true;
    csv->lines[row] = it->scan.row_line;
    for (; more; ++column) {
        dki_csv_field field;
        DKI_TRY(dki_csv_next_field(&it->scan, &field, &more));
        if (column < csv->columns) /* others are counted for the error text */
            DKI_TRY(take_field(it, row, column, &field));
    }
    DKI_REQUIRE(column == csv->columns, DK_E_DATA,
                "%s:%lld: found %lld fields, expected %lld as in the first line", it->scan.name,
                (long long)it->scan.row_line, (long long)column, (long long)csv->columns);
    return DK_OK;
}

/* An upper bound of the rows that begin in the rest of the text, the one whose reading fails
 * included: as many as lines, and after each good one 2 bytes a column, a field's and its end's,
 * are gone. Close for every honest file, it keeps a dishonest one from asking for much. */
static int64_t bound_rows(const dki_csv_scan *scan, int64_t columns, int64_t asked) {
    int64_t bytes = scan->end - scan->at, lines = 1;
    for (const char *at = scan->at; (at = memchr(at, '\n', (size_t)(scan->end - at))); ++at)
        ++lines;
    int64_t rows = bytes / (2 * columns) + 1;
    if (lines < rows) rows = lines;
    return asked > 0 && asked < rows ? asked : rows;
}

static dk_status allocate(reader *it) {
    dki_csv *csv = it->csv;
    size_t rows = (size_t)it->most_rows, values = 0;
    DKI_REQUIRE(dki_mul(rows, (size_t)csv->features, &values), DK_E_MEMORY, "%s: too large",
                it->scan.name);
    DKI_TRY(dki_new(it->allocator, &csv->values, values, "the values of a table"));
    DKI_TRY(dki_new(it->allocator, &csv->lines, rows, "the line numbers of a table"));
    if (csv->id_column >= 0)
        DKI_TRY(dki_new(it->allocator, &it->ids.starts, rows, "the names of a table's rows"));
    if (csv->label_column < 0) return DK_OK;
    DKI_TRY(dki_new(it->allocator, &csv->label_values, rows, "the labels of a table"));
    return dki_new(it->allocator, &it->labels.starts, rows, "the labels of a table");
}

/* Hands the bytes over, and the texts in them. */
static dk_status finish_texts(reader *it, texts *column, char **bytes, char ***list) {
    DKI_TRY(dki_new(it->allocator, list, (size_t)it->csv->rows, "a table's texts"));
    *bytes = column->bytes;
    column->bytes = NULL;
    for (int64_t i = 0; i < it->csv->rows; ++i) (*list)[i] = *bytes + column->starts[i];
    return DK_OK;
}

/* Among numbers a mark of a missing value is one; among texts it may be the name of a class. */
static dk_status check_missing(const reader *it) {
    if (!it->missing_label || it->text_label) return DK_OK;
    return dki_fail(DK_E_DATA,
                    "%s:%lld: the label is a mark of a missing value, among numbers: leave the row "
                    "out, or put one in",
                    it->scan.name, (long long)it->missing_label);
}

/* Decides whether the labels are numbers. */
static dk_status finish_labels(reader *it) {
    dki_csv *csv = it->csv;
    if (csv->label_column < 0) return DK_OK;
    DKI_TRY(check_missing(it));
    if (it->bad_label && !it->text_label)
        return dki_fail(it->bad_kind == DKI_NUMBER_NONFINITE ? DK_E_NONFINITE : DK_E_DATA,
                        "%s:%lld: the label is %s: leave the row out, or put a number in",
                        it->scan.name, (long long)it->bad_label,
                        it->bad_kind == DKI_NUMBER_NONFINITE ? "not a finite number"
                                                             : "beyond the range of a double");
    DKI_TRY(finish_texts(it, &it->labels, &csv->label_texts, &csv->labels));
    if (it->text_label) {
        dki_release(it->allocator, csv->label_values);
        csv->label_values = NULL;
    }
    return DK_OK;
}

static dk_status read_table(reader *it, const dki_csv_options *options) {
    dki_csv *csv = it->csv;
    DKI_TRY(dki_csv_survey(it->allocator, options, it->locale, &it->scan, csv));
    it->most_rows = bound_rows(&it->scan, csv->columns, options->max_rows);
    DKI_TRY(allocate(it));
    /* The row that the survey stopped at is current already. */
    for (bool more = true; more;) {
        DKI_TRY(take_row(it, csv->rows));
        ++csv->rows;
        if (options->max_rows > 0 && csv->rows == options->max_rows) break;
        const int64_t line = it->scan.line;
        more = dki_csv_next_row(&it->scan);
        if (more) DKI_TRY(dki_csv_check_blank(&it->scan, csv->columns, line));
    }
    if (csv->id_column >= 0) DKI_TRY(finish_texts(it, &it->ids, &csv->id_texts, &csv->ids));
    return finish_labels(it);
}

dk_status dki_csv_parse(const dk_allocator *allocator, const char *name, const char *text,
                        size_t bytes, const dki_csv_options *options, dki_csv *csv) {
    static const dki_csv_options defaults = {0};
    reader it = {.allocator = allocator, .csv = csv};
    dk_status status = DK_OK;
    *csv = (dki_csv){0};
    it.locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    DKI_REQUIRE(it.locale, DK_E_MEMORY, "%s: out of memory: a locale can't be made", name);
    DKI_TRY_OUT(dki_csv_scan_start(name, text, bytes, &it.scan));
    if (options && options->first_line > 0) it.scan.line = options->first_line;
    DKI_TRY_OUT(read_table(&it, options ? options : &defaults));
out:
    dki_release(allocator, it.labels.starts);
    dki_release(allocator, it.labels.bytes);
    dki_release(allocator, it.ids.starts);
    dki_release(allocator, it.ids.bytes);
    freelocale(it.locale);
    if (status != DK_OK) dki_csv_release(allocator, csv);
    return status;
}

dk_status dki_csv_read(const dk_allocator *allocator, const char *path,
                       const dki_csv_options *options, dki_csv *csv) {
    dki_file file;
    *csv = (dki_csv){0};
    DKI_TRY(dki_file_read(allocator, path, DKI_FILE_LIMIT, &file));
    dk_status status =
        dki_csv_parse(allocator, path, (const char *)file.data, file.bytes, options, csv);
    dki_file_release(allocator, &file);
    return status;
}

void dki_csv_release(const dk_allocator *allocator, dki_csv *csv) {
    dki_release(allocator, csv->values);
    dki_release(allocator, csv->lines);
    dki_release(allocator, csv->labels);
    dki_release(allocator, csv->label_values);
    dki_release(allocator, csv->label_texts);
    dki_release(allocator, csv->ids);
    dki_release(allocator, csv->id_texts);
    dki_release(allocator, csv->roles);
    dki_release(allocator, csv->header);
    dki_release(allocator, csv->header_texts);
    *csv = (dki_csv){0};
}
