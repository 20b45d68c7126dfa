/* A metrics file: a JSON object a line, one for each epoch. A run that is resumed goes on with it. */
#ifndef CLI_METRICS_H
#define CLI_METRICS_H

#include "deltak/deltak.h"

#include <stdio.h>

/** All zero is none. */
typedef struct cli_metrics {
    FILE *file;
    const char *path;
    bool resumed; /* what an earlier process wrote isn't cut yet */
    bool failed;
} cli_metrics;

/** Opens the file: empty, or (resumed) as it is. False with an error line. */
bool cli_metrics_open(cli_metrics *metrics, const char *path, bool resumed);

/** Writes an epoch's line. Of a run that is resumed the lines of this epoch and of later ones go first:
 *  an earlier process may have come further than its last checkpoint. */
void cli_metrics_add(cli_metrics *metrics, const dk_progress *report);

/** False with an error line where something couldn't be written. */
bool cli_metrics_close(cli_metrics *metrics);

#endif
