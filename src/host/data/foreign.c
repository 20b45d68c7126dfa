#include "data/foreign.h"

#include <string.h>

/* What a file begins with, what it is, and what to do. */
typedef struct {
    const char *magic;
    size_t bytes;
    const char *kind, *way_out;
} format;

#define MAGIC(text) text, sizeof(text) - 1
#define BY_PANDAS   "write it as CSV (pandas: to_csv(\"t.csv\", index=False)) or NPY (numpy.save)"
#define UNPACK      "unpack it; of compressed files .gz alone is read"

static const format formats[] = {
    {MAGIC("PK\003\004"), "a ZIP archive (.npz, .xlsx)",
     "save the arrays of an .npz as x.npy and y.npy in a folder (numpy.save), a sheet as CSV"},
    {MAGIC("\211HDF\r\n\032\n"), "an HDF5 file (.h5)", BY_PANDAS},
    {MAGIC("PAR1"), "a Parquet file", BY_PANDAS},
    {MAGIC("ARROW1"), "an Arrow or Feather file", BY_PANDAS},
    {MAGIC("FEA1"), "a Feather file", BY_PANDAS},
    {MAGIC("SQLite format 3"), "an SQLite database", "write the table as CSV"},
    {MAGIC("MATLAB 5.0"), "a MATLAB file (.mat)", BY_PANDAS},
    {MAGIC("\200\002"), "a Python pickle", BY_PANDAS},
    {MAGIC("\200\003"), "a Python pickle", BY_PANDAS},
    {MAGIC("\200\004"), "a Python pickle", BY_PANDAS},
    {MAGIC("\200\005"), "a Python pickle", BY_PANDAS},
    {MAGIC("\3757zXZ"), "compressed by xz", UNPACK},
    {MAGIC("BZh"), "compressed by bzip2", UNPACK},
    {MAGIC("\050\265\057\375"), "compressed by zstd", UNPACK},
    {MAGIC("\377\376"), "a text in UTF-16", "save it in UTF-8"},
    {MAGIC("\376\377"), "a text in UTF-16", "save it in UTF-8"},
    {MAGIC("%PDF"), "a PDF", "write the table as CSV"},
    {MAGIC("<!DOCTYPE html"), "a web page", "was the file itself downloaded?"},
    {MAGIC("<html"), "a web page", "was the file itself downloaded?"},
    {MAGIC("version https://git-lfs"), "a pointer of git LFS", "fetch the file (git lfs pull)"},
    {MAGIC("@relation"), "an ARFF file (Weka)", "write it as CSV"},
    {MAGIC("sep="), "a CSV with a first line for Excel", "leave that line out"},
};

static size_t span_of(const char *at, size_t bytes, const char *set) {
    size_t length = 0;
    while (length < bytes && at[length] && strchr(set, at[length])) ++length;
    return length;
}

/* {"a": 1, …} or [… at the beginning: not the way that a table starts. */
static bool is_json(const char *text, size_t bytes) {
    const size_t blanks = span_of(text, bytes, " \t\r\n");
    return blanks < bytes && (text[blanks] == '{' || text[blanks] == '[');
}

/* A number, then index:value pairs with blanks between them. */
static bool is_libsvm(const char *line, size_t bytes) {
    size_t at = span_of(line, bytes, "0123456789+-.eE");
    if (at == 0) return false;
    at += span_of(line + at, bytes - at, " ");
    const size_t digits = span_of(line + at, bytes - at, "0123456789");
    return digits > 0 && at + digits < bytes && line[at + digits] == ':';
}

/* Numbers with blanks between them and none of a table's separators. */
static bool is_blank_separated(const char *line, size_t bytes) {
    size_t numbers = 0, at = span_of(line, bytes, " ");
    while (at < bytes) {
        const size_t length = span_of(line + at, bytes - at, "0123456789+-.eE");
        if (length == 0) return false;
        ++numbers;
        at += length;
        const size_t blanks = span_of(line + at, bytes - at, " ");
        if (blanks == 0) break;
        at += blanks;
    }
    return numbers >= 2 && at >= bytes;
}

/* A first line that begins with # and has none of a table's separators: #a,b,y may be a header. */
static bool is_comment(const char *line, size_t bytes) {
    if (bytes == 0 || line[0] != '#') return false;
    return !memchr(line, ',', bytes) && !memchr(line, ';', bytes) && !memchr(line, '\t', bytes);
}

/* Lines that end as those of old Macs did. */
static bool ends_lines_by_cr(const char *text, size_t bytes) {
    const char *end = memchr(text, '\r', bytes);
    return end && !memchr(text, '\n', bytes) && end + 1 < text + bytes;
}

static dk_status refuse_text(const char *path, const char *text, size_t bytes) {
    const char *end = memchr(text, '\n', bytes);
    size_t line = end ? (size_t)(end - text) : bytes;
    while (line > 0 && (text[line - 1] == '\r' || text[line - 1] == ' ')) --line;
    if (is_json(text, bytes)) return dki_fail(DK_E_DATA, "%s: this is JSON: " BY_PANDAS, path);
    if (is_comment(text, line))
        return dki_fail(
            DK_E_DATA,
            "%s: its first line is a comment, which isn't read here: leave out the lines "
            "that begin with # (grep -v '^#' %s >table.csv)",
            path, path);
    if (ends_lines_by_cr(text, bytes))
        return dki_fail(
            DK_E_DATA,
            "%s: its lines end by CR alone: end them by LF (tr '\\r' '\\n' <%s >table.csv)", path,
            path);
    if (is_libsvm(text, line))
        return dki_fail(
            DK_E_DATA,
            "%s: this is libsvm text (label index:value …): write it as CSV, a column a "
            "feature (scikit-learn: load_svmlight_file, then numpy.savetxt)",
            path);
    if (is_blank_separated(text, line))
        return dki_fail(DK_E_DATA,
                        "%s: its columns are separated by blanks: separate them by , ; or TAB (tr "
                        "-s ' ' , <%s >table.csv)",
                        path, path);
    return DK_OK;
}

dk_status dki_refuse_foreign(const char *path, const unsigned char *head, size_t bytes) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i)
        if (bytes >= formats[i].bytes && memcmp(head, formats[i].magic, formats[i].bytes) == 0)
            return dki_fail(DK_E_DATA, "%s: this is %s, which isn't read here: %s", path,
                            formats[i].kind, formats[i].way_out);
    return refuse_text(path, (const char *)head, bytes);
}
