#include "model/json_columns.h"

/* ---- writing ---- */

static json_t *position_array(const dki_columns *columns) {
    json_t *array = json_array();
    for (int64_t i = 0; array && i < columns->features; ++i)
        if (json_array_append_new(array, json_integer((json_int_t)columns->positions[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *name_array(const dki_columns *columns) {
    if (!columns->names) return json_null();
    json_t *array = json_array();
    for (int64_t i = 0; array && i < columns->features; ++i)
        if (json_array_append_new(array, json_string(columns->names[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *text_or_null(const char *text) {
    return text ? json_string(text) : json_null();
}

json_t *dki_columns_to_json(const dki_columns *columns) {
    if (columns->source == 0) return json_null();
    return json_pack("{s:I, s:o, s:I, s:o, s:o, s:o}", "columns", (json_int_t)columns->source,
                     "features", position_array(columns), "label", (json_int_t)columns->label,
                     "names", name_array(columns), "label_name", text_or_null(columns->label_name),
                     "id_name", text_or_null(columns->id_name));
}

/* ---- reading ---- */

static dk_status read_positions(const dk_allocator *allocator, const json_t *object,
                                dki_columns *columns) {
    const json_t *array = json_object_get(object, "features");
    DKI_REQUIRE(json_array_size(array) == (size_t)columns->features, DK_E_MODEL,
                "\"features\" has %zu columns, not %lld", json_array_size(array),
                (long long)columns->features);
    DKI_TRY(dki_new(allocator, &columns->positions, (size_t)columns->features,
                    "the columns of a table"));
    for (int64_t i = 0; i < columns->features; ++i) {
        const json_t *number = json_array_get(array, (size_t)i);
        columns->positions[i] = json_integer_value(number);
        DKI_REQUIRE(json_is_integer(number) && columns->positions[i] >= 0 &&
                        columns->positions[i] < columns->source,
                    DK_E_MODEL, "\"features\"[%lld] isn't a column", (long long)i);
    }
    return DK_OK;
}

/* A text of an object or array, copied; null leaves NULL. */
static dk_status read_text(const dk_allocator *allocator, const json_t *value, const char *key,
                           char **text) {
    if (json_is_null(value)) return DK_OK;
    DKI_REQUIRE(json_is_string(value), DK_E_MODEL, "\"%s\" isn't a text", key);
    return dki_copy_text(allocator, json_string_value(value), text);
}

static dk_status read_names(const dk_allocator *allocator, const json_t *object,
                            dki_columns *columns) {
    const json_t *array = json_object_get(object, "names");
    DKI_TRY(read_text(allocator, json_object_get(object, "label_name"), "label_name",
                      &columns->label_name));
    DKI_TRY(read_text(allocator, json_object_get(object, "id_name"), "id_name", &columns->id_name));
    if (json_is_null(array)) return DK_OK;
    DKI_REQUIRE(json_array_size(array) == (size_t)columns->features, DK_E_MODEL,
                "\"names\" has %zu texts, not %lld", json_array_size(array),
                (long long)columns->features);
    DKI_TRY(dki_new(allocator, &columns->names, (size_t)columns->features, "the names of columns"));
    for (int64_t i = 0; i < columns->features; ++i) {
        const json_t *name = json_array_get(array, (size_t)i);
        DKI_REQUIRE(json_is_string(name), DK_E_MODEL, "\"names\"[%lld] isn't a text", (long long)i);
        DKI_TRY(read_text(allocator, name, "names", &columns->names[i]));
    }
    return DK_OK;
}

dk_status dki_columns_from_json(const dk_allocator *allocator, const json_t *object,
                                int64_t features, dki_columns *columns) {
    *columns = (dki_columns){.label = -1};
    if (!object || json_is_null(object)) return DK_OK;
    columns->features = features;
    dk_status status = dki_json_integer(object, "columns", &columns->source);
    if (!status) status = dki_json_integer(object, "label", &columns->label);
    if (!status &&
        (columns->source < features || columns->label < -1 || columns->label >= columns->source))
        status =
            dki_fail(DK_E_MODEL, "%lld columns with the label in %lld, and %lld features",
                     (long long)columns->source, (long long)columns->label, (long long)features);
    if (!status) status = read_positions(allocator, object, columns);
    if (!status) status = read_names(allocator, object, columns);
    if (!status) return DK_OK;
    dki_columns_release(allocator, columns);
    return dki_fail_in(status, "\"table\"");
}
