/* `deltak predict` in parts: rows in, predictions out. */
#ifndef CLI_PREDICT_H
#define CLI_PREDICT_H

#include "options.h"

#include <stdio.h>

/** A network that predicts rows and writes them. */
typedef struct predictor {
    dk_context *context;
    const dk_net *net;
    dk_data_options options; /* how tables are read: like the network's, without labels */
    int64_t inputs, outputs;
    bool classes;              /* write class names, else numbers */
    const float *target_scale; /* 1/σ of each target, or NULL */
    bool probabilities;        /* write a class's probability a column */
    bool named;                /* rows have names, which come first */
    bool begun;                /* the header is written, where there is one */
    FILE *out;
} predictor;

/** Predicts every row of a data set and writes them. Returns an exit code. */
int predict_dataset(predictor *p, const dk_dataset *data);

/** Predicts the rows of a table from a descriptor as they come: what is there is answered before waiting
 *  for more. `name` is for error texts. */
int predict_stream(predictor *p, int descriptor, const char *name);

#endif
