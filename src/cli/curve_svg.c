#include "curve.h"
#include "file.h"

#include <math.h>

/* In SVG's own units, about pixels. */
enum { WIDTH = 720, PANEL = 300, LEFT = 72, RIGHT = 24, TOP = 40, BOTTOM = 52 };

typedef struct panel {
    FILE *out;
    double top;
    cli_axis y;
    size_t first, count; /* epochs */
} panel;

static double place_x(const panel *p, size_t epoch) {
    double part = p->count > 1 ? (double)(epoch - p->first) / (double)(p->count - 1) : 0.5;
    return LEFT + part * (WIDTH - LEFT - RIGHT);
}

static double place_y(const panel *p, double value) {
    double height = PANEL - TOP - BOTTOM;
    return p->top + TOP + height * (1 - cli_axis_place(&p->y, value));
}

/* 1, 2 or 5 times a power of ten: at most ten labelled epochs. */
static size_t epoch_step(size_t count) {
    static const size_t leads[] = {1, 2, 5};
    for (size_t power = 1;; power *= 10)
        for (size_t i = 0; i < 3; ++i)
            if (count / (leads[i] * power) <= 10) return leads[i] * power;
}

static void draw_axes(const panel *p, const char *title, const char *unit) {
    double bottom = p->top + PANEL - BOTTOM;
    fprintf(p->out, "<text x=\"%d\" y=\"%.1f\" class=\"title\">%s%s</text>\n", LEFT,
            p->top + TOP - 16, title, p->y.logarithmic ? " (log scale)" : "");
    for (size_t i = 0; i < p->y.tick_count; ++i) {
        double y = place_y(p, p->y.ticks[i]);
        fprintf(p->out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" class=\"grid\"/>\n",
                LEFT, y, WIDTH - RIGHT, y);
        fprintf(p->out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g%s</text>\n", LEFT - 8,
                y + 4, p->y.ticks[i], unit);
    }
    size_t step = epoch_step(p->count);
    const size_t end = p->first + p->count;
    for (size_t epoch = p->first; epoch < end; ++epoch) {
        if (epoch % step && epoch != p->first && !(epoch + 1 == end && epoch % step > step / 2))
            continue;
        double x = place_x(p, epoch);
        fprintf(p->out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"axis\"/>\n",
                x, bottom, x, bottom + 5);
        fprintf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%zu</text>\n", x,
                bottom + 20, epoch);
    }
    fprintf(p->out, "<path d=\"M%d %.1fV%.1fH%d\" class=\"axis\"/>\n", LEFT, p->top + TOP, bottom,
            WIDTH - RIGHT);
    fprintf(p->out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"middle\">epoch</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, bottom + 40);
}

static void draw_series(const panel *p, const double *values, const char *name) {
    fprintf(p->out, "<path class=\"%s\" d=\"", name);
    bool pen_down = false;
    for (size_t i = 0; i < p->count; ++i) {
        double y = place_y(p, values[i]);
        if (isfinite(y))
            fprintf(p->out, "%c%.1f %.1f", pen_down ? 'L' : 'M', place_x(p, p->first + i), y);
        pen_down = isfinite(y);
    }
    fprintf(p->out, "\"/>\n");
    if (p->count > 40) return; /* so many markers would hide the line */
    for (size_t i = 0; i < p->count; ++i) {
        double y = place_y(p, values[i]);
        if (isfinite(y))
            fprintf(p->out, "<circle class=\"%s dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", name,
                    place_x(p, p->first + i), y);
    }
}

static void draw_legend(const panel *p, int slot, const char *class, const char *text) {
    double x = WIDTH - RIGHT - 120 * (slot + 1), y = p->top + TOP - 20;
    fprintf(p->out, "<path class=\"%s\" d=\"M%.1f %.1fh22\"/>\n", class, x, y);
    fprintf(p->out, "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n", x + 28, y + 4, text);
}

static const char STYLE[] =
    "<style>text{font:12px sans-serif;fill:#333}.title{font-size:15px;font-weight:bold}"
    ".grid{stroke:#ddd}.axis{stroke:#333;fill:none}"
    ".train{stroke:#1f77b4;stroke-width:2;fill:none}"
    ".valid{stroke:#d95f02;stroke-width:2;fill:none}"
    ".dot.train{fill:#1f77b4}.dot.valid{fill:#d95f02}</style>\n";

bool cli_curve_svg(const cli_curve *curve, const char *path) {
    cli_file file;
    if (!cli_file_open(&file, path)) return false;
    int height = curve->has_valid ? 2 * PANEL : PANEL;
    fprintf(file.stream,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\">\n<title>Learning curve</title>\n%s"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height, STYLE);
    panel p = {.out = file.stream, .first = curve->first, .count = curve->count};
    p.y = cli_axis_over(curve->train, curve->valid, curve->count, true);
    draw_axes(&p, "Loss", "");
    draw_series(&p, curve->train, "train");
    draw_legend(&p, curve->has_valid ? 1 : 0, "train", "training");
    if (curve->has_valid) {
        draw_series(&p, curve->valid, "valid");
        draw_legend(&p, 0, "valid", "validation");
        bool classes = curve->task == DK_TASK_CLASSIFICATION;
        p.top = PANEL;
        p.y = cli_axis_over(curve->metric, NULL, curve->count, !classes);
        draw_axes(&p, classes ? "Validation accuracy" : "Validation RMSE", classes ? " %" : "");
        draw_series(&p, curve->metric, "valid");
    }
    fputs("</svg>\n", file.stream);
    return cli_file_commit(&file);
}
