/* The loss of one sample, for the parts of the reference. */
#ifndef DKI_REFERENCE_LOSS_H
#define DKI_REFERENCE_LOSS_H

#include "reference/reference.h"

/** Labels or targets, in range, and weights ≥ 0 with a positive sum. DK_E_ARGUMENT, DK_E_DATA. */
dk_status dki_ref_batch_check(const dki_ref_net *net, const dki_ref_batch *batch);

/** n_L: numbers that a row of a⁽ᴸ⁾ has. */
int64_t dki_ref_outputs(const dki_ref_net *net);

/** y_c of a row: of the one-hot vector with labels, smoothed for softmax cross-entropy. */
double dki_ref_target(const dki_ref_net *net, const dki_ref_batch *batch, int64_t row, int64_t c);

/** w_c of softmax cross-entropy; 1 where there are none. */
double dki_ref_class_weight(const dki_ref_loss *loss, int64_t c);

/** A row and its a⁽ᴸ⁾ [n_L], with what its loss and gradient have in common for softmax cross-entropy. */
typedef struct dki_ref_sample {
    const dki_ref_net *net;
    const dki_ref_batch *batch;
    int64_t row;
    const double *a;
    double largest, log_sum; /* m = max a, log Σ_k e^{a_k − m} */
    double mass;             /* Σ_c w_c y_c */
} dki_ref_sample;

dki_ref_sample dki_ref_sample_of(const dki_ref_net *net, const dki_ref_batch *batch, int64_t row,
                                 const double *a);

/** log softmax(a)_c = a_c − m − log Σ_k e^{a_k − m}: nothing overflows. Softmax cross-entropy alone. */
double dki_ref_log_softmax(const dki_ref_sample *sample, int64_t c);

/** l of the row. */
double dki_ref_sample_loss(const dki_ref_sample *sample);

/** ∂l/∂a_j of the row. */
double dki_ref_sample_gradient(const dki_ref_sample *sample, int64_t j);

#endif
