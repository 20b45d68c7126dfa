/* The parts of dk_check. */
#ifndef DKI_CHECK_H
#define DKI_CHECK_H

#include "reference/reference.h"
#include "train/trainer.h"

/* Everything of one check. Arrays index layers from 0. */
typedef struct {
    const dk_allocator *allocator;
    dk_net *net;
    dk_trainer *trainer;
    dk_net_desc desc;
    int64_t rows, outputs;
    dki_ref_precision precision; /* the context's */
    /* one arena of doubles and one of floats and labels, cut up below */
    void *doubles, *floats;
    int32_t *labels;
    float *x, *targets; /* as the device gets them */
    dki_ref_layer *layers;
    double **parameters; /* [2 L]: W and b of each layer */
    double *ref_x, *ref_targets;
    dki_ref_net ref_net;
    dki_ref_batch ref_batch;
    dki_ref_tensors pass, bounds;
    double loss; /* as the device reports it */
    dk_check_row *out;
    size_t capacity, count;
} dki_check;

/** Adds a row, or only counts it where there is no room. */
void dki_check_add(dki_check *check, dk_check_row row);

/** z and a of every layer, the loss and δ⁽ᴸ⁾. */
dk_status dki_check_forwards(dki_check *check);

/** dW and db of every layer, and the other δ. */
dk_status dki_check_backwards(dki_check *check);

#endif
