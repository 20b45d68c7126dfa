/* Whether two data sets are the same, without reading all of a large one. */
#include "data/dataset.h"
#include "data/view.h"

enum { SAMPLED_ROWS = 1024 };

/* As floats, which they were when the first checkpoints were made, and what floats leave of them. */
static void add_targets(dki_hasher *hasher, const double *targets, size_t count) {
    for (size_t j = 0; j < count; ++j) {
        const float narrow = (float)targets[j];
        const double left = targets[j] - (double)narrow;
        dki_hasher_add(hasher, &narrow, sizeof narrow);
        if (left != 0.0) dki_hasher_add(hasher, &left, sizeof left);
    }
}

/* Labels, targets and weights of every row, which decide what is learnt and lie in memory. */
static void add_rows(dki_hasher *hasher, const dk_dataset *set) {
    const dki_storage *storage = set->storage;
    const size_t outputs = (size_t)storage->target_count;
    for (int64_t i = 0; i < set->rows; ++i) {
        const int64_t row = dki_dataset_row(set, i);
        if (storage->labels) dki_hasher_add(hasher, storage->labels + row, sizeof(int32_t));
        if (storage->targets)
            add_targets(hasher, storage->targets + (size_t)row * outputs, outputs);
        if (storage->weights) dki_hasher_add(hasher, storage->weights + row, sizeof(float));
    }
}

/* The features of rows evenly spread over the set. */
static void add_features(dki_hasher *hasher, const dk_dataset *set, void *scratch) {
    const dki_storage *storage = set->storage;
    const int64_t width = storage->features_count;
    const int64_t samples = set->rows < SAMPLED_ROWS ? set->rows : SAMPLED_ROWS;
    for (int64_t i = 0; i < samples; ++i) {
        const int64_t at = (int64_t)((double)i * (double)set->rows / (double)samples);
        dki_view_copy(storage->features, storage->type,
                      dki_dataset_row(set, at) * storage->row_stride, storage->col_stride, width,
                      scratch);
        dki_hasher_add(hasher, scratch, (size_t)width * dki_dtype_bytes(storage->type));
    }
}

dk_status dki_dataset_fingerprint(const dk_dataset *set, char text[DKI_HASH_TEXT]) {
    const dki_storage *storage = set->storage;
    const dk_allocator *allocator = &storage->context->allocator;
    const int64_t shape[] = {set->rows, storage->features_count, storage->target_count,
                             (int64_t)storage->type, (int64_t)storage->task};
    void *scratch = NULL;
    DKI_TRY(dki_alloc(allocator, (size_t)storage->features_count, dki_dtype_bytes(storage->type),
                      "a row", &scratch));
    dki_hasher *hasher = dki_hasher_open();
    if (hasher) {
        dki_hasher_add(hasher, shape, sizeof shape);
        add_rows(hasher, set);
        add_features(hasher, set, scratch);
        dki_hasher_close(hasher, text);
    }
    dki_release(allocator, scratch);
    DKI_REQUIRE(hasher, DK_E_MEMORY, "out of memory: a hash of the data");
    return DK_OK;
}
