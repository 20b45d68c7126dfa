#include "data/array_source.h"

#include "data/labels.h"
#include "data/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void release_file(const dk_allocator *allocator, void *owned) {
    dki_file_release(allocator, owned);
    dki_release(allocator, owned);
}

static dk_status own_file(const dk_allocator *allocator, dki_file *file, dki_storage *storage) {
    dki_file *owned = NULL;
    DKI_TRY(dki_new(allocator, &owned, 1, "an open file"));
    *owned = *file;
    *file = (dki_file){0};
    storage->owned = owned;
    storage->release_owned = release_file;
    return DK_OK;
}

dk_status dki_adopt_features(const dki_request *request, const char *name, dki_file *file,
                             const dki_array *array, dki_storage *storage) {
    bool fortran = array->fortran_order && array->dims > 1;
    DKI_REQUIRE(!fortran || array->dims == 2, DK_E_DATA,
                "%s: Fortran order of %d dimensions can't be read row by row: save it in C order "
                "(numpy.ascontiguousarray)",
                name, array->dims);
    DKI_TRY(own_file(request->allocator, file, storage));
    int64_t width = 1;
    for (int d = 1; d < array->dims; ++d) width *= array->shape[d]; /* checked by the format */
    storage->rows = array->shape[0];
    storage->features_count = width;
    storage->features = array->data;
    storage->type = array->type;
    storage->row_stride = fortran ? 1 : width;
    storage->col_stride = fortran ? array->shape[0] : 1;
    if (array->dims == 3) {
        storage->image_rows = array->shape[1];
        storage->image_cols = array->shape[2];
    }
    return dki_limit_rows(request, &storage->rows);
}

dk_status dki_apply_label_column(const dki_request *request, const char *name, const void *elements,
                                 dk_dtype type, int64_t first, int64_t stride, bool integer_typed,
                                 dki_storage *storage) {
    double *numbers = NULL;
    dk_status status = DK_OK;
    DKI_TRY_OUT(dki_new(request->allocator, &numbers, (size_t)storage->rows, "the labels"));
    dki_view_f64(elements, type, first, stride, storage->rows, numbers);
    if (type == DK_I64)
        for (int64_t i = 0; i < storage->rows; ++i)
            if (fabs(numbers[i]) > 0x1p53) {
                status = dki_fail(DK_E_DATA, "%s: row %lld: the label %.0f is beyond ±2^53", name,
                                  (long long)i, numbers[i]);
                goto out;
            }
    dki_labels labels = {.file = name,
                         .rows = storage->rows,
                         .numbers = numbers,
                         .integer_typed = integer_typed,
                         .place = "row"};
    status = dki_labels_apply(request, &labels, storage);
out:
    dki_release(request->allocator, numbers);
    return status;
}

dk_status dki_apply_label_array(const dki_request *request, const char *name,
                                const dki_array *array, int64_t rows, dki_storage *storage) {
    int64_t count = array->dims == 2 ? array->shape[1] : 1;
    DKI_REQUIRE(array->dims <= 2, DK_E_DATA,
                "%s has %d dimensions: labels are [rows], targets [rows, count]", name,
                array->dims);
    DKI_REQUIRE(array->shape[0] == rows, DK_E_DATA,
                "%s holds %lld rows, but the features beside it %lld", name,
                (long long)array->shape[0], (long long)rows);
    if (count == 1)
        return dki_apply_label_column(request, name, array->data, array->type, 0, 1,
                                      !dki_dtype_is_float(array->type), storage);
    DKI_REQUIRE(request->options.task != DK_TASK_CLASSIFICATION, DK_E_DATA,
                "%s holds %lld numbers a row: classes are one index a row", name, (long long)count);
    return dki_targets_apply(request, name, array->data, array->type,
                             array->fortran_order ? 1 : count, array->fortran_order ? rows : 1,
                             count, storage);
}

dk_status dki_join_path(const dk_allocator *allocator, const char *directory, const char *name,
                        const char *suffix, char **path) {
    size_t bytes = strlen(directory) + 1 + strlen(name) + strlen(suffix) + 1;
    DKI_TRY(dki_new(allocator, path, bytes, "the name of a file"));
    snprintf(*path, bytes, "%s/%s%s", directory, name, suffix);
    return DK_OK;
}
