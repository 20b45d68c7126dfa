/* Decimal texts to doubles, correctly rounded, with a decimal point in every locale. */
#ifndef DKI_CSV_NUMBER_H
#define DKI_CSV_NUMBER_H

#include <locale.h>
#include <stddef.h>

typedef enum dki_number {
    DKI_NUMBER_FINITE,
    DKI_NUMBER_NONFINITE, /* nan, inf or infinity, in any case, with or without a sign */
    DKI_NUMBER_TOO_LARGE, /* beyond the range of a double */
    DKI_NUMBER_TEXT       /* anything else, hexadecimal and the empty text too */
} dki_number;

/** Reads all of text[0 … length−1] as a number; *value is set where it is finite. `c_locale` is
 *  newlocale(LC_NUMERIC_MASK, "C", 0). */
dki_number dki_csv_number(const char *text, size_t length, locale_t c_locale, double *value);

#endif
