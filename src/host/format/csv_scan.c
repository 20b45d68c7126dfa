#include "format/csv_scan.h"

#include "format/csv.h"

#include <string.h>

static bool is_blank(const dki_csv_scan *scan, char c) {
    return c == ' ' || (c == '\t' && scan->separator != '\t');
}

/* The most frequent of the three in the first line, outside quotes; where two are as frequent, `;`
 * before `,`, which may be a decimal comma. */
static char find_separator(const char *at, const char *end) {
    static const char candidates[] = {'\t', ';', ','};
    size_t counts[sizeof candidates] = {0};
    bool quoted = false;
    while (at < end && (*at == '\n' || *at == '\r')) ++at;
    for (; at < end && (quoted || *at != '\n'); ++at) {
        if (*at == '"') quoted = !quoted;
        for (size_t i = 0; !quoted && i < sizeof candidates; ++i) counts[i] += *at == candidates[i];
    }
    size_t best = 2;
    if (counts[1] > 0 && counts[1] >= counts[best]) best = 1;
    if (counts[0] > counts[best]) best = 0;
    return candidates[best];
}

dk_status dki_csv_scan_start(const char *name, const char *text, size_t bytes, dki_csv_scan *scan) {
    *scan = (dki_csv_scan){.name = name, .at = text, .end = text + bytes, .line = 1};
    DKI_REQUIRE(bytes == 0 || !memchr(text, 0, bytes), DK_E_DATA,
                "%s: it holds zero bytes: not a CSV text, or one in UTF-16; save it as CSV in "
                "UTF-8",
                name);
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) scan->at += 3;
    scan->separator = find_separator(scan->at, scan->end);
    return DK_OK;
}

bool dki_csv_next_row(dki_csv_scan *scan) {
    for (;;) {
        scan->row_start = scan->at;
        scan->row_line = scan->line;
        const char *at = scan->at;
        while (at < scan->end && (is_blank(scan, *at) || *at == '\r')) ++at;
        if (at == scan->end) return false;
        if (*at != '\n') return true;
        scan->at = at + 1;
        ++scan->line;
    }
}

/* Ends a field at `at`, where a separator, a line end or the end of the text stands. */
static dk_status end_field(dki_csv_scan *scan, const char *at, bool *more) {
    *more = at < scan->end && *at == scan->separator;
    if (at < scan->end && *at == '\n') ++scan->line;
    scan->at = at < scan->end ? at + 1 : at;
    if (!*more)
        DKI_REQUIRE(scan->at - scan->row_start <= DKI_CSV_LINE_BYTES, DK_E_DATA,
                    "%s:%lld: a row of more than %d bytes: not a table, or a quote that opens here "
                    "and never closes",
                    scan->name, (long long)scan->row_line, (int)DKI_CSV_LINE_BYTES);
    return DK_OK;
}

/* A field in quotes, `at` behind the first of them. */
static dk_status quoted_field(dki_csv_scan *scan, const char *at, dki_csv_field *field,
                              bool *more) {
    int64_t first_line = scan->line;
    field->text = at;
    for (;; ++at) {
        DKI_REQUIRE(at < scan->end, DK_E_DATA, "%s:%lld: a quote opens here and never closes",
                    scan->name, (long long)first_line);
        if (*at == '\n') ++scan->line;
        if (*at != '"') continue;
        if (at + 1 == scan->end || at[1] != '"') break;
        field->escaped = true;
        ++at;
    }
    field->length = (size_t)(at - field->text);
    ++at;
    while (at < scan->end && (is_blank(scan, *at) || *at == '\r')) ++at;
    DKI_REQUIRE(at == scan->end || *at == scan->separator || *at == '\n', DK_E_DATA,
                "%s:%lld: text behind a closing quote: a quote inside a field is written twice",
                scan->name, (long long)scan->line);
    return end_field(scan, at, more);
}

dk_status dki_csv_next_field(dki_csv_scan *scan, dki_csv_field *field, bool *more) {
    const char *at = scan->at, *end = scan->end;
    const char separator = scan->separator;
    *field = (dki_csv_field){0};
    while (at < end && is_blank(scan, *at)) ++at;
    if (at < end && *at == '"') return quoted_field(scan, at + 1, field, more);
    field->text = at;
    while (at < end && *at != separator && *at != '\n') ++at;
    const char *last = at;
    if (last > field->text && last[-1] == '\r' && (at == end || *at == '\n')) --last;
    while (last > field->text && is_blank(scan, last[-1])) --last;
    field->length = (size_t)(last - field->text);
    return end_field(scan, at, more);
}

size_t dki_csv_field_copy(const dki_csv_field *field, char *to) {
    size_t written = 0;
    for (size_t i = 0; i < field->length; ++i) {
        to[written++] = field->text[i];
        if (field->escaped && field->text[i] == '"') ++i;
    }
    to[written++] = 0;
    return written;
}
