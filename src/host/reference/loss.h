/* The loss of one sample, for the parts of the reference. a [n_L] is the sample's a⁽ᴸ⁾. */
#ifndef DKI_REFERENCE_LOSS_H
#define DKI_REFERENCE_LOSS_H

#include "reference/reference.h"

/** Labels or targets, in range, and weights ≥ 0 with a positive sum. DK_E_ARGUMENT, DK_E_DATA. */
dk_status dki_ref_batch_check(const dki_ref_net *net, const dki_ref_batch *batch);

/** y_c of a row: of the one-hot vector with labels, smoothed for softmax cross-entropy. */
double dki_ref_target(const dki_ref_net *net, const dki_ref_batch *batch, int64_t row, int64_t c);

/** w_c of softmax cross-entropy; 1 where there are none. */
double dki_ref_class_weight(const dki_ref_loss *loss, int64_t c);

/** log softmax(a)_c, shifted by the largest a: nothing overflows. */
double dki_ref_log_softmax(const double *a, int64_t n, int64_t c);

/** l of a row. */
double dki_ref_sample_loss(const dki_ref_net *net, const dki_ref_batch *batch, int64_t row,
                           const double *a);

/** ∂l/∂a_j of a row. */
double dki_ref_gradient_of(const dki_ref_net *net, const dki_ref_batch *batch, int64_t row,
                           const double *a, int64_t j);

#endif
