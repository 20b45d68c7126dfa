#include "data/notes.h"

#include "base/number.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    FEW_CLASSES = 10,       /* whole numbers of so many values are hardly anything but classes */
    MOST_COMPARED = 200,    /* classes, each with each other */
    FEWEST_REPEATED = 5,    /* rows in which classes of whole numbers should come again */
    FEWEST_TOLD_APART = 20, /* rows; of fewer ones half may well be of a class of their own */
    NAMES_SHOWN = 5,
    NOTE_BYTES = 640
};

dk_status dki_note(dki_storage *storage, const char *format, ...) {
    const dk_allocator *allocator = &storage->context->allocator;
    char text[NOTE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    DKI_TRY(dki_grow(allocator, (void **)&storage->notes, &storage->note_capacity,
                     storage->note_count + 1, sizeof *storage->notes, "a note"));
    DKI_TRY(dki_copy_text(allocator, text, &storage->notes[storage->note_count]));
    ++storage->note_count;
    return DK_OK;
}

/* ----- the summary ----- */

/* " (a, b, …)" of the first of `count` names, or nothing. */
static void list_names(const char *const *names, int64_t count, char text[256]) {
    size_t used = 0;
    text[0] = '\0';
    for (int64_t i = 0; names && i < count && i < NAMES_SHOWN; ++i)
        used += (size_t)snprintf(text + used, 256 - used, "%s%.40s", i ? ", " : " (", names[i]);
    if (used) snprintf(text + used, 256 - used, "%s)", count > NAMES_SHOWN ? ", …" : "");
}

static const char *plural(int64_t count) {
    return count == 1 ? "" : "s";
}

/* What the labels are, and the first names of classes. */
static void describe_task(const dki_storage *storage, const char *label, char text[512]) {
    char names[256];
    const long long count = (long long)storage->target_count;
    list_names((const char *const *)storage->class_names, storage->target_count, names);
    if (storage->task == DK_TASK_CLASSIFICATION)
        snprintf(text, 512, ", label%s: %lld class%s%s", label, count, count == 1 ? "" : "es",
                 names);
    else if (storage->task == DK_TASK_REGRESSION && *label)
        snprintf(text, 512, ", label%s: numbers (regression)", label);
    else if (storage->task == DK_TASK_REGRESSION)
        snprintf(text, 512, ", %lld target%s a row: numbers (regression)", count, plural(count));
    else
        snprintf(text, 512, ", no label");
}

static const char *separated(char separator) {
    return separator == '\t' ? " by TAB" : separator == ';' ? " by ;" : "";
}

dk_status dki_note_summary(dki_storage *storage, const dki_csv *table) {
    const dki_columns *columns = &storage->columns;
    char names[256] = "", task[512], label[96] = "", shape[96] = "";
    list_names((const char *const *)columns->names, storage->features_count, names);
    if (columns->label_name)
        snprintf(label, sizeof label, " \"%.60s\"", columns->label_name);
    else if (columns->source && columns->label >= 0)
        snprintf(label, sizeof label, " column %lld (from 0)", (long long)columns->label);
    describe_task(storage, label, task);
    if (table)
        snprintf(shape, sizeof shape, "%lld columns%s, %s header, ", (long long)table->columns,
                 separated(table->separator), table->header ? "a" : "no");
    else if (columns->source)
        snprintf(shape, sizeof shape, "%lld columns, ", (long long)columns->source);
    return dki_note(storage, "%.120s: %lld row%s, %s%lld feature%s%s%s", storage->name,
                    (long long)storage->rows, plural(storage->rows), shape,
                    (long long)storage->features_count, plural(storage->features_count), names,
                    task);
}

/* ----- columns ----- */

/* Whether a feature is a whole number that grows by one from row to row. */
static bool counts_rows(const dki_csv *table, int64_t feature) {
    const double *value = table->values + feature;
    if (table->rows < 3 || *value != floor(*value)) return false;
    for (int64_t i = 1; i < table->rows; ++i)
        if (value[i * table->features] != value[(i - 1) * table->features] + 1.0) return false;
    return true;
}

static dk_status note_id(dki_storage *storage, const dki_csv *table, int64_t column) {
    const char *name = table->header ? table->header[column] : "";
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)column);
    const char *which = *name ? name : number;
    return dki_note(
        storage,
        "column %lld%s%.60s%s counts the rows and is taken as a feature: if it only names "
        "them, say --id-column %.60s or --ignore-columns %.60s",
        (long long)column, *name ? " (\"" : "", name, *name ? "\")" : "", which, which);
}

static dk_status note_left_out(dki_storage *storage, const dki_csv *table) {
    char list[400] = "";
    size_t used = 0;
    int64_t count = 0;
    for (int64_t j = 0; j < table->columns; ++j) {
        if (table->roles[j] != DKI_CSV_LEFT_OUT) continue;
        if (++count > NAMES_SHOWN) continue;
        if (table->header)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s\"%.60s\"",
                                     count > 1 ? ", " : "", table->header[j]);
        else
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%lld",
                                     count > 1 ? ", " : "", (long long)j);
    }
    if (count == 0) return DK_OK;
    return dki_note(storage, "%.120s: left out column%s %s%s: no feature%s of the model",
                    storage->name, plural(count), list, count > NAMES_SHOWN ? ", …" : "",
                    plural(count));
}

dk_status dki_note_columns(dki_storage *storage, const dki_csv *table, bool like) {
    if (like) return note_left_out(storage, table);
    for (int64_t j = 0; j < table->columns; ++j)
        if (table->roles[j] >= 0 && counts_rows(table, table->roles[j]))
            DKI_TRY(note_id(storage, table, j));
    return DK_OK;
}

/* ----- labels ----- */

static bool is_whole(const double *numbers, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i)
        if (numbers[i] != floor(numbers[i])) return false;
    return true;
}

/* Whether a person would take two names for one: in another case, or the same number. */
static dk_status look_alike(const char *a, const char *b, bool *alike) {
    double x = 0.0, y = 0.0;
    bool is_x = false, is_y = false;
    *alike = strcasecmp(a, b) == 0;
    if (*alike) return DK_OK;
    DKI_TRY(dki_number_parse(a, &x, &is_x));
    if (is_x) DKI_TRY(dki_number_parse(b, &y, &is_y));
    *alike = is_x && is_y && x == y;
    return DK_OK;
}

static dk_status note_classes(dki_storage *storage, bool numbers) {
    char **names = storage->class_names;
    const int64_t count = storage->target_count;
    if (count == 1)
        DKI_TRY(dki_note(storage, "only one class, \"%.60s\": nothing can be learnt from it",
                         names ? names[0] : "0"));
    if (!numbers && storage->rows >= FEWEST_TOLD_APART && count > storage->rows / 2)
        DKI_TRY(
            dki_note(storage,
                     "%lld classes in %lld rows: if their column only names the rows, say which "
                     "one holds the labels, with --label-column",
                     (long long)count, (long long)storage->rows));
    /* By number equal ones are neighbours; by bytes a few classes are worth comparing. */
    for (int64_t a = 0; names && a < count; ++a)
        for (int64_t b = a + 1; b < count && (numbers ? b == a + 1 : count <= MOST_COMPARED); ++b) {
            bool alike = false;
            DKI_TRY(look_alike(names[a], names[b], &alike));
            if (alike)
                return dki_note(storage,
                                "the classes \"%.60s\" and \"%.60s\" differ in spelling alone: if "
                                "they are one, write them alike",
                                names[a], names[b]);
        }
    return DK_OK;
}

static dk_status note_marks(dki_storage *storage) {
    for (int64_t c = 0; storage->class_names && c < storage->target_count; ++c) {
        const char *name = storage->class_names[c];
        if (dki_csv_is_mark(name))
            return dki_note(storage,
                            "the class \"%.60s\" reads like a missing value: if it is one, leave "
                            "its rows out",
                            name);
    }
    return DK_OK;
}

dk_status dki_note_labels(const dki_request *request, dki_storage *storage, const double *numbers) {
    const bool guessed = request->options.task == DK_TASK_AUTO && !request->has_schema;
    const long long count = (long long)storage->target_count;
    if (storage->task == DK_TASK_REGRESSION) {
        if (!guessed || !numbers || !is_whole(numbers, storage->rows)) return DK_OK;
        return dki_note(storage, "the labels are whole numbers of many different values, taken as "
                                 "numbers: --task classification takes them as classes");
    }
    if (request->has_schema) return DK_OK;
    DKI_TRY(note_classes(storage, numbers != NULL));
    DKI_TRY(note_marks(storage));
    const bool hardly_repeated = storage->rows >= FEWEST_REPEATED && count > storage->rows / 2;
    if (!guessed || !numbers || (count <= FEW_CLASSES && !hardly_repeated)) return DK_OK;
    return dki_note(storage,
                    "the labels are whole numbers of %lld different values, taken as classes: "
                    "--task regression takes them as numbers",
                    count);
}
