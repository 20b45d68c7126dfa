#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double REDRAW_SECONDS = 0.1;
enum { LINE = 256, LONGEST_BAR = 30, SHORTEST_BAR = 6 };

cli_progress cli_progress_start(bool quiet, dk_task task) {
    cli_progress progress = {.quiet = quiet, .task = task, .drawn = -1, .last_metric = NAN};
    const char *kind = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    progress.terminal = isatty(STDERR_FILENO);
    progress.colour =
        progress.terminal && !(no_colour && *no_colour) && kind && strcmp(kind, "dumb") != 0;
    return progress;
}

int cli_terminal_columns(void) {
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) return window.ws_col;
    const char *columns = getenv("COLUMNS");
    long value = columns ? strtol(columns, NULL, 10) : 0;
    return value > 0 && value < 10000 ? (int)value : 80;
}

const char *cli_short_number(double value, char *text, size_t bytes) {
    static const char *const units[] = {"", "k", "M", "G"};
    size_t unit = 0;
    while (unit < 3 && value >= 999.5) {
        value /= 1000;
        ++unit;
    }
    snprintf(text, bytes, value < 9.95 && unit ? "%.1f%s" : "%.0f%s", value, units[unit]);
    return text;
}

static void metric_text(const cli_progress *progress, double metric, char *text, size_t bytes) {
    text[0] = 0;
    if (!isfinite(metric)) return;
    if (progress->task == DK_TASK_CLASSIFICATION)
        snprintf(text, bytes, "  acc %.2f %%", 100 * metric);
    else
        snprintf(text, bytes, "  rmse %.4g", metric);
}

static void plain_line(const cli_progress *progress, const dk_progress *report) {
    char metric[48], valid[48] = "", speed[16];
    metric_text(progress, report->has_valid ? report->valid_metric : NAN, metric, sizeof metric);
    if (report->has_valid) snprintf(valid, sizeof valid, "  valid %.4g", report->valid_loss);
    fprintf(stderr, "epoch %lld/%lld  loss %.4g%s%s  %s samples/s  %.0f s left%s\n",
            (long long)report->epoch, (long long)report->epochs, report->loss, valid, metric,
            cli_short_number(report->samples_per_second, speed, sizeof speed), report->seconds_left,
            report->has_valid && report->best ? "  best" : "");
}

/* The bar fills what the text leaves, up to LONGEST_BAR; "" where that is too little. */
static void bar_text(const dk_progress *report, int room, char *text, size_t bytes) {
    int length = room < LONGEST_BAR ? room : LONGEST_BAR;
    text[0] = 0;
    if (length < SHORTEST_BAR || (size_t)length + 4 > bytes) return;
    int inside = length - 2;
    double per_epoch = report->epochs > 0 ? (double)report->steps / (double)report->epochs : 0;
    double part = per_epoch > 0
                      ? ((double)report->step - (double)(report->epoch - 1) * per_epoch) / per_epoch
                      : 0;
    if (report->epoch_end) part = 1;
    int done = (int)lround(fmin(1, fmax(0, part)) * inside);
    text[0] = '[';
    memset(text + 1, '=', (size_t)done);
    memset(text + 1 + done, ' ', (size_t)(inside - done));
    if (done > 0 && done < inside) text[done] = '>';
    text[inside + 1] = ']';
    text[inside + 2] = ' ';
    text[inside + 3] = 0;
}

static void terminal_line(cli_progress *progress, const dk_progress *report) {
    char metric[48], speed[16], head[64], tail[160], bar[LONGEST_BAR + 4], line[LINE];
    metric_text(progress, progress->last_metric, metric, sizeof metric);
    double left = isfinite(report->seconds_left) ? fmin(report->seconds_left, 359999) : 0;
    int seconds = (int)lround(left);
    char clock[24];
    if (seconds >= 3600)
        snprintf(clock, sizeof clock, "%d:%02d:%02d", seconds / 3600, seconds / 60 % 60,
                 seconds % 60);
    else
        snprintf(clock, sizeof clock, "%d:%02d", seconds / 60, seconds % 60);
    snprintf(head, sizeof head, "epoch %lld/%lld ", (long long)report->epoch,
             (long long)report->epochs);
    snprintf(tail, sizeof tail, "loss %.4g%s  %s samples/s  %s left", report->loss, metric,
             cli_short_number(report->samples_per_second, speed, sizeof speed), clock);
    /* The last column stays free: some terminals wrap when it is written. */
    int columns = cli_terminal_columns() - 1;
    if (columns > LINE - 1) columns = LINE - 1;
    bar_text(report, columns - (int)(strlen(head) + strlen(tail)) - 1, bar, sizeof bar);
    snprintf(line, sizeof line, "%s%s%s", head, bar, tail);
    if (columns >= 0 && (size_t)columns < strlen(line)) line[columns] = 0;
    int length = (int)strlen(line), head_length = (int)strlen(head);
    if (progress->colour && length > head_length)
        fprintf(stderr, "\r\033[1m%s\033[0m%s%*s", head, line + head_length,
                progress->shown > length ? progress->shown - length : 0, "");
    else
        fprintf(stderr, "\r%s%*s", line, progress->shown > length ? progress->shown - length : 0,
                "");
    (void)fflush(stderr);
    progress->shown = length;
}

void cli_progress_show(cli_progress *progress, const dk_progress *report) {
    if (report->epoch_end && report->has_valid) progress->last_metric = report->valid_metric;
    if (progress->quiet) return;
    if (!progress->terminal) {
        if (report->epoch_end) plain_line(progress, report);
        return;
    }
    bool due = progress->drawn < 0 || report->seconds - progress->drawn >= REDRAW_SECONDS;
    bool last = report->epoch_end && report->epoch == report->epochs;
    if (!due && !last) return;
    progress->drawn = report->seconds;
    terminal_line(progress, report);
}

void cli_progress_end(cli_progress *progress) {
    if (progress->shown) fputc('\n', stderr);
    progress->shown = 0;
}
