// Numbers have a decimal point where the program's locale has a comma. A program of its own: it
// says "skipped" where no such locale is installed.
#include <gtest/gtest.h>

extern "C" {
#include "format/csv_number.h"
}

#include <clocale>
#include <cstring>

namespace {

TEST(FormatLocale, NumbersHaveADecimalPoint) {
    bool comma = false;
    for (const char *name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"})
        comma = comma || (setlocale(LC_NUMERIC, name) && *localeconv()->decimal_point == ',');
    if (!comma) GTEST_SKIP() << "no locale with a decimal comma is installed";
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", nullptr);
    double value = 0;
    for (const char *text : {"0.25", "0.1234567890123456789"}) { // the fast path, the slow one
        EXPECT_EQ(dki_csv_number(text, strlen(text), c_locale, &value), DKI_NUMBER_FINITE);
        EXPECT_EQ(value, strtod_l(text, nullptr, c_locale));
        EXPECT_EQ(dki_csv_number("0,25", 4, c_locale, &value), DKI_NUMBER_TEXT);
    }
    freelocale(c_locale);
}

} // namespace
