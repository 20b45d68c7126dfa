/* dk_dataset_from_arrays: a data set over the caller's own memory. */
#include "base/arithmetic.h"
#include "data/source.h"
#include "data/view.h"

#include <math.h>
#include <string.h>

static dk_status check_shape(const dk_arrays *arrays) {
    DKI_REQUIRE(arrays->x, DK_E_ARGUMENT, "dk_arrays.x is NULL: give the features");
    DKI_REQUIRE(arrays->rows >= 1 && arrays->features >= 1, DK_E_SHAPE,
                "dk_arrays: x is %lld × %lld: it needs a row and a column at least",
                (long long)arrays->rows, (long long)arrays->features);
    size_t bytes = dki_dtype_bytes(arrays->x_type);
    DKI_REQUIRE(bytes, DK_E_ARGUMENT, "dk_arrays.x_type %d is not a dk_dtype", (int)arrays->x_type);
    DKI_REQUIRE(dki_mul(bytes, (size_t)arrays->rows, &bytes) &&
                    dki_mul(bytes, (size_t)arrays->features, &bytes) && bytes <= PTRDIFF_MAX,
                DK_E_SHAPE, "dk_arrays: x of %lld × %lld doesn't fit the address space",
                (long long)arrays->rows, (long long)arrays->features);
    DKI_REQUIRE(!!arrays->labels + !!arrays->targets + !!arrays->targets_f64 <= 1, DK_E_ARGUMENT,
                "dk_arrays has several of labels and targets and targets_f64: give one of them, "
                "and NULL for the others");
    DKI_REQUIRE(!arrays->labels || (arrays->classes >= 1 && arrays->classes <= INT32_MAX),
                DK_E_SHAPE, "dk_arrays.classes is %lld: with labels it is the number of classes",
                (long long)arrays->classes);
    DKI_REQUIRE(!(arrays->targets || arrays->targets_f64) || arrays->target_count >= 1, DK_E_SHAPE,
                "dk_arrays.target_count is %lld: with targets it is their number in a row",
                (long long)arrays->target_count);
    return DK_OK;
}

static dk_status copy_labels(dki_storage *storage, const dk_arrays *arrays) {
    for (int64_t i = 0; i < arrays->rows; ++i)
        DKI_REQUIRE(arrays->labels[i] >= 0 && arrays->labels[i] < arrays->classes, DK_E_DATA,
                    "dk_arrays: label %d of row %lld is outside 0 … %lld", (int)arrays->labels[i],
                    (long long)i, (long long)arrays->classes - 1);
    storage->task = DK_TASK_CLASSIFICATION;
    storage->target_count = arrays->classes;
    DKI_TRY(dki_new(&storage->context->allocator, &storage->labels, (size_t)arrays->rows,
                    "the labels"));
    memcpy(storage->labels, arrays->labels, (size_t)arrays->rows * sizeof *storage->labels);
    return DK_OK;
}

static dk_status copy_targets(dki_storage *storage, const dk_arrays *arrays) {
    size_t count = 0;
    const dk_dtype type = arrays->targets ? DK_F32 : DK_F64;
    const void *targets = arrays->targets ? (const void *)arrays->targets : arrays->targets_f64;
    DKI_REQUIRE(dki_mul((size_t)arrays->rows, (size_t)arrays->target_count, &count), DK_E_SHAPE,
                "dk_arrays: targets of %lld × %lld don't fit the address space",
                (long long)arrays->rows, (long long)arrays->target_count);
    storage->task = DK_TASK_REGRESSION;
    storage->target_count = arrays->target_count;
    DKI_TRY(dki_new(&storage->context->allocator, &storage->targets, count, "the targets"));
    dki_view_f64(targets, type, 0, 1, (int64_t)count, storage->targets);
    for (size_t i = 0; i < count; ++i)
        DKI_REQUIRE(isfinite((float)storage->targets[i]), DK_E_NONFINITE,
                    "dk_arrays: target %zu of row %zu is %g: targets are within a float's range",
                    i % (size_t)arrays->target_count, i / (size_t)arrays->target_count,
                    storage->targets[i]);
    return DK_OK;
}

static dk_status copy_weights(dki_storage *storage, const dk_arrays *arrays) {
    for (int64_t i = 0; i < arrays->rows; ++i)
        DKI_REQUIRE(arrays->weights[i] >= 0 && isfinite(arrays->weights[i]), DK_E_DATA,
                    "dk_arrays: weight %g of row %lld: weights are finite and not negative",
                    (double)arrays->weights[i], (long long)i);
    DKI_TRY(dki_new(&storage->context->allocator, &storage->weights, (size_t)arrays->rows,
                    "the sample weights"));
    memcpy(storage->weights, arrays->weights, (size_t)arrays->rows * sizeof *storage->weights);
    return DK_OK;
}

static dk_status fill(dki_storage *storage, const dk_arrays *arrays) {
    storage->rows = arrays->rows;
    storage->features_count = arrays->features;
    storage->features = arrays->x;
    storage->type = arrays->x_type;
    storage->row_stride = arrays->features;
    storage->col_stride = 1;
    DKI_TRY(dki_storage_check_finite(storage));
    if (arrays->labels) DKI_TRY(copy_labels(storage, arrays));
    if (arrays->targets || arrays->targets_f64) DKI_TRY(copy_targets(storage, arrays));
    if (arrays->weights) DKI_TRY(copy_weights(storage, arrays));
    return DK_OK;
}

dk_status dk_dataset_from_arrays(dk_dataset **dataset, dk_context *context,
                                 const dk_arrays *arrays) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(dataset, DK_E_ARGUMENT, "dk_dataset_from_arrays: dataset is NULL");
    *dataset = NULL;
    DKI_REQUIRE(context && arrays, DK_E_ARGUMENT, "dk_dataset_from_arrays: %s is NULL",
                context ? "arrays" : "context");
    dk_arrays given = DK_ARRAYS_INIT;
    DKI_TRY(dki_take_options(&given, sizeof given, arrays, arrays->size, "dk_arrays"));
    DKI_TRY(check_shape(&given));
    dki_storage *storage = NULL;
    DKI_TRY(dki_storage_create(&storage, context, "the caller's arrays"));
    dk_status status = fill(storage, &given);
    if (status != DK_OK) {
        dki_storage_destroy(storage);
        return status;
    }
    return dki_dataset_create(dataset, storage);
}
