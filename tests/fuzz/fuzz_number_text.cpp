// Numbers as text: the shortest text of a double reads back as it, and a text that is a number keeps
// its value through it.
#include "fuzz.h"

extern "C" {
#include "base/number.h"
}

#include <cmath>

static bool is_number(const char *text, double *value) {
    bool is = false;
    fuzz::expect(dki_number_parse(text, value, &is) == DK_OK, "there is memory for a locale");
    return is;
}

static void check(double value) {
    char text[DKI_NUMBER_TEXT];
    double again = 0;
    std::memset(text, 'x', sizeof text);
    dki_number_text(value, text);
    fuzz::expect(std::memchr(text, 0, sizeof text) != nullptr, "the text ends in its room");
    fuzz::expect(is_number(text, &again) && again == value, "the shortest text reads back");
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz::Run run(bytes, 0, 0);
    double value = 0;
    if (bytes >= sizeof value) {
        std::memcpy(&value, data, sizeof value);
        if (std::isfinite(value)) check(value);
    }
    const std::string text = fuzz::Input(data, bytes).text();
    if (!is_number(text.c_str(), &value)) return 0;
    fuzz::expect(std::isfinite(value), "a number is finite");
    check(value);
    return 0;
}
