#include "format/csv_columns.h"

#include "base/memory.h"
#include "base/names.h"

#include <string.h>

/* ----- one column by name or number ----- */

static dk_status fail_unknown(const char *name, const char *wanted, const dki_csv *csv) {
    const char *nearest =
        dki_nearest(wanted, strlen(wanted), (const char *const *)csv->header, (size_t)csv->columns);
    if (nearest)
        return dki_fail(DK_E_ARGUMENT, "%s: no column is named \"%s\": did you mean \"%s\"?", name,
                        wanted, nearest);
    return dki_fail(DK_E_ARGUMENT,
                    "%s: no column is named \"%s\" in its first line: give a number from 0 to "
                    "%lld, first or last",
                    name, wanted, (long long)csv->columns - 1);
}

/* −1 where no column has the name. */
static dk_status find_name(const char *name, const char *wanted, const dki_csv *csv,
                           int64_t *column) {
    *column = -1;
    for (int64_t j = 0; j < csv->columns; ++j) {
        if (strcmp(csv->header[j], wanted) != 0) continue;
        DKI_REQUIRE(*column < 0, DK_E_ARGUMENT,
                    "%s: columns %lld and %lld (from 0) are both named \"%s\": give the number of "
                    "the one that is meant, or rename one",
                    name, (long long)*column, (long long)j, wanted);
        *column = j;
    }
    return DK_OK;
}

dk_status dki_csv_find_column(const char *name, const char *wanted, const dki_csv *csv,
                              int64_t *column, bool *by_name) {
    const size_t digits = strspn(wanted, "0123456789");
    *by_name = digits == 0 || wanted[digits] != 0;
    if (*by_name) {
        DKI_REQUIRE(csv->header, DK_E_ARGUMENT,
                    "%s: it has no header with a column named \"%s\": give its number, from 0 to "
                    "%lld",
                    name, wanted, (long long)csv->columns - 1);
        DKI_TRY(find_name(name, wanted, csv, column));
        return *column < 0 ? fail_unknown(name, wanted, csv) : DK_OK;
    }
    int64_t number = 0;
    for (size_t i = 0; i < digits && number < csv->columns; ++i)
        number = number * 10 + (wanted[i] - '0');
    DKI_REQUIRE(number < csv->columns, DK_E_ARGUMENT,
                "%s: there is no column %s: they are numbered 0 to %lld", name, wanted,
                (long long)csv->columns - 1);
    *column = number;
    return DK_OK;
}

/* ----- the label ----- */

dk_status dki_csv_choose_label(const char *name, const dki_csv_options *options, dki_csv *csv,
                               bool *by_name) {
    const dki_csv_layout *like = &options->like;
    const char *label = options->label_column;
    *by_name = false;
    csv->label_column = -1;
    if (options->no_label) return DK_OK;
    DKI_REQUIRE(csv->columns > 1, DK_E_DATA,
                "%s: one column only, and it would be the label: separate columns by , ; or TAB",
                name);
    csv->label_column = csv->columns - 1;
    if (label && strcmp(label, "last") == 0) return DK_OK;
    if (label && strcmp(label, "first") == 0) {
        csv->label_column = 0;
        return DK_OK;
    }
    if (label) return dki_csv_find_column(name, label, csv, &csv->label_column, by_name);
    if (like->columns == 0) return DK_OK;
    int64_t named = -1;
    if (like->label_name && csv->header) DKI_TRY(find_name(name, like->label_name, csv, &named));
    if (named >= 0)
        csv->label_column = named;
    else if (like->columns == csv->columns && like->label_position >= 0)
        csv->label_column = like->label_position;
    return DK_OK;
}

/* ----- all of them ----- */

static dk_status ignore(const dk_allocator *allocator, const char *name, const char *list,
                        dki_csv *csv) {
    for (const char *at = list; *at;) {
        const size_t length = strcspn(at, ",");
        char *one = NULL;
        int64_t column = 0;
        bool by_name = false;
        DKI_TRY(dki_new(allocator, &one, length + 1, "the name of a column"));
        memcpy(one, at, length);
        dk_status status = dki_csv_find_column(name, one, csv, &column, &by_name);
        dki_release(allocator, one);
        if (status) return status;
        DKI_REQUIRE(
            csv->roles[column] != DKI_CSV_LABEL && csv->roles[column] != DKI_CSV_ID, DK_E_ARGUMENT,
            "%s: column %lld is the %s, and to be ignored, too: leave it out of one of them", name,
            (long long)column, csv->roles[column] == DKI_CSV_LABEL ? "label" : "id");
        csv->roles[column] = DKI_CSV_LEFT_OUT;
        at += length + (at[length] == ',');
    }
    return DK_OK;
}

static dk_status choose_id(const char *name, const dki_csv_options *options, dki_csv *csv) {
    csv->id_column = -1;
    bool by_name = false;
    if (options->id_column)
        DKI_TRY(dki_csv_find_column(name, options->id_column, csv, &csv->id_column, &by_name));
    else if (options->like.id_name && csv->header)
        DKI_TRY(find_name(name, options->like.id_name, csv, &csv->id_column));
    if (csv->id_column < 0) return DK_OK;
    DKI_REQUIRE(csv->id_column != csv->label_column, DK_E_ARGUMENT,
                "%s: column %lld is the label, and can't name the rows, too", name,
                (long long)csv->id_column);
    csv->roles[csv->id_column] = DKI_CSV_ID;
    return DK_OK;
}

/* Every column that isn't something else, in the order of the file. */
static void take_in_order(dki_csv *csv) {
    csv->features = 0;
    for (int64_t j = 0; j < csv->columns; ++j)
        if (csv->roles[j] >= 0) csv->roles[j] = csv->features++;
}

static void leave_out_all(dki_csv *csv) {
    for (int64_t j = 0; j < csv->columns; ++j)
        if (csv->roles[j] >= 0) csv->roles[j] = DKI_CSV_LEFT_OUT;
}

static dk_status take_by_names(const char *name, const dki_csv_layout *like, dki_csv *csv) {
    leave_out_all(csv);
    for (int64_t i = 0; i < like->features; ++i) {
        int64_t column = 0;
        DKI_TRY(find_name(name, like->names[i], csv, &column));
        if (column < 0) {
            const char *nearest =
                dki_nearest(like->names[i], strlen(like->names[i]),
                            (const char *const *)csv->header, (size_t)csv->columns);
            return dki_fail(DK_E_DATA,
                            "%s: the column \"%s\" that the model takes is missing%s%s%s", name,
                            like->names[i], nearest ? ": is it \"" : "", nearest ? nearest : "",
                            nearest ? "\"?" : "");
        }
        DKI_REQUIRE(csv->roles[column] == DKI_CSV_LEFT_OUT, DK_E_ARGUMENT,
                    "%s: the column \"%s\" is a feature of the model, and can't be the label or an "
                    "id",
                    name, like->names[i]);
        csv->roles[column] = i;
    }
    csv->features = like->features;
    return DK_OK;
}

/* Whether the columns are as many, and none of the features is something else now. */
static bool positions_fit(const dki_csv_layout *like, const dki_csv *csv) {
    if (like->columns == 0 || like->columns != csv->columns) return false;
    for (int64_t i = 0; i < like->features; ++i)
        if (csv->roles[like->positions[i]] < 0) return false;
    return true;
}

static void take_by_positions(const dki_csv_layout *like, dki_csv *csv) {
    leave_out_all(csv);
    for (int64_t i = 0; i < like->features; ++i) csv->roles[like->positions[i]] = i;
    csv->features = like->features;
}

/* With headers on both sides the label is the column of its name: another one would be evaluated. */
static dk_status check_label(const char *name, const dki_csv_options *options, const dki_csv *csv) {
    const char *label = options->like.label_name;
    if (options->no_label || options->label_column || !label || !csv->header) return DK_OK;
    DKI_REQUIRE(strcmp(csv->header[csv->label_column], label) == 0, DK_E_DATA,
                "%s: no column is named \"%s\", as the label of the training: say which one is the "
                "label (--label-column)",
                name, label);
    return DK_OK;
}

/* Whether two headers are the same, names that occur twice included: then places tell. */
static bool same_header(const dki_csv_layout *like, const dki_csv *csv) {
    if (like->columns != csv->columns) return false;
    for (int64_t i = 0; i < like->features; ++i)
        if (strcmp(like->names[i], csv->header[like->positions[i]]) != 0) return false;
    return true;
}

dk_status dki_csv_choose_columns(const dk_allocator *allocator, const char *name,
                                 const dki_csv_options *options, dki_csv *csv) {
    const dki_csv_layout *like = &options->like;
    DKI_TRY(dki_new(allocator, &csv->roles, (size_t)csv->columns, "the columns of a table"));
    if (csv->label_column >= 0) csv->roles[csv->label_column] = DKI_CSV_LABEL;
    DKI_TRY(check_label(name, options, csv));
    DKI_TRY(choose_id(name, options, csv));
    if (options->ignored) DKI_TRY(ignore(allocator, name, options->ignored, csv));
    const bool by_names = like->columns > 0 && like->names && csv->header;
    if (by_names && !same_header(like, csv)) return take_by_names(name, like, csv);
    if (positions_fit(like, csv))
        take_by_positions(like, csv);
    else
        take_in_order(csv);
    return DK_OK;
}
