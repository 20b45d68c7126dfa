#include "metrics.h"

#include "cli.h"
#include "json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cli_metrics_open(cli_metrics *metrics, const char *path, bool resumed) {
    *metrics = (cli_metrics){.path = path};
    if (resumed) metrics->file = fopen(path, "r+e");
    metrics->resumed = metrics->file != NULL;
    if (!metrics->file) metrics->file = fopen(path, "we");
    if (metrics->file) return true;
    cli_error("can't write %s: %s", path, strerror(errno));
    return false;
}

/* Whether a line is that of an epoch before. One that was cut short by a crash isn't. */
static bool is_before(const char *line, int64_t epoch) {
    json_t *object = json_loads(line, 0, NULL);
    const json_t *number = json_object_get(object, "epoch");
    const bool before = json_is_integer(number) && json_integer_value(number) < epoch;
    json_decref(object);
    return before;
}

/* Cuts the file behind the lines of the epochs before. */
static void cut(cli_metrics *metrics, int64_t epoch) {
    char *line = NULL;
    size_t room = 0;
    long end = 0;
    ssize_t length;
    rewind(metrics->file);
    while ((length = getline(&line, &room, metrics->file)) > 0 && line[length - 1] == '\n' &&
           is_before(line, epoch))
        end = ftell(metrics->file);
    free(line);
    metrics->resumed = false;
    /* A device or a pipe has nothing to cut. */
    if (fseek(metrics->file, end, SEEK_SET) != 0) return;
    metrics->failed = ftruncate(fileno(metrics->file), end) != 0 && errno != EINVAL;
}

static bool write_line(FILE *file, const dk_progress *report) {
    json_t *line = cli_json_object();
    cli_json_integer(line, "epoch", report->epoch);
    cli_json_integer(line, "steps", report->step);
    cli_json_real(line, "train_loss", report->loss);
    cli_json_real(line, "valid_loss", report->has_valid ? report->valid_loss : NAN);
    cli_json_real(line, "valid_metric", report->has_valid ? report->valid_metric : NAN);
    cli_json_real(line, "lr", report->learning_rate);
    cli_json_real(line, "samples_per_second", report->samples_per_second);
    cli_json_real(line, "seconds", report->seconds);
    return cli_json_line(file, line);
}

void cli_metrics_add(cli_metrics *metrics, const dk_progress *report) {
    if (!metrics->file || metrics->failed) return;
    if (metrics->resumed) cut(metrics, report->epoch);
    if (!metrics->failed) metrics->failed = !write_line(metrics->file, report);
}

bool cli_metrics_close(cli_metrics *metrics) {
    if (metrics->file && fclose(metrics->file) != 0) metrics->failed = true;
    metrics->file = NULL;
    if (metrics->failed) cli_error("can't write all of %s: is the disk full?", metrics->path);
    return !metrics->failed;
}
