#include "data/labels.h"
#include "data/notes.h"
#include "data/table.h"

static void release_values(const dk_allocator *allocator, void *owned) {
    dki_release(allocator, owned);
}

/* The names and places of the features, in their order, and of what else the table has. */
static dk_status keep_columns(const dk_allocator *allocator, const dki_csv *table,
                              dki_columns *columns) {
    columns->source = table->columns;
    columns->features = table->features;
    columns->label = table->label_column;
    DKI_TRY(
        dki_new(allocator, &columns->positions, (size_t)table->features, "the columns of a table"));
    if (table->header)
        DKI_TRY(
            dki_new(allocator, &columns->names, (size_t)table->features, "the names of columns"));
    for (int64_t j = 0; j < table->columns; ++j) {
        const int64_t role = table->roles[j];
        if (role >= 0) columns->positions[role] = j;
        if (!table->header) continue;
        char **name = role >= 0               ? &columns->names[role]
                      : role == DKI_CSV_LABEL ? &columns->label_name
                      : role == DKI_CSV_ID    ? &columns->id_name
                                              : NULL;
        if (name) DKI_TRY(dki_copy_text(allocator, table->header[j], name));
    }
    return DK_OK;
}

static void take_ids(dki_csv *table, dki_storage *storage) {
    storage->ids = table->ids;
    storage->id_texts = table->id_texts;
    table->ids = NULL;
    table->id_texts = NULL;
}

static dk_status apply_labels(const dki_request *request, const dki_csv *table,
                              dki_storage *storage) {
    const dki_labels labels = {.file = request->source,
                               .rows = storage->rows,
                               .numbers = table->label_values,
                               .texts = (const char *const *)table->labels,
                               .place = "line",
                               .places = table->lines};
    return dki_labels_apply(request, &labels, storage);
}

dk_status dki_table_apply(const dki_request *request, dki_csv *table, dki_storage *storage) {
    storage->rows = table->rows;
    DKI_TRY(dki_limit_rows(request, &storage->rows));
    DKI_TRY(dki_check_features(request, table->features));
    storage->features_count = table->features;
    storage->type = DK_F64;
    storage->row_stride = table->features;
    storage->col_stride = 1;
    DKI_TRY(keep_columns(request->allocator, table, &storage->columns));
    const bool labelled = request->options.task != DK_TASK_NONE;
    if (labelled) DKI_TRY(apply_labels(request, table, storage));
    DKI_TRY(dki_note_summary(storage, table));
    if (labelled) DKI_TRY(dki_note_labels(request, storage, table->label_values));
    DKI_TRY(dki_note_columns(storage, table, request->has_schema));
    storage->features = storage->owned = table->values;
    storage->release_owned = release_values;
    table->values = NULL;
    take_ids(table, storage);
    return DK_OK;
}

/* Where the columns of another table are to be found again. */
static dki_csv_layout layout_of(const dki_request *request) {
    const dki_columns *columns = request->has_schema ? request->schema.columns : NULL;
    if (!columns || columns->source == 0) return (dki_csv_layout){.label_position = -1};
    return (dki_csv_layout){.columns = columns->source,
                            .features = columns->features,
                            .positions = columns->positions,
                            .label_position = columns->label,
                            .names = (const char *const *)columns->names,
                            .label_name = columns->label_name,
                            .id_name = columns->id_name};
}

static dki_csv_header header_of(dk_header header) {
    static const dki_csv_header headers[] = {[DK_HEADER_AUTO] = DKI_CSV_HEADER_AUTO,
                                             [DK_HEADER_YES] = DKI_CSV_HEADER_YES,
                                             [DK_HEADER_NO] = DKI_CSV_HEADER_NO};
    return headers[header];
}

dk_status dki_source_table(const dki_request *request, dki_storage *storage) {
    const dki_csv_options options = {.label_column = request->options.label_column,
                                     .no_label = request->options.task == DK_TASK_NONE,
                                     .max_rows = request->options.rows,
                                     .header = header_of(request->options.header),
                                     .ignored = request->options.ignore_columns,
                                     .id_column = request->options.id_column,
                                     .like = layout_of(request),
                                     .first_line = request->first_line};
    dki_csv table;
    dk_status status = request->text
                           ? dki_csv_parse(request->allocator, request->source, request->text,
                                           request->bytes, &options, &table)
                           : dki_csv_read(request->allocator, request->source, &options, &table);
    if (!status) status = dki_table_apply(request, &table, storage);
    dki_csv_release(request->allocator, &table);
    return status;
}
