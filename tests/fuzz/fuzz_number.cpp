// Decimal texts: what is taken for a number is strtod's, to the bit.
#include "fuzz.h"

extern "C" {
#include "format/csv_number.h"
}

#include <cmath>

static locale_t c_locale() {
    static const locale_t made = newlocale(LC_NUMERIC_MASK, "C", nullptr);
    return made;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz::Run run(bytes, 0, 0);
    const std::string text(reinterpret_cast<const char *>(data), bytes);
    double value = 0;
    const dki_number kind = dki_csv_number(text.data(), text.size(), c_locale(), &value);
    if (kind == DKI_NUMBER_TEXT) return 0;
    char *end = nullptr;
    const double expected = strtod_l(text.c_str(), &end, c_locale());
    fuzz::expect(end == text.c_str() + text.size(), "strtod takes the whole text, too");
    fuzz::expect((kind == DKI_NUMBER_FINITE) == static_cast<bool>(std::isfinite(expected)),
                 "it is finite if strtod's is");
    if (kind != DKI_NUMBER_FINITE) return 0;
    fuzz::expect(fuzz::same_bits(value, expected), "it is strtod's number, to the bit");
    return 0;
}
