/* `deltak predict` in parts: rows in, predictions out. */
#ifndef CLI_PREDICT_H
#define CLI_PREDICT_H

#include "deltak/deltak.h"

#include <stdio.h>

enum { PREDICT_ROWS = 256 /* that go through the network at a time */ };

/** A network that predicts rows and writes them. */
typedef struct predictor {
    dk_context *context;
    const dk_net *net;
    int64_t inputs, outputs;
    bool classes;       /* write class names, else numbers */
    bool probabilities; /* write a class's probability a column */
    FILE *out;
    double *x; /* [PREDICT_ROWS, inputs]: a time in seconds since 1970 has no room in a float */
} predictor;

/** Writes the header, where there is one. */
void predict_header(const predictor *p);

/** Predicts the first `rows` of p->x and writes them. Returns an exit code. */
int predict_rows(const predictor *p, int64_t rows);

/** Predicts every row of a data set. */
int predict_dataset(const predictor *p, const dk_dataset *data);

/** Predicts CSV rows from a descriptor as they come: what is there is answered before waiting for
 *  more. `name` is for error texts. */
int predict_stream(const predictor *p, int descriptor, const char *name);

#endif
