/* Rows from a stream, answered as they come. Whole lines go to the library as a table, with the stream's
 * first line in front of them where it is a header. */
#include "cli.h"
#include "predict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, MOST_LINE = 64 << 20 };

typedef struct stream {
    predictor *p;
    const char *name;
    char *text; /* what was read and isn't answered yet */
    size_t used, capacity;
    int64_t line; /* of the first byte of it */
    char *header; /* the first line with its line end, or NULL */
    size_t header_bytes;
    bool begun, warned; /* the first line was looked at; the notes were said */
} stream;

/* The table of `bytes` of text; with a header in front, which counts as the line before. */
static dk_status open_lines(const stream *s, const char *text, size_t bytes, int64_t line,
                            dk_dataset **data) {
    dk_data_options options = s->p->options;
    if (!s->header) {
        if (s->begun) options.header = DK_HEADER_NO;
        return dk_dataset_open_text(data, s->p->context, s->name, text, bytes, line, &options);
    }
    char *both = cli_allocate(s->header_bytes + bytes, 1);
    memcpy(both, s->header, s->header_bytes);
    memcpy(both + s->header_bytes, text, bytes);
    options.header = DK_HEADER_YES;
    dk_status status =
        dk_dataset_open_text(data, s->p->context, s->name, both, s->header_bytes + bytes,
                             line > 1 ? line - 1 : 1, &options);
    free(both);
    return status;
}

/* Answers lines that are a table. */
static dk_status answer(stream *s, const char *text, size_t bytes, int64_t line, int *code) {
    dk_dataset *data = NULL;
    dk_status status = open_lines(s, text, bytes, line, &data);
    if (status) return status;
    if (!s->warned) cli_warn_of_data(data);
    s->warned = true;
    *code = predict_dataset(s->p, data);
    dk_dataset_destroy(data);
    return DK_OK;
}

static bool is_blank(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i)
        if (text[i] == '\0' || !strchr(" \t\r\n", text[i])) return false;
    return true;
}

static size_t line_at(const char *text, size_t bytes) {
    const char *end = memchr(text, '\n', bytes);
    return end ? (size_t)(end - text) + 1 : bytes;
}

static void drop(stream *s, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) s->line += s->text[i] == '\n';
    memmove(s->text, s->text + bytes, s->used - bytes);
    s->used -= bytes;
}

/* The library's text names file and line, but where a row has too many fields, or too few. */
static int fail(const stream *s, int64_t line, dk_status status) {
    if (status != DK_E_SHAPE) return cli_fail(CLI_AT_DATA, status);
    cli_error("line %lld of %s: %s", (long long)line, s->name, dk_error_text());
    return CLI_DATA;
}

/* Line by line, for the rows before a bad one are good. */
static int answer_one_by_one(stream *s, const char *text, size_t bytes) {
    int64_t line = s->line;
    int code = CLI_OK;
    for (size_t at = 0; at < bytes && !code; ++line) {
        const size_t length = line_at(text + at, bytes - at);
        if (!is_blank(text + at, length)) {
            dk_status status = answer(s, text + at, length, line, &code);
            if (status) return fail(s, line, status);
        }
        at += length;
    }
    return code;
}

/* Blank lines are left out here: whoever types may make one. */
static int answer_lines(stream *s, const char *text, size_t bytes) {
    int code = CLI_OK;
    if (is_blank(text, bytes)) return CLI_OK;
    if (s->p->inputs == 1) return answer_one_by_one(s, text, bytes);
    dk_status status = answer(s, text, bytes, s->line, &code);
    if (!status) return code;
    return cli_exit_code(CLI_AT_DATA, status) == CLI_DEVICE ? fail(s, s->line, status)
                                                            : answer_one_by_one(s, text, bytes);
}

/* Keeps the first line, of `length` bytes, as the header of the rows that come later. */
static void keep_header(stream *s, size_t length) {
    s->header = cli_allocate(length + 1, 1);
    memcpy(s->header, s->text, length);
    s->header_bytes = length;
    if (s->header[length - 1] != '\n') s->header[s->header_bytes++] = '\n';
    drop(s, length);
}

/* Whether the first line, which is whole, is a row, or a header without rows as yet. */
static int look_at_first_line(stream *s, size_t length) {
    dk_dataset *data = NULL;
    dk_status status = DK_E_STATE;
    if (s->p->options.header != DK_HEADER_YES)
        status = open_lines(s, s->text, length, s->line, &data);
    dk_dataset_destroy(data);
    s->begun = true;
    if (status == DK_E_STATE)
        keep_header(s, length);
    else if (status)
        return fail(s, s->line, status);
    return CLI_OK;
}

/* Where the last whole line ends. */
static size_t whole_lines(const stream *s) {
    size_t bytes = s->used;
    while (bytes > 0 && s->text[bytes - 1] != '\n') --bytes;
    return bytes;
}

/* Leading blank lines, before it is known what the first line is. */
static void drop_blank(stream *s) {
    for (size_t length; s->used && !s->begun; drop(s, length)) {
        length = line_at(s->text, s->used);
        if (s->text[length - 1] != '\n' || !is_blank(s->text, length)) return;
    }
}

/* Answers the whole lines; at the end what is left over, too. */
static int take_lines(stream *s, bool end) {
    drop_blank(s);
    size_t bytes = end ? s->used : whole_lines(s);
    if (bytes && !s->begun) {
        const size_t before = s->used;
        int code = look_at_first_line(s, line_at(s->text, bytes));
        if (code) return code;
        bytes -= before - s->used;
    }
    int code = bytes ? answer_lines(s, s->text, bytes) : CLI_OK;
    drop(s, bytes);
    (void)fflush(s->p->out); /* who typed the row waits for its answer; ferror is asked later */
    return code;
}

/* A stream whose first line alone came: what was taken for a header may be a bad row. */
static int finish(stream *s, int code) {
    if (code || !s->header || s->warned) return code;
    dk_dataset *data = NULL;
    char *header = s->header;
    s->header = NULL;
    s->begun = false;
    dk_status status = open_lines(s, header, s->header_bytes, s->line > 1 ? s->line - 1 : 1, &data);
    s->header = header;
    dk_dataset_destroy(data);
    return status ? cli_fail(CLI_AT_DATA, status) : CLI_OK;
}

static bool make_room(stream *s) {
    if (s->used + CHUNK <= s->capacity) return true;
    if (s->used > MOST_LINE) {
        cli_error("%s, line %lld: longer than %d bytes: this isn't a table", s->name,
                  (long long)s->line, (int)MOST_LINE);
        return false;
    }
    char *more = cli_allocate(s->capacity + s->used + CHUNK, 1);
    if (s->used) memcpy(more, s->text, s->used);
    free(s->text);
    s->text = more;
    s->capacity += s->used + CHUNK;
    return true;
}

int predict_stream(predictor *p, int descriptor, const char *name) {
    stream s = {.p = p, .name = name, .line = 1};
    int code = CLI_OK;
    while (!code && !ferror(p->out)) {
        if (!make_room(&s)) {
            code = CLI_DATA;
            break;
        }
        ssize_t got = read(descriptor, s.text + s.used, CHUNK);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            cli_error("can't read %s: %s", name, strerror(errno));
            code = CLI_DATA;
            break;
        }
        s.used += (size_t)got;
        code = take_lines(&s, got == 0);
        if (got == 0) {
            code = finish(&s, code);
            break;
        }
    }
    free(s.text);
    free(s.header);
    return code;
}
