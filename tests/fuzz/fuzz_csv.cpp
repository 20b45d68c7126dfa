// CSV texts: an accepted table written with 17 digits reads back as the same one.
#include "fuzz.h"

extern "C" {
#include "format/csv.h"
}

#include <cmath>

namespace {

// A field with its quotes where it must have some.
void append_text(std::string &text, const char *field) {
    text += '"';
    for (; *field; ++field) text.append(*field == '"' ? 2 : 1, *field);
    text += '"';
}

void append_number(std::string &text, double value) {
    char number[32];
    snprintf(number, sizeof number, "%.17g", value);
    text += number;
}

std::string write(const dki_csv &csv) {
    std::string text;
    auto row = [&](auto field) {
        for (int64_t j = 0; j < csv.columns; ++j) {
            if (j) text += csv.separator;
            field(j, csv.roles[j]);
        }
        text += '\n';
    };
    if (csv.header) row([&](int64_t j, int64_t) { append_text(text, csv.header[j]); });
    for (int64_t i = 0; i < csv.rows; ++i)
        row([&](int64_t, int64_t feature) {
            if (feature == DKI_CSV_LABEL)
                append_text(text, csv.labels[i]);
            else if (feature == DKI_CSV_ID)
                append_text(text, csv.ids[i]);
            else if (feature == DKI_CSV_LEFT_OUT)
                append_number(text, 0.5);
            else
                append_number(text, csv.values[i * csv.features + feature]);
        });
    return text;
}

bool same_labels(const dki_csv &a, const dki_csv &b, int64_t i) {
    return std::strcmp(a.labels[i], b.labels[i]) == 0 &&
           (!a.label_values || fuzz::same_bits(a.label_values[i], b.label_values[i]));
}

void expect_same(const dki_csv &a, const dki_csv &b) {
    fuzz::expect(a.rows == b.rows && a.columns == b.columns && a.features == b.features &&
                     a.label_column == b.label_column && a.id_column == b.id_column &&
                     !a.labels == !b.labels && !a.label_values == !b.label_values &&
                     !a.header == !b.header,
                 "what was written has the same shape");
    for (int64_t i = 0; i < a.rows * a.features; ++i)
        fuzz::expect(std::isfinite(a.values[i]) && fuzz::same_bits(a.values[i], b.values[i]),
                     "what was written has the same values");
    for (int64_t i = 0; a.labels && i < a.rows; ++i)
        fuzz::expect(same_labels(a, b, i), "what was written has the same labels");
    for (int64_t j = 0; a.header && j < a.columns; ++j)
        fuzz::expect(std::strcmp(a.header[j], b.header[j]) == 0, "and the same names");
}

// The first byte: which column is the label, whether rows are limited, others are ignored or named.
dki_csv_options choose(uint8_t choice) {
    static const char *const columns[] = {nullptr, "first", "last", "1", "y", "a\"b", "2", "999"};
    dki_csv_options options{};
    options.label_column = columns[choice & 7];
    options.no_label = choice & 8;
    options.max_rows = choice & 16 ? 2 : 0;
    options.header = choice & 32 ? DKI_CSV_HEADER_YES : DKI_CSV_HEADER_AUTO;
    options.ignored = choice & 64 ? "0,b" : nullptr;
    options.id_column = choice & 128 ? "1" : nullptr;
    return options;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    // A field of one byte costs 24, three times that while the list of its row grows, and its name's
    // pointer. What comes later, the values, needs less.
    constexpr size_t factor = 96, extra = 8192;
    fuzz::Run run(bytes, factor, extra);
    fuzz::Input input(data, bytes);
    dki_csv_options options = choose(input.byte());
    dki_csv csv, again;
    dk_status status =
        dki_csv_parse(fuzz::allocator(), "csv", reinterpret_cast<const char *>(input.data()),
                      input.size(), &options, &csv);
    if (!fuzz::succeeded(status, {DK_E_DATA, DK_E_NONFINITE, DK_E_ARGUMENT, DK_E_STATE})) return 0;
    const std::string text = write(csv);
    run.more(text.size(), factor, extra);
    options.header = csv.header ? DKI_CSV_HEADER_YES : DKI_CSV_HEADER_NO;
    status =
        dki_csv_parse(fuzz::allocator(), "written", text.data(), text.size(), &options, &again);
    fuzz::expect(status == DK_OK, "what was written can be read");
    expect_same(csv, again);
    dki_csv_release(fuzz::allocator(), &csv);
    dki_csv_release(fuzz::allocator(), &again);
    return 0;
}
