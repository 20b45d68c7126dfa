#include "cli.h"
#include "predict.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4180: quotes around a text that holds a comma, a quote or a line end, quotes doubled. */
static void write_text(const predictor *p, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, p->out);
        return;
    }
    fputc('"', p->out);
    for (; *text; ++text) {
        if (*text == '"') fputc('"', p->out);
        fputc(*text, p->out);
    }
    fputc('"', p->out);
}

static void write_class(const predictor *p, int64_t index) {
    const char *name = dk_net_class_name(p->net, index);
    if (name)
        write_text(p, name);
    else
        fprintf(p->out, "%lld", (long long)index);
}

/* Of probabilities only, whose columns are the classes'. */
static void write_header(predictor *p) {
    if (p->begun) return;
    p->begun = true;
    if (!p->probabilities) return;
    if (p->named) fputs("id,", p->out);
    for (int64_t c = 0; c < p->outputs; ++c) {
        if (c) fputc(',', p->out);
        write_class(p, c);
    }
    fputc('\n', p->out);
}

/* Ties go to the lower index, as in the accuracy of an evaluation. */
static int64_t largest(const double *values, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; ++i)
        if (values[i] > values[best]) best = i;
    return best;
}

/* A float's 9 digits tell neighbouring predictions apart, but where their mean is far above their spread:
 * there it takes as many more as the mean has digits before the spread's first. */
static void write_number(const predictor *p, double y, int64_t j) {
    const double size = p->target_scale ? fabs(y) * (double)p->target_scale[j] : 0;
    if (size < 10)
        fprintf(p->out, "%.9g", (double)(float)y);
    else
        fprintf(p->out, "%.*g", (int)fmin(9 + log10(size), 17), y);
}

static void write_prediction(const predictor *p, const double *y) {
    if (p->classes && !p->probabilities) {
        write_class(p, largest(y, p->outputs));
        return;
    }
    for (int64_t j = 0; j < p->outputs; ++j) {
        if (j) fputc(',', p->out);
        write_number(p, y[j], j);
    }
}

/* What was predicted, values [rows, n_L], a line a row, behind the row's name where it has one. */
static void write_rows(const predictor *p, const dk_dataset *data, const double *values,
                       int64_t rows) {
    for (int64_t i = 0; i < rows && !ferror(p->out); ++i) {
        if (p->named) {
            write_text(p, dk_dataset_row_name(data, i));
            fputc(',', p->out);
        }
        write_prediction(p, values + i * p->outputs);
        fputc('\n', p->out);
    }
}

int predict_dataset(predictor *p, const dk_dataset *data) {
    dk_dataset_info info;
    dk_status status = dk_dataset_describe(data, &info);
    if (status) return cli_fail(CLI_AT_DATA, status);
    double *y = cli_allocate((size_t)info.rows, (size_t)p->outputs * sizeof *y);
    status = dk_predict_dataset_f64(p->net, data, y);
    if (!status) {
        p->named = dk_dataset_row_name(data, 0) != NULL;
        write_header(p);
        write_rows(p, data, y, info.rows);
    }
    free(y);
    return status ? cli_fail(CLI_AT_DATA, status) : CLI_OK;
}
