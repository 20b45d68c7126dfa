#include "data/labels.h"
#include "data/table.h"

static void release_values(const dk_allocator *allocator, void *owned) {
    dki_release(allocator, owned);
}

dk_status dki_table_apply(const dki_request *request, dki_csv *table, dki_storage *storage) {
    storage->rows = table->rows;
    DKI_TRY(dki_limit_rows(request, &storage->rows));
    DKI_TRY(dki_check_features(request, table->features));
    storage->features = storage->owned = table->values;
    storage->release_owned = release_values;
    table->values = NULL;
    storage->features_count = table->features;
    storage->type = DK_F64;
    storage->row_stride = table->features;
    storage->col_stride = 1;
    if (request->options.task == DK_TASK_NONE) return DK_OK;
    dki_labels labels = {.file = request->source,
                         .rows = storage->rows,
                         .numbers = table->label_values,
                         .texts = (const char *const *)table->labels,
                         .place = "line",
                         .places = table->lines};
    return dki_labels_apply(request, &labels, storage);
}

dk_status dki_source_table(const dki_request *request, dki_storage *storage) {
    const dki_csv_options options = {.label_column = request->options.label_column,
                                     .no_label = request->options.task == DK_TASK_NONE,
                                     .max_rows = request->options.rows};
    dki_csv table;
    DKI_TRY(dki_csv_read(request->allocator, request->source, &options, &table));
    dk_status status = dki_table_apply(request, &table, storage);
    dki_csv_release(request->allocator, &table);
    return status;
}
