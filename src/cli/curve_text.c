#include "cli.h"
#include "curve.h"

#include <math.h>
#include <stdlib.h>

/* A character cell holds 2 × 4 braille dots; without UTF-8 each dot is a cell. */
enum { ROWS = 8, LABEL = 9, MOST_COLUMNS = 64, LEAST_COLUMNS = 16 };

typedef struct canvas {
    int columns;          /* character cells */
    int across, down;     /* dots of a cell */
    unsigned char *cells; /* [ROWS, columns] braille bits, or any bit: a mark */
    unsigned char *marks; /* [ROWS, columns] a character that goes over the dots, or 0 */
} canvas;

/* Bits of the dots at (x, y) in U+2800's block. */
static const unsigned char BRAILLE[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

static void set_dot(canvas *c, double x, double y) {
    int dot_x = (int)lround(x * (c->columns * c->across - 1));
    int dot_y = (int)lround((1 - y) * (ROWS * c->down - 1));
    int cell = dot_y / c->down * c->columns + dot_x / c->across;
    c->cells[cell] |= BRAILLE[dot_y % c->down][dot_x % c->across];
}

/* Each segment in steps smaller than a dot. */
static void draw_line(canvas *c, const cli_axis *axis, const double *values, size_t count) {
    for (size_t i = 0; i + 1 < count; ++i) {
        double from = cli_axis_place(axis, values[i]), to = cli_axis_place(axis, values[i + 1]);
        if (!isfinite(from) || !isfinite(to)) continue;
        int steps = 4 * (c->columns + ROWS);
        for (int s = 0; s <= steps; ++s) {
            double part = (double)s / steps;
            set_dot(c, ((double)i + part) / (double)(count - 1), from + part * (to - from));
        }
    }
}

static void draw_marks(canvas *c, const cli_axis *axis, const double *values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        double y = cli_axis_place(axis, values[i]);
        if (!isfinite(y)) continue;
        double x = (double)i / (double)(count - 1);
        int column = (int)lround(x * (c->columns - 1)), row = (int)lround((1 - y) * (ROWS - 1));
        c->marks[row * c->columns + column] = 'o';
    }
}

static void print_cell(const canvas *c, int cell, FILE *stream, bool utf8) {
    if (c->marks[cell])
        fputc(c->marks[cell], stream);
    else if (!c->cells[cell])
        fputc(' ', stream);
    else if (utf8) /* U+2800 + bits */
        fprintf(stream, "\xE2%c%c", 0xA0 + (c->cells[cell] >> 6), 0x80 + (c->cells[cell] & 0x3F));
    else
        fputc('*', stream);
}

void cli_curve_text(const cli_curve *curve, FILE *stream, bool utf8, int columns) {
    columns -= LABEL + 3;
    if (columns > MOST_COLUMNS) columns = MOST_COLUMNS;
    if (curve->count < 2 || columns < LEAST_COLUMNS) return;
    canvas c = {.columns = columns, .across = utf8 ? 2 : 1, .down = utf8 ? 4 : 1};
    c.cells = cli_allocate((size_t)columns * ROWS, 1);
    c.marks = cli_allocate((size_t)columns * ROWS, 1);
    cli_axis axis = cli_axis_over(curve->train, curve->valid, curve->count, true);
    draw_line(&c, &axis, curve->train, curve->count);
    if (curve->has_valid) draw_marks(&c, &axis, curve->valid, curve->count);
    fprintf(stream, "%*s  loss%s: training%s\n", LABEL, "", axis.logarithmic ? " (log scale)" : "",
            curve->has_valid ? ", o validation" : "");
    for (int row = 0; row < ROWS; ++row) {
        char label[LABEL + 1] = "";
        if (row == 0) snprintf(label, sizeof label, "%.3g", axis.high);
        if (row == ROWS - 1) snprintf(label, sizeof label, "%.3g", axis.low);
        fprintf(stream, "%*s %s", LABEL, label, utf8 ? "\xE2\x94\x82" : "|");
        for (int column = 0; column < columns; ++column)
            print_cell(&c, row * columns + column, stream, utf8);
        fputc('\n', stream);
    }
    char first[32], last[32];
    int width = snprintf(first, sizeof first, "%zu", curve->first);
    width += snprintf(last, sizeof last, "%zu", curve->first + curve->count - 1);
    fprintf(stream, "%*s  %s%*s%s epochs\n", LABEL, "", first, columns - width, "", last);
    free(c.cells);
    free(c.marks);
}
