#include "base/names.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = 63 };

/* Levenshtein distance by one row of the table. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= b_length; ++j) row[j] = j;
    for (size_t i = 1; i <= a_length; ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; ++j) {
            size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = substituted < shorter ? substituted : shorter;
        }
    }
    return row[b_length];
}

const char *dki_nearest(const char *text, size_t length, const char *const *names, size_t count) {
    if (length == 0 || length > LONGEST) return NULL;
    const char *nearest = NULL;
    size_t least = length - length / 3;
    for (size_t i = 0; i < count; ++i) {
        size_t name_length = strlen(names[i]);
        if (name_length > LONGEST) continue;
        size_t distance = edit_distance(text, length, names[i], name_length);
        if (distance < least) {
            least = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

dk_status dki_name_index(const char *kind, const char *text, size_t length,
                         const char *const *names, size_t count, size_t *index) {
    for (size_t i = 0; i < count; ++i)
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) {
            *index = i;
            return DK_OK;
        }
    char list[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof list; ++i)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    const char *nearest = dki_nearest(text, length, names, count);
    if (nearest)
        return dki_fail(DK_E_ARGUMENT, "unknown %s \"%.*s\": did you mean \"%s\"? One of: %s", kind,
                        (int)length, text, nearest, list);
    return dki_fail(DK_E_ARGUMENT, "unknown %s \"%.*s\": one of %s", kind, (int)length, text, list);
}
