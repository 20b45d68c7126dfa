#include "format/fields.h"

#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(dk_optimizer) == sizeof(int), "an enum is read and written as an int");

/* A field's value; `from` is where it lies. */
static json_t *to_json(dki_field_kind kind, const void *from) {
    switch (kind) {
    case DKI_FIELD_INTEGER:
        return json_integer(*(const int64_t *)from);
    case DKI_FIELD_UNSIGNED:
        return dki_json_from_unsigned(*(const uint64_t *)from);
    case DKI_FIELD_WORD:
        return json_integer(*(const uint32_t *)from);
    case DKI_FIELD_ENUM:
        return json_integer(*(const int *)from);
    case DKI_FIELD_BOOLEAN:
        return json_boolean(*(const bool *)from);
    case DKI_FIELD_DOUBLE:
        return dki_json_from_double(*(const double *)from);
    case DKI_FIELD_FLOAT:
        return dki_json_from_double((double)*(const float *)from);
    case DKI_FIELD_TEXT:
        return json_string(from);
    }
    return NULL;
}

json_t *dki_fields_to_json(const dki_field *fields, size_t count, const void *values) {
    json_t *object = json_object();
    for (size_t i = 0; object && i < count; ++i) {
        json_t *value = to_json(fields[i].kind, (const char *)values + fields[i].at);
        if (json_object_set_new(object, fields[i].name, value) == 0) continue;
        json_decref(object);
        return NULL;
    }
    return object;
}

static dk_status get_in_range(const json_t *object, const char *name, int64_t low, int64_t high,
                              int64_t *value) {
    DKI_TRY(dki_json_integer(object, name, value));
    DKI_REQUIRE(*value >= low && *value <= high, DK_E_MODEL, "\"%s\" is out of range: %lld", name,
                (long long)*value);
    return DK_OK;
}

static dk_status get_text(const json_t *object, const dki_field *field, char *to) {
    const char *text = NULL;
    DKI_TRY(dki_json_text(object, field->name, &text));
    DKI_REQUIRE(strlen(text) < field->bytes, DK_E_MODEL, "\"%s\" is too long", field->name);
    memcpy(to, text, strlen(text) + 1);
    return DK_OK;
}

static dk_status from_json(const dki_field *field, const json_t *object, void *to) {
    int64_t integer = 0;
    double number = 0.0;
    switch (field->kind) {
    case DKI_FIELD_INTEGER:
        return dki_json_integer(object, field->name, to);
    case DKI_FIELD_UNSIGNED:
        return dki_json_unsigned(object, field->name, to);
    case DKI_FIELD_WORD:
        DKI_TRY(get_in_range(object, field->name, 0, UINT32_MAX, &integer));
        *(uint32_t *)to = (uint32_t)integer;
        return DK_OK;
    case DKI_FIELD_ENUM:
        DKI_TRY(get_in_range(object, field->name, 0, INT32_MAX, &integer));
        *(int *)to = (int)integer;
        return DK_OK;
    case DKI_FIELD_BOOLEAN:
        return dki_json_boolean(object, field->name, to);
    case DKI_FIELD_DOUBLE:
        return dki_json_double(object, field->name, to);
    case DKI_FIELD_FLOAT:
        DKI_TRY(dki_json_double(object, field->name, &number));
        *(float *)to = (float)number;
        return DK_OK;
    case DKI_FIELD_TEXT:
        return get_text(object, field, to);
    }
    return dki_fail(DK_E_MODEL, "\"%s\" has no kind", field->name);
}

dk_status dki_fields_from_json(const dki_field *fields, size_t count, const json_t *object,
                               void *values) {
    DKI_REQUIRE(json_is_object(object), DK_E_MODEL, "an object with \"%s\" is missing",
                fields[0].name);
    for (size_t i = 0; i < count; ++i)
        DKI_TRY(from_json(&fields[i], object, (char *)values + fields[i].at));
    return DK_OK;
}

const dki_field *dki_fields_differ(const dki_field *fields, size_t count, const void *a,
                                   const void *b) {
    for (size_t i = 0; i < count; ++i) {
        const char *one = (const char *)a + fields[i].at, *other = (const char *)b + fields[i].at;
        const bool same = fields[i].kind == DKI_FIELD_TEXT
                              ? strcmp(one, other) == 0
                              : memcmp(one, other, fields[i].bytes) == 0;
        if (!same) return &fields[i];
    }
    return NULL;
}

void dki_field_print(const dki_field *field, const void *values, char *text, size_t bytes) {
    const void *from = (const char *)values + field->at;
    const char *name = field->name_of ? field->name_of(*(const int *)from) : NULL;
    json_t *value = name ? json_string(name) : to_json(field->kind, from);
    if (json_is_string(value))
        snprintf(text, bytes, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, bytes, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, bytes, "%.17g", json_real_value(value));
    else
        snprintf(text, bytes, "%s", json_is_true(value) ? "true" : "false");
    json_decref(value);
}
