/* Structures of plain values as JSON objects, by a table of their fields. */
#ifndef DKI_FIELDS_H
#define DKI_FIELDS_H

#include "format/json.h"

typedef enum dki_field_kind {
    DKI_FIELD_INTEGER,  /* int64_t */
    DKI_FIELD_UNSIGNED, /* uint64_t */
    DKI_FIELD_WORD,     /* uint32_t */
    DKI_FIELD_ENUM,     /* an enum, as its number */
    DKI_FIELD_BOOLEAN,  /* bool */
    DKI_FIELD_DOUBLE,   /* double, NaN and Inf too */
    DKI_FIELD_FLOAT,    /* float */
    DKI_FIELD_TEXT      /* char[], zero-ended */
} dki_field_kind;

typedef struct dki_field {
    const char *name;
    dki_field_kind kind;
    size_t at, bytes;
    const char *(*name_of)(int); /* of an enum's values, for people; or NULL */
} dki_field;

/** A table's entry: of member `name` of a structure. */
#define DKI_FIELD(structure, name, kind)                                                           \
    { #name, DKI_FIELD_##kind, offsetof(structure, name), sizeof(((structure *)0)->name), NULL }
#define DKI_FIELD_COUNT(table) (sizeof(table) / sizeof *(table))

/** An object with all fields in the order of the table; NULL where memory ran out. */
json_t *dki_fields_to_json(const dki_field *fields, size_t count, const void *values);

/** All fields must be there. DK_E_MODEL names the first that isn't, or that its type can't hold. */
dk_status dki_fields_from_json(const dki_field *fields, size_t count, const json_t *object,
                               void *values);

/** The first field of a table whose values differ, or NULL; doubles by their bits. */
const dki_field *dki_fields_differ(const dki_field *fields, size_t count, const void *a,
                                   const void *b);

/** A field's value for a person to read. */
void dki_field_print(const dki_field *field, const void *values, char *text, size_t bytes);

#endif
