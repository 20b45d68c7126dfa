#include "data/labels.h"

#include "base/names.h"
#include "base/number.h"
#include "data/label_doubts.h"
#include "data/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_FRACTIONS = 1000, /* different numbers with a fraction that can be classes at all */
    NAMES_SHOWN = 20
};

static dk_status check_numbers(const dki_labels *labels) {
    if (!labels->numbers) return DK_OK;
    for (int64_t i = 0; i < labels->rows; ++i)
        DKI_REQUIRE(isfinite(labels->numbers[i]), DK_E_NONFINITE,
                    DKI_PLACE_FORMAT ": the label is %s: leave the row out, or put a number in",
                    DKI_PLACE(labels, i),
                    isnan(labels->numbers[i]) ? "NaN" : (labels->numbers[i] > 0 ? "Inf" : "-Inf"));
    return DK_OK;
}

/* ----- which classes there are ----- */

static int by_number(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A label as it is written, and the number that it is; 0 for all where they aren't numbers. */
typedef struct written {
    const char *text;
    double number;
} written;

/* By number, and equal numbers, such as 1 and 1.0 or two beyond 2^53, by their texts. */
static int by_number_and_text(const void *a, const void *b) {
    const written *x = a, *y = b;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return strcmp(x->text, y->text);
}

/* The sorted different numbers at `values` [rows], their count returned. */
static int64_t distinct_numbers(const dki_labels *labels, double *values) {
    memcpy(values, labels->numbers, (size_t)labels->rows * sizeof *values);
    qsort(values, (size_t)labels->rows, sizeof *values, by_number);
    int64_t count = 0;
    for (int64_t i = 0; i < labels->rows; ++i)
        if (count == 0 || values[i] != values[count - 1]) values[count++] = values[i];
    return count;
}

static int64_t distinct_texts(const dki_labels *labels, written *values) {
    for (int64_t i = 0; i < labels->rows; ++i)
        values[i] = (written){labels->texts[i], labels->numbers ? labels->numbers[i] : 0.0};
    qsort(values, (size_t)labels->rows, sizeof *values, by_number_and_text);
    int64_t count = 0;
    for (int64_t i = 0; i < labels->rows; ++i)
        if (count == 0 || strcmp(values[i].text, values[count - 1].text) != 0)
            values[count++] = values[i];
    return count;
}

static bool all_whole(const dki_labels *labels) {
    for (int64_t i = 0; i < labels->rows; ++i)
        if (labels->numbers[i] != floor(labels->numbers[i])) return false;
    return true;
}

static dk_status start_names(const dki_request *request, int64_t count, dki_storage *storage) {
    DKI_REQUIRE(count <= INT32_MAX, DK_E_DATA, "%s: %lld different labels: too many for classes",
                request->source, (long long)count);
    storage->target_count = count;
    return dki_new(request->allocator, &storage->class_names, (size_t)count, "class names");
}

static dk_status name_by_numbers(const dki_request *request, int64_t count, const double *numbers,
                                 dki_storage *storage) {
    DKI_TRY(start_names(request, count, storage));
    for (int64_t c = 0; c < count; ++c) {
        char text[DKI_NUMBER_TEXT];
        dki_number_text(numbers[c], text);
        DKI_TRY(dki_copy_text(request->allocator, text, &storage->class_names[c]));
    }
    return DK_OK;
}

static dk_status name_by_texts(const dki_request *request, int64_t count, const written *texts,
                               dki_storage *storage) {
    DKI_TRY(start_names(request, count, storage));
    for (int64_t c = 0; c < count; ++c)
        DKI_TRY(dki_copy_text(request->allocator, texts[c].text, &storage->class_names[c]));
    return DK_OK;
}

/* Whether the numbers are names: 01234 and 1234 aren't one. */
static bool have_leading_zeros(const dki_labels *labels) {
    for (int64_t i = 0; labels->texts && i < labels->rows; ++i) {
        const char *text = labels->texts[i];
        if (*text == '-' || *text == '+') ++text;
        if (text[0] == '0' && text[1] >= '0' && text[1] <= '9') return true;
    }
    return false;
}

/* Whether so many different labels are classes, where nobody said. */
static bool look_like_classes(const dki_labels *labels, bool whole, int64_t count) {
    if (!labels->numbers || labels->integer_typed) return true;
    return whole && (count <= DKI_MOST_INFERRED || have_leading_zeros(labels));
}

/* Decides the task if it is still open, and finds the class names of a classification. */
static dk_status find_classes(const dki_request *request, const dki_labels *labels,
                              dki_storage *storage) {
    const bool decided = request->options.task != DK_TASK_AUTO;
    const bool whole = labels->numbers && all_whole(labels);
    storage->task = DK_TASK_CLASSIFICATION;
    void *values = NULL;
    if (!decided) DKI_TRY(dki_labels_doubt(request->allocator, labels));
    DKI_TRY(dki_alloc(request->allocator, (size_t)labels->rows, sizeof(written) /* or a double */,
                      "the different labels", &values));
    dk_status status = DK_OK;
    const int64_t count =
        labels->texts ? distinct_texts(labels, values) : distinct_numbers(labels, values);
    if (!decided && !look_like_classes(labels, whole, count))
        storage->task = DK_TASK_REGRESSION;
    else if (labels->numbers && !whole && count > MOST_FRACTIONS)
        status = dki_fail(DK_E_DATA,
                          "%s: %lld different labels with fractions can't be classes: choose "
                          "regression, or another label column",
                          request->source, (long long)count);
    else
        status = labels->texts ? name_by_texts(request, count, values, storage)
                               : name_by_numbers(request, count, values, storage);
    dki_release(request->allocator, values);
    return status;
}

/* ----- which class each row has ----- */

typedef struct known_class {
    const char *name;
    int32_t index;
} known_class;

/* Sorted by name. */
typedef struct known_classes {
    known_class *classes;
    int64_t count;
    const char *const *names; /* in the order of their indices */
} known_classes;

static int by_name(const void *a, const void *b) {
    return strcmp(((const known_class *)a)->name, ((const known_class *)b)->name);
}

static dk_status fail_unknown(const dki_labels *labels, int64_t i, const char *label,
                              const known_classes *known) {
    char list[256] = "";
    size_t used = 0;
    for (int64_t c = 0; c < known->count && c < NAMES_SHOWN && used < sizeof list; ++c)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", c ? ", " : "",
                                 known->names[c]);
    const char *more = known->count > NAMES_SHOWN ? ", …" : "";
    const char *nearest = dki_nearest(label, strlen(label), known->names, (size_t)known->count);
    if (nearest)
        return dki_fail(DK_E_DATA,
                        DKI_PLACE_FORMAT
                        ": unknown label \"%.64s\": did you mean \"%.64s\"? The classes are %s%s",
                        DKI_PLACE(labels, i), label, nearest, list, more);
    return dki_fail(DK_E_DATA, DKI_PLACE_FORMAT ": unknown label \"%.64s\": the classes are %s%s",
                    DKI_PLACE(labels, i), label, list, more);
}

static dk_status map_rows(const dki_labels *labels, const known_classes *known,
                          dki_storage *storage) {
    for (int64_t i = 0; i < labels->rows; ++i) {
        char text[DKI_NUMBER_TEXT];
        if (!labels->texts) dki_number_text(labels->numbers[i], text);
        known_class wanted = {labels->texts ? labels->texts[i] : text, 0};
        const known_class *found =
            bsearch(&wanted, known->classes, (size_t)known->count, sizeof *known->classes, by_name);
        if (!found) return fail_unknown(labels, i, wanted.name, known);
        storage->labels[i] = found->index;
    }
    return DK_OK;
}

/* For labels that are numbers and have no texts, a name that is a number is put in the shape that
 * dki_number_text gives: "1.0" means 1 there. */
static dk_status map_by_names(const dki_request *request, const dki_labels *labels,
                              dki_storage *storage) {
    dk_status status = DK_OK;
    known_classes known = {NULL, storage->target_count, (const char *const *)storage->class_names};
    char(*texts)[DKI_NUMBER_TEXT] = NULL;
    size_t count = (size_t)known.count;
    DKI_TRY_OUT(dki_new(request->allocator, &known.classes, count, "the classes by name"));
    DKI_TRY_OUT(dki_new(request->allocator, &texts, count, "the classes by name"));
    for (size_t c = 0; c < count; ++c) {
        double value = 0;
        bool is_number = false;
        const char *name = known.names[c];
        known.classes[c] = (known_class){name, (int32_t)c};
        if (!labels->texts) DKI_TRY_OUT(dki_number_parse(name, &value, &is_number));
        if (is_number) {
            dki_number_text(value, texts[c]);
            known.classes[c].name = texts[c];
        }
    }
    qsort(known.classes, count, sizeof *known.classes, by_name);
    DKI_TRY_OUT(map_rows(labels, &known, storage));
out:
    dki_release(request->allocator, texts);
    dki_release(request->allocator, known.classes);
    return status;
}

/* Without names a label is the index of its class. */
static dk_status map_by_index(const dki_labels *labels, dki_storage *storage) {
    double count = (double)storage->target_count;
    for (int64_t i = 0; i < labels->rows; ++i) {
        DKI_REQUIRE(labels->numbers, DK_E_DATA,
                    DKI_PLACE_FORMAT
                    ": the label \"%.64s\" is a text, but the classes have no names: "
                    "write their indices, 0 … %lld",
                    DKI_PLACE(labels, i), labels->texts[i], (long long)storage->target_count - 1);
        double label = labels->numbers[i];
        char text[DKI_NUMBER_TEXT];
        dki_number_text(label, text);
        DKI_REQUIRE(label >= 0 && label < count && label == floor(label), DK_E_DATA,
                    DKI_PLACE_FORMAT ": the label %s is outside the classes 0 … %lld",
                    DKI_PLACE(labels, i), text, (long long)storage->target_count - 1);
        storage->labels[i] = (int32_t)label;
    }
    return DK_OK;
}

static dk_status copy_schema_names(const dki_request *request, dki_storage *storage) {
    DKI_REQUIRE(request->schema.targets <= INT32_MAX, DK_E_SHAPE, "%lld classes are too many",
                (long long)request->schema.targets);
    storage->target_count = request->schema.targets;
    if (!request->schema.class_names) return DK_OK;
    DKI_TRY(start_names(request, request->schema.targets, storage));
    for (int64_t c = 0; c < request->schema.targets; ++c)
        DKI_TRY(dki_copy_text(request->allocator, request->schema.class_names[c],
                              &storage->class_names[c]));
    return DK_OK;
}

/* ----- regression ----- */

static dk_status check_texts_are_none(const dki_labels *labels) {
    if (labels->numbers) return DK_OK;
    double value = 0;
    int64_t i = 0;
    for (bool is_number = true; i < labels->rows - 1; ++i) {
        DKI_TRY(dki_number_parse(labels->texts[i], &value, &is_number));
        if (!is_number) break;
    }
    return dki_fail(DK_E_DATA,
                    DKI_PLACE_FORMAT
                    ": the label \"%.64s\" is no number: a regression needs numbers; "
                    "choose another label column, or classification",
                    DKI_PLACE(labels, i), labels->texts[i]);
}

/* Predictions are floats, in the targets' own units. −1 where all fit. */
static int64_t first_beyond_float(const double *values, int64_t count) {
    for (int64_t j = 0; j < count; ++j)
        if (!isfinite((float)values[j])) return j;
    return -1;
}

dk_status dki_targets_apply(const dki_request *request, const char *file, const void *elements,
                            dk_dtype type, int64_t row_stride, int64_t col_stride, int64_t count,
                            dki_storage *storage) {
    storage->task = DK_TASK_REGRESSION;
    storage->target_count = count;
    DKI_TRY(dki_check_targets(request, storage));
    size_t total = 0;
    DKI_REQUIRE(dki_mul((size_t)storage->rows, (size_t)count, &total), DK_E_SHAPE,
                "%s: %lld rows of %lld targets overflow the address space", file,
                (long long)storage->rows, (long long)count);
    DKI_TRY(dki_new(request->allocator, &storage->targets, total, "the targets"));
    for (int64_t i = 0; i < storage->rows; ++i) {
        double *to = storage->targets + i * count;
        dki_view_f64(elements, type, i * row_stride, col_stride, count, to);
        const int64_t bad = first_beyond_float(to, count);
        if (bad < 0) continue;
        const double value = to[bad];
        return dki_fail(DK_E_NONFINITE,
                        "%s: target %lld of row %lld (both from 0) is %s: leave the row out, or "
                        "put a number in",
                        file, (long long)bad, (long long)i,
                        isfinite(value) ? "beyond the range of a 32-bit float"
                                        : (isnan(value) ? "NaN" : "Inf"));
    }
    return DK_OK;
}

/* ----- both ----- */

dk_status dki_check_targets(const dki_request *request, const dki_storage *storage) {
    if (!request->has_schema || request->schema.targets == 0) return DK_OK; /* not known */
    if (storage->target_count == request->schema.targets) return DK_OK;
    bool classes = storage->task == DK_TASK_CLASSIFICATION;
    return dki_fail(DK_E_SHAPE, "%s has %lld %s, expected are %lld", request->source,
                    (long long)storage->target_count, classes ? "classes" : "targets a row",
                    (long long)request->schema.targets);
}

dk_status dki_labels_apply(const dki_request *request, const dki_labels *labels,
                           dki_storage *storage) {
    DKI_TRY(check_numbers(labels));
    bool classes_known = request->has_schema && request->schema.targets > 0;
    if (classes_known && request->options.task == DK_TASK_CLASSIFICATION) {
        storage->task = DK_TASK_CLASSIFICATION;
        DKI_TRY(copy_schema_names(request, storage));
    } else if (request->options.task != DK_TASK_REGRESSION) {
        DKI_TRY(find_classes(request, labels, storage));
    } else {
        storage->task = DK_TASK_REGRESSION;
    }
    if (storage->task == DK_TASK_REGRESSION) {
        DKI_TRY(check_texts_are_none(labels));
        return dki_targets_apply(request, labels->file, labels->numbers, DK_F64, 1, 1, 1, storage);
    }
    DKI_TRY(dki_check_targets(request, storage));
    DKI_TRY(dki_new(request->allocator, &storage->labels, (size_t)labels->rows, "the labels"));
    return storage->class_names ? map_by_names(request, labels, storage)
                                : map_by_index(labels, storage);
}
