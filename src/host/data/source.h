/* How a source of data becomes a storage: what the sources share.
 *
 * Every dki_source_* function fills a fresh storage: features, labels or targets, names. It may
 * leave the storage half filled on failure; the caller destroys it. */
#ifndef DKI_SOURCE_H
#define DKI_SOURCE_H

#include "data/dataset.h"

/** What a source is asked for; made once by dk_dataset_open. */
typedef struct dki_request {
    const dk_allocator *allocator;
    const char *source; /* as the caller gave it */
    const char *text;   /* of a table in memory, or NULL */
    size_t bytes;
    int64_t first_line;
    dk_data_options options; /* complete; options.task is resolved against the schema */
    dki_schema schema;
    bool has_schema;
} dki_request;

/** A storage without rows, held once. DK_E_MEMORY. */
dk_status dki_storage_create(dki_storage **storage, dk_context *context, const char *name);
void dki_storage_destroy(dki_storage *storage);

/** The set of all rows of a storage; takes the storage over, on failure too. DK_E_MEMORY. */
dk_status dki_dataset_create(dk_dataset **dataset, dki_storage *storage);

/** Copies an options structure of the caller's `size` over its initialiser at `options`.
 *  DK_E_ARGUMENT where the size isn't one this library knows. */
dk_status dki_take_options(void *options, size_t known, const void *given, size_t size,
                           const char *what);

/** Looks through float features once. DK_E_NONFINITE names row and column. */
dk_status dki_storage_check_finite(const dki_storage *storage);
/** The error of a feature that isn't finite: DK_E_NONFINITE. */
dk_status dki_fail_nonfinite(const dki_storage *storage, int64_t row, int64_t column);

/** Cuts *rows to options.rows where that is set. DK_E_DATA if there are none. */
dk_status dki_limit_rows(const dki_request *request, int64_t *rows);

/** DK_E_SHAPE, naming both numbers, where the schema has another number of features. */
dk_status dki_check_features(const dki_request *request, int64_t features);

dk_status dki_source_digits(const dki_request *request, dki_storage *storage);
dk_status dki_source_table(const dki_request *request, dki_storage *storage);
dk_status dki_source_npy(const dki_request *request, dki_storage *storage);
dk_status dki_source_npy_directory(const dki_request *request, dki_storage *storage);
dk_status dki_source_idx(const dki_request *request, dki_storage *storage);
dk_status dki_source_idx_directory(const dki_request *request, dki_storage *storage);
dk_status dki_source_spirals(const dki_request *request, dki_storage *storage);
dk_status dki_source_teacher(const dki_request *request, dki_storage *storage);

/** Whether a directory holds files of MNIST's names, or x.npy. DK_E_IO: the system doesn't say. */
dk_status dki_is_idx_directory(const char *path, bool *is);
dk_status dki_is_npy_directory(const char *path, bool *is);

#endif
