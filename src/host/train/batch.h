/* Batches in the caller's memory: validation, normaliser, and the way into a session. */
#ifndef DKI_BATCH_H
#define DKI_BATCH_H

#include "train/step.h"

/** Whether a batch fits the network: pointers, labels in range, weights usable.
 *  DK_E_ARGUMENT, DK_E_SHAPE, DK_E_DATA. */
dk_status dki_batch_validate(const dk_net *net, const dk_batch *batch);

/** Whether these are the answers that the network's loss takes: labels or targets, the other one NULL.
 *  DK_E_ARGUMENT. */
dk_status dki_require_answers(const dk_net *net, const int32_t *labels, const float *targets);

/** What the loss of an effective batch is divided by, from Σ of its weights: Σw for softmax
 *  cross-entropy, Σw·n_L for the means over outputs. */
double dki_normaliser(const dk_net *net, double weight_sum);

/** Σ of the weights of a batch as dki_normaliser wants it: class weight of the label (index labels
 *  only) × sample weight. */
double dki_batch_weight(const dk_net *net, const dk_batch *batch);

/** Queues the copy of dense rows x [rows, n_0] to a session: into a[0] where the device has it as
 *  plain fp32, else into `features`, from where dki_rows_gather brings them. */
dk_status dki_rows_upload(dk_session *session, const float *x, int64_t rows);

/** Queues the way of dense rows in device memory into a[0]; nothing for NULL. */
dk_status dki_rows_gather(dk_session *session, const float *x, int64_t rows);

/** Where labels, targets and weights of a batch lie in a session. */
dki_targets dki_batch_targets(const dk_session *session, const dk_batch *batch);

/** Queues the copy of rows first … first+rows−1 of a batch to a session: dki_rows_upload, labels,
 *  targets and weights. */
dk_status dki_batch_upload(dk_session *session, const dk_batch *batch, int64_t first, int64_t rows);

/** Sets the state's normaliser, and its loss to 0, outside a training step. */
dk_status dki_state_normaliser(dk_session *session, double normaliser);

/** Outside of training: lets the state latch from now on, and tells where a row that was gathered since
 *  isn't finite. DK_E_NONFINITE, with the name of the rows. */
dk_status dki_state_watch(dk_session *session);
dk_status dki_state_require_input(dk_session *session, const char *name);

/** Reads the state's loss. */
dk_status dki_state_loss(dk_session *session, double *loss);

#endif
