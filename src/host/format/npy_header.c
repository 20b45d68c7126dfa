#include "format/npy_header.h"

#include <ctype.h>
#include <string.h>

enum { DESCR = 1, FORTRAN_ORDER = 2, SHAPE = 4 };

typedef struct {
    const char *name, *start, *at, *end;
    dki_array *array;
    size_t element;
} parser;

static dk_status fail(const parser *it, const char *expected) {
    return dki_fail(DK_E_DATA,
                    "%s: its header is malformed at character %zu: expected %s; write the file "
                    "with numpy.save",
                    it->name, (size_t)(it->at - it->start), expected);
}

static void skip_blanks(parser *it) {
    while (it->at < it->end && (*it->at == ' ' || *it->at == '\t' || *it->at == '\n')) ++it->at;
}

/* Consumes `character`, blanks before it aside; false if something else stands there. */
static bool take(parser *it, char character) {
    skip_blanks(it);
    if (it->at == it->end || *it->at != character) return false;
    ++it->at;
    return true;
}

static bool take_word(parser *it, const char *word) {
    skip_blanks(it);
    size_t length = strlen(word);
    if ((size_t)(it->end - it->at) < length || memcmp(it->at, word, length) != 0) return false;
    it->at += length;
    return true;
}

/* A string in single or double quotes, without escapes: NumPy writes none here. */
static dk_status take_string(parser *it, const char **text, size_t *length) {
    skip_blanks(it);
    if (it->at == it->end || (*it->at != '\'' && *it->at != '"')) return fail(it, "a quoted text");
    const char quote = *it->at++;
    const char *close = memchr(it->at, quote, (size_t)(it->end - it->at));
    if (!close) return fail(it, "the end of a quoted text");
    *text = it->at;
    *length = (size_t)(close - it->at);
    it->at = close + 1;
    return DK_OK;
}

static dk_status parse_descr(parser *it) {
    static const struct {
        const char *kind;
        dk_dtype type;
        size_t bytes;
    } known[] = {
        {"f4", DK_F32, 4}, {"f8", DK_F64, 8}, {"u1", DK_U8, 1},
        {"i4", DK_I32, 4}, {"i8", DK_I64, 8},
    };
    const char *text = NULL;
    size_t length = 0;
    if (take(it, '['))
        return dki_fail(DK_E_DATA,
                        "%s: it holds records of several fields: save one plain array, such as "
                        "numpy.column_stack of the fields",
                        it->name);
    DKI_TRY(take_string(it, &text, &length));
    for (size_t i = 0; length == 3 && i < sizeof known / sizeof *known; ++i) {
        if (memcmp(text + 1, known[i].kind, 2) != 0) continue;
        if (text[0] == '>' && known[i].bytes > 1)
            return dki_fail(DK_E_DATA,
                            "%s: its elements are big-endian (%.3s): save a.astype('<%s') instead",
                            it->name, text, known[i].kind);
        if (!strchr(known[i].bytes > 1 ? "<=" : "|<=", text[0])) break;
        it->array->type = known[i].type;
        it->element = known[i].bytes;
        return DK_OK;
    }
    return dki_fail(DK_E_DATA,
                    "%s: its elements are of dtype '%.*s': readable are '<f4', '<f8', '|u1', '<i4' "
                    "and '<i8'; save a.astype('<f4') instead",
                    it->name, length < 16 ? (int)length : 16, text);
}

static dk_status parse_order(parser *it) {
    if (take_word(it, "True"))
        it->array->fortran_order = true;
    else if (!take_word(it, "False"))
        return fail(it, "True or False");
    return DK_OK;
}

static dk_status parse_size(parser *it, int64_t *size) {
    skip_blanks(it);
    if (it->at == it->end || !isdigit((unsigned char)*it->at)) return fail(it, "a dimension");
    int64_t value = 0;
    for (; it->at < it->end && isdigit((unsigned char)*it->at); ++it->at)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *it->at - '0', &value))
            return fail(it, "a dimension below 2^63");
    *size = value;
    return DK_OK;
}

/* (), (3,), (3, 4) and (3, 4,): Python's tuples. */
static dk_status parse_shape(parser *it) {
    dki_array *array = it->array;
    bool comma = true;
    if (!take(it, '(')) return fail(it, "a tuple, such as (3, 4)");
    array->dims = 0;
    while (!take(it, ')')) {
        if (!comma) return fail(it, "',' or ')'");
        if (array->dims == DKI_ARRAY_DIMS) return fail(it, "at most 8 dimensions");
        DKI_TRY(parse_size(it, &array->shape[array->dims++]));
        comma = take(it, ',');
    }
    if (array->dims == 1 && !comma) return fail(it, "a comma in a tuple of one");
    DKI_REQUIRE(array->dims > 0, DK_E_DATA, "%s: it holds a single number: there are no rows in it",
                it->name);
    return DK_OK;
}

static dk_status parse_entry(parser *it, unsigned *seen) {
    static const struct {
        const char *key;
        unsigned bit;
        dk_status (*parse)(parser *);
    } entries[] = {
        {"descr", DESCR, parse_descr},
        {"fortran_order", FORTRAN_ORDER, parse_order},
        {"shape", SHAPE, parse_shape},
    };
    const char *key = NULL;
    size_t length = 0;
    DKI_TRY(take_string(it, &key, &length));
    for (size_t i = 0; i < sizeof entries / sizeof *entries; ++i) {
        if (strlen(entries[i].key) != length || memcmp(entries[i].key, key, length) != 0) continue;
        DKI_REQUIRE(!(*seen & entries[i].bit), DK_E_DATA,
                    "%s: its header has the key '%s' twice: write the file with numpy.save",
                    it->name, entries[i].key);
        *seen |= entries[i].bit;
        if (!take(it, ':')) return fail(it, "':'");
        return entries[i].parse(it);
    }
    return dki_fail(DK_E_DATA,
                    "%s: its header has the unknown key '%.*s': write the file with numpy.save",
                    it->name, length < 32 ? (int)length : 32, key);
}

dk_status dki_npy_header(const char *name, const char *text, size_t length, dki_array *array,
                         size_t *element) {
    parser it = {.name = name, .start = text, .at = text, .end = text + length, .array = array};
    unsigned seen = 0;
    bool comma = true;
    if (!take(&it, '{')) return fail(&it, "'{'");
    while (!take(&it, '}')) {
        if (!comma) return fail(&it, "',' or '}'");
        DKI_TRY(parse_entry(&it, &seen));
        comma = take(&it, ',');
    }
    skip_blanks(&it);
    if (it.at != it.end) return fail(&it, "nothing but blanks after '}'");
    DKI_REQUIRE(seen == (DESCR | FORTRAN_ORDER | SHAPE), DK_E_DATA,
                "%s: its header lacks '%s': write the file with numpy.save", name,
                !(seen & DESCR)           ? "descr"
                : !(seen & FORTRAN_ORDER) ? "fortran_order"
                                          : "shape");
    *element = it.element;
    return DK_OK;
}
