#include "cli.h"
#include "predict.h"
#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RFC 4180: quotes around a name that holds a comma, a quote or a line end, quotes doubled. */
static void write_class(const predictor *p, int64_t index) {
    const char *name = dk_net_class_name(p->net, index);
    if (!name) {
        fprintf(p->out, "%lld", (long long)index);
        return;
    }
    if (!strpbrk(name, ",\"\r\n")) {
        fputs(name, p->out);
        return;
    }
    fputc('"', p->out);
    for (; *name; ++name) {
        if (*name == '"') fputc('"', p->out);
        fputc(*name, p->out);
    }
    fputc('"', p->out);
}

void predict_header(const predictor *p) {
    if (!p->probabilities) return;
    for (int64_t c = 0; c < p->outputs; ++c) {
        if (c) fputc(',', p->out);
        write_class(p, c);
    }
    fputc('\n', p->out);
}

/* Ties go to the lower index, as in the accuracy of an evaluation. */
static int64_t largest(const float *values, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; ++i)
        if (values[i] > values[best]) best = i;
    return best;
}

/* What was predicted, values [rows, n_L], a line a row. */
static void write_rows(const predictor *p, const float *values, int64_t rows) {
    for (int64_t i = 0; i < rows && !ferror(p->out); ++i) {
        const float *y = values + i * p->outputs;
        if (p->classes && !p->probabilities)
            write_class(p, largest(y, p->outputs));
        else
            for (int64_t j = 0; j < p->outputs; ++j)
                fprintf(p->out, "%s%.9g", j ? "," : "",
                        (double)y[j]); /* 9 digits: the same float */
        fputc('\n', p->out);
    }
}

int predict_dataset(const predictor *p, const dk_dataset *data) {
    dk_dataset_info info;
    dk_status status = dk_dataset_describe(data, &info);
    if (status) return cli_fail(CLI_AT_DATA, status);
    float *y = cli_allocate((size_t)info.rows, (size_t)p->outputs * sizeof *y);
    status = dk_predict_dataset(p->net, data, y);
    if (!status) write_rows(p, y, info.rows);
    free(y);
    return status ? cli_fail(CLI_AT_DATA, status) : CLI_OK;
}

/* As a data set of doubles, which are shifted and scaled before they become floats. */
int predict_rows(const predictor *p, int64_t rows) {
    if (rows == 0) return CLI_OK;
    dk_arrays arrays = DK_ARRAYS_INIT;
    arrays.rows = rows;
    arrays.features = p->inputs;
    arrays.x = p->x;
    arrays.x_type = DK_F64;
    dk_dataset *data = NULL;
    dk_status status = dk_dataset_from_arrays(&data, p->context, &arrays);
    if (status) return cli_fail(CLI_AT_DATA, status);
    int code = predict_dataset(p, data);
    dk_dataset_destroy(data);
    return code;
}

/* The line as a row of features; an error line says what isn't one. */
static bool parse_row(const predictor *p, char *line, size_t length, const char *name, long number,
                      double *row) {
    if (memchr(line, 0, length)) {
        cli_error("%s, line %ld: holds a zero byte: this isn't CSV", name, number);
        return false;
    }
    int64_t column = 0;
    for (char *field = line;; ++column) {
        size_t bytes = strcspn(field, ",");
        bool last = field[bytes] == 0;
        size_t skip = strspn(field, " \t"), used = bytes;
        while (used > skip && strchr(" \t", field[used - 1])) --used;
        double value = 0;
        if (column < p->inputs) {
            if (skip > used) skip = used;
            if (!cli_decimal(field + skip, used - skip, &value) || !isfinite((float)value)) {
                cli_error("%s, line %ld, column %lld: \"%.*s\" isn't a finite number%s", name,
                          number, (long long)column + 1, (int)(used - skip < 40 ? used - skip : 40),
                          field + skip, number == 1 ? ": leave the header out" : "");
                return false;
            }
            row[column] = value;
        }
        if (last) break;
        field += bytes + 1;
    }
    if (column + 1 == p->inputs) return true;
    cli_error("%s, line %ld: %lld fields, and the model takes %lld%s", name, number,
              (long long)column + 1, (long long)p->inputs,
              column == p->inputs ? ": drop the label column" : "");
    return false;
}

/* A stream and the rows that were read of it and not yet answered. */
typedef struct reader {
    const predictor *p;
    const char *name;
    char *buffer;
    size_t used, capacity;
    long line;
    int64_t rows;
} reader;

static int take_line(reader *r, char *line, size_t length) {
    ++r->line;
    if (length && line[length - 1] == '\r') line[--length] = 0;
    if (strspn(line, " \t") == length) return CLI_OK; /* blank */
    double *row = r->p->x + r->rows * r->p->inputs;
    if (!parse_row(r->p, line, length, r->name, r->line, row)) {
        /* The rows before are good: they are answered first. */
        int code = predict_rows(r->p, r->rows);
        r->rows = 0;
        return code ? code : CLI_DATA;
    }
    if (++r->rows < PREDICT_ROWS) return CLI_OK;
    r->rows = 0;
    return predict_rows(r->p, PREDICT_ROWS);
}

/* Takes the whole lines of the buffer, answers them, and keeps what is left over. */
static int take_lines(reader *r, bool end) {
    size_t first = 0;
    for (char *stop;
         first < r->used && (stop = memchr(r->buffer + first, '\n', r->used - first));) {
        *stop = 0;
        int code = take_line(r, r->buffer + first, (size_t)(stop - r->buffer) - first);
        if (code) return code;
        first = (size_t)(stop - r->buffer) + 1;
    }
    if (end && first < r->used) {
        r->buffer[r->used] = 0;
        int code = take_line(r, r->buffer + first, r->used - first);
        if (code) return code;
        first = r->used;
    }
    memmove(r->buffer, r->buffer + first, r->used - first);
    r->used -= first;
    int code = predict_rows(r->p, r->rows);
    r->rows = 0;
    (void)fflush(r->p->out); /* who typed the row waits for its answer; ferror is asked later */
    return code;
}

int predict_stream(const predictor *p, int descriptor, const char *name) {
    enum { CHUNK = 1 << 16 };
    /* No number needs more: 24 digits and some spaces. */
    size_t longest = (size_t)p->inputs * 64 + CHUNK;
    reader r = {.p = p, .name = name, .capacity = longest + CHUNK + 1};
    r.buffer = cli_allocate(r.capacity, 1);
    int code = CLI_OK;
    while (!code && !ferror(p->out)) {
        ssize_t got = read(descriptor, r.buffer + r.used, CHUNK);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            cli_error("can't read %s: %s", name, strerror(errno));
            code = CLI_DATA;
            break;
        }
        r.used += (size_t)got;
        code = take_lines(&r, got == 0);
        if (got == 0) break;
        if (!code && r.used > longest) {
            cli_error("%s, line %ld: longer than %lld fields can be", name, r.line + 1,
                      (long long)p->inputs);
            code = CLI_DATA;
        }
    }
    free(r.buffer);
    return code;
}
