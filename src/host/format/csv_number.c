#include "format/csv_number.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 511, MOST_EXACT_POWER = 22 };

typedef struct {
    uint64_t mantissa;  /* the leading digits, as many as fit */
    int exponent;       /* power of ten that the mantissa is multiplied by */
    bool negative, cut; /* cut: digits were left out */
} decimal;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Adds the digits at `at` to the mantissa; each moves the exponent by `step` (−1 behind the point).
 */
static const char *take_digits(decimal *it, const char *at, const char *end, int step) {
    for (; at < end && is_digit(*at); ++at) {
        if (it->mantissa < UINT64_MAX / 10 - 1) {
            it->mantissa = it->mantissa * 10 + (uint64_t)(*at - '0');
            it->exponent += step;
        } else {
            it->cut = true;
            it->exponent += step + 1;
        }
    }
    return at;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or behind the point. */
static bool scan_decimal(const char *at, const char *end, decimal *it) {
    *it = (decimal){0};
    if (at < end && (*at == '-' || *at == '+')) it->negative = *at++ == '-';
    const char *first = at;
    at = take_digits(it, at, end, 0);
    ptrdiff_t digits = at - first;
    if (at < end && *at == '.') {
        first = ++at;
        at = take_digits(it, at, end, -1);
        digits += at - first;
    }
    if (digits == 0) return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        ++at;
        bool small = at < end && *at == '-';
        if (at < end && (*at == '-' || *at == '+')) ++at;
        if (at == end) return false;
        int power = 0;
        for (; at < end && is_digit(*at); ++at)
            if (power < 100000) power = power * 10 + (*at - '0');
        it->exponent += small ? -power : power;
    }
    return at == end;
}

static bool is_nonfinite(const char *text, size_t length) {
    if (length > 0 && (*text == '-' || *text == '+')) ++text, --length;
    return (length == 3 &&
            (strncasecmp(text, "nan", 3) == 0 || strncasecmp(text, "inf", 3) == 0)) ||
           (length == 8 && strncasecmp(text, "infinity", 8) == 0);
}

dki_number dki_csv_number(const char *text, size_t length, locale_t c_locale, double *value) {
    /* 10^0 … 10^22 are doubles; so is a mantissa up to 2^53. The product or quotient of two doubles
     * is correctly rounded, and so is the number then (Clinger, How to read floating point numbers
     * accurately, 1990). */
    static const double powers[MOST_EXACT_POWER + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    decimal number;
    if (!scan_decimal(text, text + length, &number))
        return is_nonfinite(text, length) ? DKI_NUMBER_NONFINITE : DKI_NUMBER_TEXT;
    int exponent = number.exponent;
    if (!number.cut && number.mantissa <= UINT64_C(1) << 53 && exponent >= -MOST_EXACT_POWER &&
        exponent <= MOST_EXACT_POWER) {
        double size = (double)number.mantissa;
        size = exponent < 0 ? size / powers[-exponent] : size * powers[exponent];
        *value = number.negative ? -size : size;
        return DKI_NUMBER_FINITE;
    }
    char copy[LONGEST + 1];
    if (length > LONGEST) return DKI_NUMBER_TEXT;
    memcpy(copy, text, length);
    copy[length] = 0;
    *value = strtod_l(copy, NULL, c_locale);
    return isfinite(*value) ? DKI_NUMBER_FINITE : DKI_NUMBER_TOO_LARGE;
}
