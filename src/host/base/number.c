#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Replaces the locale's decimal point, of one byte or more, by ".". */
static void restore_point(char *text) {
    char *to = text;
    for (const char *from = text; *from; ++from) {
        if (strchr("0123456789+-e", *from))
            *to++ = *from;
        else if (to == text || to[-1] != '.')
            *to++ = '.';
    }
    *to = '\0';
}

void dki_number_text(double value, char text[DKI_NUMBER_TEXT]) {
    if (value == 0) value = 0; /* −0 */
    if (value == floor(value) && fabs(value) <= 0x1p53) {
        snprintf(text, DKI_NUMBER_TEXT, "%lld", (long long)value);
        return;
    }
    for (int digits = 1; digits <= 17; ++digits) {
        snprintf(text, DKI_NUMBER_TEXT, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    restore_point(text);
}

dk_status dki_number_parse(const char *text, double *value, bool *is_number) {
    *is_number = false;
    if (strspn(text, "0123456789+-.eE") != strlen(text)) return DK_OK;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    DKI_REQUIRE(plain, DK_E_MEMORY, "out of memory: a locale can't be made");
    char *end = NULL;
    *value = strtod_l(text, &end, plain);
    freelocale(plain);
    *is_number = end != text && *end == '\0' && isfinite(*value);
    return DK_OK;
}
