// The command's numbers, lists of widths and names: what is accepted is what was written.
#include "command.h"

extern "C" {
#include "layers.h"
#include "text.h"
}

#include <cmath>
#include <vector>

namespace {

void check_integer(const char *text, int64_t low, int64_t high) {
    int64_t value = 0;
    if (!fuzz::parses([&] { value = cli_integer("--n", text, low, high); })) return;
    fuzz::expect(value >= low && value <= high, "it is in its range");
    char *end = nullptr;
    errno = 0;
    fuzz::expect(value == strtoll(text, &end, 10) && !*end && !errno, "it is the number");
}

void check_real(const char *text, int open) {
    double value = NAN;
    if (!fuzz::parses([&] { value = cli_real("--r", text, 0, 1, open); })) return;
    fuzz::expect(open & CLI_OPEN_LOW ? value > 0 : value >= 0, "it is in its range");
    fuzz::expect(open & CLI_OPEN_HIGH ? value < 1 : value <= 1, "it is in its range");
}

void check_decimal(const std::string &text) {
    double value = NAN;
    if (!cli_decimal(text.data(), text.size(), &value)) return;
    char *end = nullptr;
    fuzz::expect(fuzz::same_bits(value, strtod(text.c_str(), &end)) && !*end &&
                     std::isfinite(value),
                 "it is strtod's number");
}

// The widths joined again are the text, less signs and leading zeros.
std::string plain(const char *text) {
    std::string plain;
    for (bool first = true; *text; ++text) {
        if (first && (*text == '+' || *text == '0')) continue;
        first = *text == ',';
        plain += *text == ',' ? '-' : *text;
    }
    return plain;
}

void check_layers(const char *text) {
    static cli_layers layers; // not on the stack: it is passed over by longjmp
    static char joined[1 << 15];
    if (!fuzz::parses([&] { cli_layers_parse(&layers, text); })) return;
    fuzz::expect(layers.count >= 2 && layers.count <= CLI_MOST_HIDDEN + 2, "as many as fit");
    for (size_t i = 0; i < layers.count; ++i) fuzz::expect(layers.widths[i] >= 1, "widths from 1");
    fuzz::expect(plain(text) == cli_layers_text(&layers, joined, sizeof joined), "as written");
    char little[8];
    cli_layers_text(&layers, little, sizeof little);
    fuzz::expect(std::strlen(little) < sizeof little, "cut where its room ends");
}

void check_name(const char *text, cli_name_at at) {
    int index = -1;
    if (!fuzz::parses([&] { index = cli_name_index("--name", text, at); })) return;
    fuzz::expect(at(index) && std::strcmp(at(index), text) == 0, "it is the name");
}

} // namespace

// The first byte: what the text is taken for.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const cli_name_at names[] = {cli_activation_at, cli_loss_at,     cli_init_at,
                                        cli_optimizer_at,  cli_schedule_at, cli_precision_at,
                                        cli_task_at};
    fuzz::Run run(bytes, 0, 0);
    fuzz::Input input(data, bytes);
    const uint8_t choice = input.byte();
    const std::string text = input.text();
    switch (choice & 7) {
    case 0:
        check_integer(text.c_str(), INT64_MIN, INT64_MAX);
        break;
    case 1:
        check_integer(text.c_str(), choice & 8 ? 1 : -3, choice & 16 ? INT64_MAX : 4096);
        break;
    case 2:
        check_real(text.c_str(), choice >> 3 & 3);
        break;
    case 3:
        check_decimal(text.c_str());
        break;
    case 4:
    case 5:
        check_layers(text.c_str());
        break;
    default:
        check_name(text.c_str(), names[(choice >> 3) % 7]);
        break;
    }
    return 0;
}
