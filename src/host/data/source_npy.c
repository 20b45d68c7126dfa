#include "data/array_source.h"
#include "data/view.h"
#include "format/npy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----- one matrix, the label a column of it ----- */

/* The table that a schema was read from, or NULL. */
static const dki_columns *known_table(const dki_request *request) {
    const dki_columns *table = request->has_schema ? request->schema.columns : NULL;
    return table && table->source > 0 ? table : NULL;
}

/* The label where it was in the table of the schema; without one it is in the last column. */
static dk_status guess_column(const dki_request *request, int64_t columns, int64_t *column) {
    const dki_columns *like = known_table(request);
    *column = columns - 1;
    if (!like || like->label < 0 || like->label == like->source - 1) return DK_OK;
    DKI_REQUIRE(
        like->source == columns, DK_E_SHAPE,
        "%s has %lld columns; the table that the network learnt from had %lld, its labels in "
        "column %lld (from 0): say which column holds the labels here",
        request->source, (long long)columns, (long long)like->source, (long long)like->label);
    *column = like->label;
    return DK_OK;
}

static dk_status choose_column(const dki_request *request, int64_t columns, int64_t *column) {
    const char *wanted = request->options.label_column;
    if (!wanted) return guess_column(request, columns, column);
    *column = columns - 1;
    if (strcmp(wanted, "last") == 0) return DK_OK;
    *column = 0;
    if (strcmp(wanted, "first") == 0) return DK_OK;
    char *end = NULL;
    errno = 0;
    long long number = strtoll(wanted, &end, 10);
    DKI_REQUIRE(end != wanted && *end == '\0' && errno == 0 && number >= 0 && number < columns,
                DK_E_ARGUMENT,
                "%s: no label column \"%s\": an NPY file has no names; say first, last or a number "
                "from 0 to %lld",
                request->source, wanted, (long long)columns - 1);
    *column = number;
    return DK_OK;
}

/* The features become a view that steps over the label: possible at either end of a row. */
static dk_status step_over(const dki_request *request, int64_t column, dki_storage *storage) {
    const int64_t columns = storage->features_count;
    DKI_REQUIRE(column == 0 || column == columns - 1, DK_E_DATA,
                "%s: the label column %lld lies between features, which are mapped as one block: "
                "move it to the first or the last column, or use x.npy and y.npy in a directory",
                request->source, (long long)column);
    DKI_TRY(dki_check_features(request, columns - 1));
    storage->features_count = columns - 1;
    if (column == 0)
        storage->features = (const char *)storage->features +
                            (size_t)storage->col_stride * dki_dtype_bytes(storage->type);
    storage->columns.source = columns;
    storage->columns.features = columns - 1;
    storage->columns.label = column;
    DKI_TRY(dki_new(request->allocator, &storage->columns.positions, (size_t)columns - 1,
                    "the columns of a matrix"));
    for (int64_t j = 0; j < columns - 1; ++j) storage->columns.positions[j] = j + (column == 0);
    return DK_OK;
}

static dk_status split_label(const dki_request *request, dki_storage *storage) {
    int64_t column = 0;
    const void *all = storage->features;
    DKI_TRY(choose_column(request, storage->features_count, &column));
    DKI_TRY(step_over(request, column, storage));
    return dki_apply_label_column(request, request->source, all, storage->type,
                                  column * storage->col_stride, storage->row_stride, false,
                                  storage);
}

/* Features alone, or the training's own table, of which the labels are left. */
static dk_status leave_label(const dki_request *request, dki_storage *storage) {
    const dki_columns *like = known_table(request);
    const int64_t columns = storage->features_count;
    if (!like || like->label < 0 || like->source != columns || like->features != columns - 1)
        return dki_check_features(request, columns);
    return step_over(request, like->label, storage);
}

dk_status dki_source_npy(const dki_request *request, dki_storage *storage) {
    dki_file file = {0};
    dki_array array;
    dk_status status = DK_OK;
    DKI_TRY_OUT(dki_npy_open(request->source, &file, &array));
    bool labelled = request->options.task != DK_TASK_NONE;
    if (labelled && array.dims != 2) {
        status = dki_fail(DK_E_DATA,
                          "%s has %d dimensions: a matrix with a label column has 2; put features "
                          "and labels into x.npy and y.npy in a directory",
                          request->source, array.dims);
        goto out;
    }
    DKI_TRY_OUT(dki_adopt_features(request, request->source, &file, &array, storage));
    storage->mapped = true;
    status = labelled ? split_label(request, storage) : leave_label(request, storage);
out:
    dki_file_release(request->allocator, &file);
    return status;
}

/* ----- x.npy and y.npy ----- */

dk_status dki_is_npy_directory(const char *path, bool *is) {
    char name[PATH_MAX];
    int length = snprintf(name, sizeof name, "%s/x.npy", path);
    *is = false;
    return length > 0 && (size_t)length < sizeof name ? dki_file_exists(name, is) : DK_OK;
}

static dk_status read_targets(const dki_request *request, const char *path, int64_t rows,
                              dki_storage *storage) {
    dki_file file = {0};
    dki_array array;
    DKI_TRY(dki_npy_open(path, &file, &array));
    dk_status status = dki_apply_label_array(request, path, &array, rows, storage);
    dki_file_release(request->allocator, &file);
    return status;
}

dk_status dki_source_npy_directory(const dki_request *request, dki_storage *storage) {
    bool test = request->options.part == DK_PART_TEST;
    const dk_allocator *allocator = request->allocator;
    char *x = NULL, *y = NULL;
    dki_file file = {0};
    dki_array array;
    dk_status status = DK_OK;
    DKI_TRY_OUT(dki_join_path(allocator, request->source, test ? "x_test" : "x", ".npy", &x));
    DKI_TRY_OUT(dki_join_path(allocator, request->source, test ? "y_test" : "y", ".npy", &y));
    bool exists = false;
    DKI_TRY_OUT(dki_file_exists(x, &exists));
    if (test && !exists) {
        status = dki_fail(DK_E_STATE, "%s has no test part: there is no x_test.npy in it",
                          request->source);
        goto out;
    }
    DKI_TRY_OUT(dki_npy_open(x, &file, &array));
    DKI_TRY_OUT(dki_adopt_features(request, x, &file, &array, storage));
    storage->mapped = true;
    DKI_TRY_OUT(dki_check_features(request, storage->features_count));
    if (request->options.task != DK_TASK_NONE)
        status = read_targets(request, y, array.shape[0], storage);
out:
    dki_file_release(allocator, &file);
    dki_release(allocator, x);
    dki_release(allocator, y);
    return status;
}
