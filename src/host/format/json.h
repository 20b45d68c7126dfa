/* JSON: reading and writing texts, and members of objects that must be there, and of their kind. For
 * those DK_E_MODEL names the one that isn't. */
#ifndef DKI_JSON_H
#define DKI_JSON_H

#include "base/error.h"

#include <jansson.h>

dk_status dki_json_number(const json_t *object, const char *key, double *value);
dk_status dki_json_integer(const json_t *object, const char *key, int64_t *value);
dk_status dki_json_boolean(const json_t *object, const char *key, bool *value);
/** Borrowed from the object. */
dk_status dki_json_text(const json_t *object, const char *key, const char **value);

/** A number below 2⁶⁴, written as a text: JSON's own integers end at 2⁶³ − 1. */
json_t *dki_json_from_unsigned(uint64_t value);
dk_status dki_json_unsigned(const json_t *object, const char *key, uint64_t *value);

/** Any double: a number, or the text "nan", "inf" or "-inf". */
json_t *dki_json_from_double(double value);
dk_status dki_json_double(const json_t *object, const char *key, double *value);

/** The value of `bytes` of text; objects have no key twice. The caller lets go of it (json_decref).
 *  DK_E_MODEL: "WHAT is no valid JSON at byte …"; DK_E_MEMORY. */
dk_status dki_json_parse(const char *text, size_t bytes, const char *what, json_t **value);

/** The text of a value, by jansson's `flags`, with blanks until it ends, `lead` bytes that come before
 *  counted, at a multiple of `alignment` (a power of two): *length bytes, and a zero. The caller releases
 *  it. NULL stands for memory that ran out. DK_E_MEMORY names `what`. */
dk_status dki_json_print(const dk_allocator *allocator, const json_t *value, size_t flags,
                         size_t lead, size_t alignment, const char *what, char **text,
                         size_t *length);

/** The compact text of a value, which is released; the caller releases the text with the allocator.
 *  NULL stands for memory that ran out. DK_E_MEMORY names `what`. */
dk_status dki_json_dump(const dk_allocator *allocator, json_t *value, const char *what,
                        char **text);

#endif
