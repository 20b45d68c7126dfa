#include "data/label_doubts.h"

#include "format/csv.h"
#include "format/csv_number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the labels are, one by one. */
typedef struct census {
    int64_t numbers, texts, eye;   /* how many of each kind; marks of missing values aside */
    int64_t first_text, first_eye; /* row of the first, −1 = none */
    bool fractions;                /* some number isn't whole */
    double *values;                /* [numbers] */
} census;

/* Bytes of a sign that stands before or behind a number in tables for people; 0 = there is none. */
static size_t sign_of_amount(const char *text) {
    static const char *const signs[] = {"%", "$", "€", "£", "¥", " ", "\u00a0", "\u202f"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; ++i)
        if (strncmp(text, signs[i], strlen(signs[i])) == 0) return strlen(signs[i]);
    return 0;
}

/* Whether a number goes on as Fortran writes exponents, 1.5d0, or in hexadecimal digits, 0x1f. */
static bool is_of_another_language(const char *text) {
    if (*text == '+' || *text == '-') ++text;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return text[2] && strspn(text + 2, "0123456789abcdefABCDEF") == strlen(text + 2);
    const size_t digits = strspn(text, "0123456789.");
    const char *exponent = text + digits;
    if (digits == 0 || (*exponent != 'd' && *exponent != 'D')) return false;
    ++exponent;
    if (*exponent == '+' || *exponent == '-') ++exponent;
    return *exponent && strspn(exponent, "0123456789") == strlen(exponent);
}

/* Whether nothing but digits, points, commas, and the signs above stand there, a digit among them. */
static bool is_number_to_the_eye(const char *text) {
    bool digit = false;
    if (*text == '+' || *text == '-') ++text;
    while (*text) {
        const size_t sign = sign_of_amount(text);
        digit = digit || (*text >= '0' && *text <= '9');
        if (!sign && !strchr("0123456789.,'", *text)) return false;
        text += sign ? sign : 1;
    }
    return digit;
}

static void count_label(const dki_labels *labels, int64_t i, locale_t locale, census *counted) {
    const char *text = labels->texts[i];
    double value = 0.0;
    if (dki_csv_is_mark(text)) return;
    if (dki_csv_number(text, strlen(text), locale, &value) == DKI_NUMBER_FINITE) {
        counted->values[counted->numbers++] = value;
        counted->fractions = counted->fractions || value != floor(value);
    } else if (is_number_to_the_eye(text) || is_of_another_language(text)) {
        if (counted->eye++ == 0) counted->first_eye = i;
    } else if (counted->texts++ == 0) {
        counted->first_text = i;
    }
}

static int by_number(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether the numbers are more different ones than classes have; sorts them. */
static bool are_measurements(census *counted) {
    if (counted->fractions) return true;
    int64_t different = 0;
    qsort(counted->values, (size_t)counted->numbers, sizeof *counted->values, by_number);
    for (int64_t i = 0; i < counted->numbers; ++i)
        different += i == 0 || counted->values[i] != counted->values[i - 1];
    return different > DKI_MOST_INFERRED;
}

static dk_status judge(const dki_labels *labels, census *counted) {
    if (counted->eye > 0 && counted->texts == 0)
        return dki_fail(
            DK_E_DATA,
            DKI_PLACE_FORMAT
            ": the label \"%.40s\" looks like a number and isn't read as one: write "
            "decimal points and exponents by e, and no thousands, currencies or percent "
            "signs; or say "
            "--task classification (dk_data_options.task) if these are classes",
            DKI_PLACE(labels, counted->first_eye), labels->texts[counted->first_eye]);
    if (counted->texts > 0 && counted->numbers > counted->texts && are_measurements(counted))
        return dki_fail(
            DK_E_DATA,
            DKI_PLACE_FORMAT
            ": the label \"%.40s\" is a text, and %lld others are numbers: correct it or "
            "leave the row out; or say --task classification (dk_data_options.task) if "
            "these are classes",
            DKI_PLACE(labels, counted->first_text), labels->texts[counted->first_text],
            (long long)counted->numbers);
    return DK_OK;
}

dk_status dki_labels_doubt(const dk_allocator *allocator, const dki_labels *labels) {
    if (labels->numbers) return DK_OK;
    census counted = {.first_text = -1, .first_eye = -1};
    DKI_TRY(dki_new(allocator, &counted.values, (size_t)labels->rows, "the labels"));
    dk_status status = DK_OK;
    locale_t locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (locale) {
        for (int64_t i = 0; i < labels->rows; ++i) count_label(labels, i, locale, &counted);
        freelocale(locale);
        status = judge(labels, &counted);
    } else {
        status = dki_fail(DK_E_MEMORY, "out of memory: a locale can't be made");
    }
    dki_release(allocator, counted.values);
    return status;
}
