#include "data/dataset.h"

#include "base/arithmetic.h"
#include "data/source.h"
#include "data/view.h"

#include <math.h>
#include <string.h>

dk_status dki_storage_create(dki_storage **storage, dk_context *context, const char *name) {
    const dk_allocator *allocator = &context->allocator;
    DKI_TRY(dki_new(allocator, storage, 1, "a data set"));
    dki_storage *made = *storage;
    made->references = 1;
    made->context = dki_context_hold(context);
    made->task = DK_TASK_NONE;
    dk_status status = dki_copy_text(allocator, name, &made->name);
    if (status != DK_OK) {
        dki_storage_destroy(made);
        *storage = NULL;
    }
    return status;
}

void dki_storage_destroy(dki_storage *storage) {
    if (!storage || !dki_count_down(&storage->references)) return;
    dk_context *context = storage->context;
    const dk_allocator *allocator = &context->allocator;
    if (storage->release_owned) storage->release_owned(allocator, storage->owned);
    if (storage->class_names)
        for (int64_t c = 0; c < storage->target_count; ++c)
            dki_release(allocator, storage->class_names[c]);
    dki_release(allocator, storage->class_names);
    for (size_t i = 0; i < storage->note_count; ++i) dki_release(allocator, storage->notes[i]);
    dki_release(allocator, storage->notes);
    dki_release(allocator, storage->ids);
    dki_release(allocator, storage->id_texts);
    dki_columns_release(allocator, &storage->columns);
    dki_release(allocator, storage->labels);
    dki_release(allocator, storage->targets);
    dki_release(allocator, storage->weights);
    dki_release(allocator, storage->name);
    dki_release(allocator, storage);
    dk_context_destroy(context);
}

dk_status dki_dataset_create(dk_dataset **dataset, dki_storage *storage) {
    dk_status status = dki_new(&storage->context->allocator, dataset, 1, "a data set");
    if (status != DK_OK) {
        dki_storage_destroy(storage);
        return status;
    }
    (*dataset)->references = 1;
    (*dataset)->storage = storage;
    (*dataset)->rows = storage->rows;
    return DK_OK;
}

dk_dataset *dki_dataset_hold(const dk_dataset *dataset) {
    /* A hold changes nothing but the count: a set is shared by readers. */
    dk_dataset *held = (dk_dataset *)dataset;
    dki_count_up(&held->references);
    return held;
}

void dk_dataset_destroy(dk_dataset *dataset) {
    if (!dataset || !dki_count_down(&dataset->references)) return;
    dki_storage *storage = dataset->storage;
    const dk_allocator *allocator = &storage->context->allocator;
    dki_release(allocator, dataset->subset);
    dki_release(allocator, dataset);
    dki_storage_destroy(storage); /* last: it may hold the context that owns the allocator */
}

dk_status dki_take_options(void *options, size_t known, const void *given, size_t size,
                           const char *what) {
    DKI_REQUIRE(size >= sizeof size && size <= known, DK_E_ARGUMENT,
                "%s.size is %zu, this library knows %zu bytes: start from the initialiser, and use "
                "the header that belongs to the library",
                what, size, known);
    memcpy(options, given, size);
    return DK_OK;
}

dk_status dki_storage_check_finite(const dki_storage *storage) {
    if (!dki_dtype_is_float(storage->type)) return DK_OK;
    for (int64_t i = 0; i < storage->rows; ++i) {
        int64_t j = dki_view_nonfinite(storage->features, storage->type, i * storage->row_stride,
                                       storage->col_stride, storage->features_count);
        if (j >= 0) return dki_fail_nonfinite(storage, i, j);
    }
    return DK_OK;
}

dk_status dki_fail_nonfinite(const dki_storage *storage, int64_t row, int64_t column) {
    double value = 0;
    dki_view_f64(storage->features, storage->type,
                 row * storage->row_stride + column * storage->col_stride, 1, 1, &value);
    return dki_fail(DK_E_NONFINITE,
                    "%s: feature %lld of row %lld is %s (both counted from 0): leave the row out, "
                    "or put a number in",
                    storage->name, (long long)column, (long long)row,
                    isnan(value) ? "NaN" : (value > 0 ? "Inf" : "-Inf"));
}

dk_status dk_dataset_describe(const dk_dataset *dataset, dk_dataset_info *info) {
    DKI_REQUIRE(dataset && info, DK_E_ARGUMENT, "dk_dataset_describe: %s is NULL",
                dataset ? "info" : "dataset");
    const dki_storage *storage = dataset->storage;
    *info = (dk_dataset_info){.rows = dataset->rows,
                              .features = storage->features_count,
                              .task = storage->task,
                              .targets = storage->target_count,
                              .x_type = storage->type,
                              .image = storage->type == DK_U8,
                              .mapped = storage->mapped,
                              .image_rows = storage->image_rows,
                              .image_cols = storage->image_cols};
    return DK_OK;
}

const char *dk_dataset_class_name(const dk_dataset *dataset, int64_t index) {
    if (!dataset || !dataset->storage->class_names) return NULL;
    if (index < 0 || index >= dataset->storage->target_count) return NULL;
    return dataset->storage->class_names[index];
}

const char *dk_dataset_row_name(const dk_dataset *dataset, int64_t row) {
    if (!dataset || !dataset->storage->ids || row < 0 || row >= dataset->rows) return NULL;
    return dataset->storage->ids[dki_dataset_row(dataset, row)];
}

const char *dk_dataset_note(const dk_dataset *dataset, size_t index) {
    if (!dataset || index >= dataset->storage->note_count) return NULL;
    return dataset->storage->notes[index];
}

dk_status dk_dataset_read(const dk_dataset *dataset, int64_t first, int64_t rows, float *x,
                          int32_t *labels, float *targets) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(dataset, DK_E_ARGUMENT, "dk_dataset_read: dataset is NULL");
    const dki_storage *storage = dataset->storage;
    DKI_REQUIRE(first >= 0 && rows >= 0 && first <= dataset->rows && rows <= dataset->rows - first,
                DK_E_SHAPE, "dk_dataset_read: %lld rows from row %lld of a set of %lld",
                (long long)rows, (long long)first, (long long)dataset->rows);
    DKI_REQUIRE(!labels || storage->labels, DK_E_STATE,
                "dk_dataset_read: %s holds no class labels: pass NULL for labels", storage->name);
    DKI_REQUIRE(!targets || storage->targets, DK_E_STATE,
                "dk_dataset_read: %s holds no targets: pass NULL for targets", storage->name);
    int64_t width = storage->features_count, count = storage->target_count;
    for (int64_t i = 0; i < rows; ++i) {
        int64_t row = dki_dataset_row(dataset, first + i);
        if (x)
            dki_view_f32(storage->features, storage->type, row * storage->row_stride,
                         storage->col_stride, width, x + i * width);
        if (labels) labels[i] = storage->labels[row];
        if (targets)
            dki_view_f32(storage->targets, DK_F64, row * count, 1, count, targets + i * count);
    }
    return DK_OK;
}
