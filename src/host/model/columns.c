#include "model/columns.h"

#include <string.h>

static dk_status copy_names(const dk_allocator *allocator, const dki_columns *from,
                            dki_columns *to) {
    if (from->label_name) DKI_TRY(dki_copy_text(allocator, from->label_name, &to->label_name));
    if (from->id_name) DKI_TRY(dki_copy_text(allocator, from->id_name, &to->id_name));
    if (!from->names) return DK_OK;
    DKI_TRY(dki_new(allocator, &to->names, (size_t)from->features, "the names of columns"));
    for (int64_t i = 0; i < from->features; ++i)
        DKI_TRY(dki_copy_text(allocator, from->names[i], &to->names[i]));
    return DK_OK;
}

dk_status dki_columns_copy(const dk_allocator *allocator, const dki_columns *from,
                           dki_columns *to) {
    *to = (dki_columns){.source = from->source, .features = from->features, .label = from->label};
    if (from->source == 0) return DK_OK;
    dk_status status =
        dki_new(allocator, &to->positions, (size_t)from->features, "the columns of a table");
    if (!status) {
        memcpy(to->positions, from->positions, (size_t)from->features * sizeof *to->positions);
        status = copy_names(allocator, from, to);
    }
    if (status) dki_columns_release(allocator, to);
    return status;
}

void dki_columns_release(const dk_allocator *allocator, dki_columns *columns) {
    for (int64_t i = 0; columns->names && i < columns->features; ++i)
        dki_release(allocator, columns->names[i]);
    dki_release(allocator, columns->names);
    dki_release(allocator, columns->label_name);
    dki_release(allocator, columns->id_name);
    dki_release(allocator, columns->positions);
    *columns = (dki_columns){0};
}
