/* Numbers as text, the same in every locale. */
#ifndef DKI_NUMBER_H
#define DKI_NUMBER_H

#include "base/error.h"

enum { DKI_NUMBER_TEXT = 32 };

/** The shortest decimal text that reads back as `value`; whole numbers without exponent or point as
 *  far as a double holds them exactly (2⁵³); −0 is "0". */
void dki_number_text(double value, char text[DKI_NUMBER_TEXT]);

/** Reads a whole text as a finite decimal number, if it is one. DK_E_MEMORY. */
dk_status dki_number_parse(const char *text, double *value, bool *is_number);

#endif
