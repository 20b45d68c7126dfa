#include "format/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dk_status dki_json_number(const json_t *object, const char *key, double *value) {
    const json_t *number = json_object_get(object, key);
    DKI_REQUIRE(json_is_number(number), DK_E_MODEL, "\"%s\" isn't a number", key);
    *value = json_number_value(number);
    return DK_OK;
}

dk_status dki_json_integer(const json_t *object, const char *key, int64_t *value) {
    const json_t *number = json_object_get(object, key);
    DKI_REQUIRE(json_is_integer(number), DK_E_MODEL, "\"%s\" isn't a whole number", key);
    *value = json_integer_value(number);
    return DK_OK;
}

dk_status dki_json_boolean(const json_t *object, const char *key, bool *value) {
    const json_t *boolean = json_object_get(object, key);
    DKI_REQUIRE(json_is_boolean(boolean), DK_E_MODEL, "\"%s\" isn't true or false", key);
    *value = json_is_true(boolean);
    return DK_OK;
}

dk_status dki_json_text(const json_t *object, const char *key, const char **value) {
    *value = json_string_value(json_object_get(object, key));
    DKI_REQUIRE(*value, DK_E_MODEL, "\"%s\" isn't a text", key);
    return DK_OK;
}

json_t *dki_json_from_unsigned(uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return json_string(text);
}

dk_status dki_json_unsigned(const json_t *object, const char *key, uint64_t *value) {
    const char *text = NULL;
    char *end = NULL;
    DKI_TRY(dki_json_text(object, key, &text));
    errno = 0; /* strtoull tells of an overflow by errno alone */
    *value = strtoull(text, &end, 10);
    DKI_REQUIRE(*text >= '0' && *text <= '9' && *end == '\0' && errno == 0, DK_E_MODEL,
                "%s \"%.40s\" isn't a number below 2^64", key, text);
    return DK_OK;
}

json_t *dki_json_from_double(double value) {
    if (isfinite(value)) return json_real(value);
    return json_string(isnan(value) ? "nan" : value > 0.0 ? "inf" : "-inf");
}

dk_status dki_json_double(const json_t *object, const char *key, double *value) {
    static const struct {
        const char *text;
        double value;
    } others[] = {{"nan", (double)NAN}, {"inf", (double)INFINITY}, {"-inf", (double)-INFINITY}};
    const char *text = json_string_value(json_object_get(object, key));
    for (size_t i = 0; text && i < sizeof others / sizeof *others; ++i)
        if (strcmp(text, others[i].text) == 0) {
            *value = others[i].value;
            return DK_OK;
        }
    return dki_json_number(object, key, value);
}
<<<<<<< HEAD
=======

dk_status dki_json_dump(const dk_allocator *allocator, json_t *value, const char *what,
                        char **text) {
    *text = NULL;
    /* Into memory of our own: only the application's jansson knows how to free what it gives. */
    const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII;
    const size_t bytes = value ? json_dumpb(value, NULL, 0, flags) : 0;
    dk_status status = bytes ? dki_new(allocator, text, bytes + 1, what) : DK_OK;
    if (!status && (!bytes || json_dumpb(value, *text, bytes, flags) != bytes)) {
        dki_release(allocator, *text);
        *text = NULL;
        status = dki_fail(DK_E_MEMORY, "out of memory: %s", what);
    }
    json_decref(value);
    return status;
}
>>>>>>> wt-fuzz
