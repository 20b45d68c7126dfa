/* The answers as a table for people and as JSON for machines. */
#include "probe.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *probe_question_name(probe_question question) {
    static const char *const names[PROBE_QUESTIONS] = {
        [PROBE_EPILOGUE] = "epilogue",
        [PROBE_SCALARS] = "scalars",
        [PROBE_LANES] = "lanes",
        [PROBE_CARVE_OUT] = "carve-out",
    };
    return names[question];
}

/* Fused means: no node more than the plain product has. */
static const char *verdict(const probe_row *row) {
    if (!row->taken) return "not there";
    if (row->question == PROBE_LANES || row->question == PROBE_CARVE_OUT)
        return row->ms < row->plain_ms ? "pays" : "doesn't pay";
    return row->kernels + row->others > row->plain_nodes ? "second pass" : "one pass";
}

static const char *number(double value, char text[16]) {
    snprintf(text, 16, isfinite(value) ? "%.4g" : "-", value);
    return text;
}

void probe_print_head(const dki_gpu_facts *facts) {
    printf("%s, compute capability %d.%d, %d multiprocessors, %s\n\n", facts->name, facts->major,
           facts->minor, facts->processors, facts->library);
    printf("%-7s %-20s %-4s %-15s %-24s %5s %-11s %9s %9s %9s %7s %7s\n", "", "batch x in > out",
           "", "product", "", "nodes", "", "ms", "plain", "own", "/plain", "/own");
}

void probe_print_row(const probe_row *row) {
    char shape[64], times[5][16];
    const probe_shape *s = &row->shape;
    snprintf(shape, sizeof shape, "%lldx%lld>%lld", (long long)s->rows, (long long)s->inputs,
             (long long)s->width);
    printf("%-7s %-20s %-4s %-15s %-24s %5d %-11s %9s %9s %9s %7s %7s\n", s->workload, shape,
           row->precision, row->product, row->variant, row->kernels + row->others, verdict(row),
           number(row->ms, times[0]), number(row->plain_ms, times[1]),
           number(row->own_ms, times[2]), number(row->ms / row->plain_ms, times[3]),
           number(row->ms / row->own_ms, times[4]));
    fflush(stdout);
}

/* null for what wasn't measured. */
static json_t *real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *row_json(const probe_row *row) {
    const probe_shape *s = &row->shape;
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:b, s:s, s:i, s:i, s:i, s:i, s:o, "
        "s:o, s:o, s:o}",
        "question", probe_question_name(row->question), "workload", s->workload, "precision",
        row->precision, "batch", (json_int_t)s->rows, "inputs", (json_int_t)s->inputs, "width",
        (json_int_t)s->width, "product", row->product, "variant", row->variant, "taken", row->taken,
        "verdict", verdict(row), "candidates", row->candidates, "kernels", row->kernels, "others",
        row->others, "plain_nodes", row->plain_nodes, "ms", real(row->ms), "plain_ms",
        real(row->plain_ms), "own_ms", real(row->own_ms), "alone_ms", real(row->alone_ms));
}

/* NULL where memory runs out. */
static json_t *result_json(const probe_result *result) {
    const dki_gpu_facts *facts = &result->facts;
    json_t *rows = json_array();
    for (size_t i = 0; i < result->count; ++i)
        json_array_append_new(rows, row_json(&result->rows[i]));
    const bool whole = json_array_size(rows) == result->count;
    if (!whole) json_decref(rows);
    return whole ? json_pack("{s:s, s:s, s:[ii], s:i, s:b, s:o}", "device_name", facts->name,
                             "library", facts->library, "compute_capability", facts->major,
                             facts->minor, "multiprocessors", facts->processors, "complete",
                             result->complete, "rows", rows)
                 : NULL;
}

bool probe_write_json(const probe_result *result, const char *path) {
    const bool standard = strcmp(path, "-") == 0;
    json_t *object = result_json(result);
    FILE *file = !object ? NULL : standard ? stdout : fopen(path, "w");
    bool good = file && json_dumpf(object, file, JSON_INDENT(1)) == 0 && fputc('\n', file) != EOF;
    if (file && (standard ? fflush(file) : fclose(file)) != 0) good = false;
    json_decref(object);
    return good;
}
