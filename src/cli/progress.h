/* How training goes on, on standard error: one line rewritten on a terminal, else a line an epoch.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "deltak/deltak.h"

typedef struct cli_progress {
    bool quiet;    /* show nothing */
    bool terminal; /* rewrite one line */
    bool colour;
    dk_task task;
    double drawn;       /* when the line was last drawn, in seconds of the fit; negative = never */
    int shown;          /* characters on the line now */
    double last_metric; /* of the last epoch that ended; NaN before */
} cli_progress;

cli_progress cli_progress_start(bool quiet, dk_task task);
void cli_progress_show(cli_progress *progress, const dk_progress *report);

/** Leaves the line, so that other text may follow. */
void cli_progress_end(cli_progress *progress);

/** Columns of the terminal behind standard error: of its window, of $COLUMNS, or 80. */
int cli_terminal_columns(void);

/** "843", "143k", "1.2M". Returns text. */
const char *cli_short_number(double value, char *text, size_t bytes);

#endif
