#include "json.h"

#include "cli.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *present(json_t *value) {
    if (value) return value;
    cli_error("out of memory");
    exit(CLI_DEVICE);
}

json_t *cli_json_object(void) {
    return present(json_object());
}

json_t *cli_json_array(void) {
    return present(json_array());
}

void cli_json_put(json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, present(value))) present(NULL);
}

static void append(json_t *array, json_t *value) {
    if (json_array_append_new(array, present(value))) present(NULL);
}

static json_t *real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text(const char *value) {
    if (!value) return json_null();
    json_t *string = json_string(value);
    if (string) return string;
    char *ascii = cli_allocate(strlen(value) + 1, 1);
    for (size_t i = 0; value[i]; ++i) ascii[i] = isascii(value[i]) ? value[i] : '?';
    string = json_string(ascii);
    free(ascii);
    return string;
}

void cli_json_real(json_t *object, const char *key, double value) {
    cli_json_put(object, key, real(value));
}

void cli_json_integer(json_t *object, const char *key, int64_t value) {
    cli_json_put(object, key, json_integer(value));
}

void cli_json_text(json_t *object, const char *key, const char *value) {
    cli_json_put(object, key, text(value));
}

void cli_json_flag(json_t *object, const char *key, bool value) {
    cli_json_put(object, key, json_boolean(value));
}

void cli_json_append_real(json_t *array, double value) {
    append(array, real(value));
}

void cli_json_append_text(json_t *array, const char *value) {
    append(array, text(value));
}

void cli_json_metrics(json_t *object, const dk_metrics *metrics) {
    cli_json_real(object, "loss", metrics->loss);
    if (metrics->task == DK_TASK_CLASSIFICATION) {
        cli_json_real(object, "accuracy", metrics->accuracy);
    } else {
        cli_json_real(object, "rmse", metrics->rmse);
        cli_json_real(object, "mae", metrics->mae);
        cli_json_real(object, "r2", metrics->r2);
    }
    cli_json_integer(object, "samples", metrics->samples);
}

void cli_json_machine(json_t *object, const dk_context *context) {
    dk_context_info info;
    if (dk_context_describe(context, &info)) return;
    cli_json_text(object, "device", info.device);
    cli_json_text(object, "device_name", info.device_name);
    cli_json_text(object, "kernel", info.kernel);
    cli_json_text(object, "vector", info.vector);
    cli_json_integer(object, "threads", info.threads);
    cli_json_text(object, "precision", dk_precision_name(info.precision));
    cli_json_text(object, "version", dk_version());
}

void cli_json_print(json_t *object) {
    /* What couldn't be written is told at the end, by cli_finish. */
    if (json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) && !ferror(stdout))
        present(NULL);
    fputc('\n', stdout);
    json_decref(object);
}

bool cli_json_line(FILE *file, json_t *object) {
    bool written = json_dumpf(object, file, JSON_REAL_PRECISION(12)) == 0;
    written = fputc('\n', file) != EOF && fflush(file) == 0 && written;
    json_decref(object);
    return written;
}
