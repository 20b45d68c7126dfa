/* Batches in the caller's memory: validation, normaliser, and the way into a session. */
#ifndef DKI_BATCH_H
#define DKI_BATCH_H

#include "train/step.h"

/** Whether a batch fits the network: pointers, labels in range, weights usable.
 *  DK_E_ARGUMENT, DK_E_SHAPE, DK_E_DATA. */
dk_status dki_batch_validate(const dk_net *net, const dk_batch *batch);

/** What the loss of an effective batch is divided by, from Σ of its weights: Σw for softmax
 *  cross-entropy, Σw·n_L for the means over outputs. */
double dki_normaliser(const dk_net *net, double weight_sum);

/** Σ of the weights of a batch as dki_normaliser wants it: class weight of the label (index labels
 *  only) × sample weight. */
double dki_batch_weight(const dk_net *net, const dk_batch *batch);

/** Copies rows first … first+rows−1 of a batch to a session's input and staging; `targets` tells
 *  where they lie. */
dk_status dki_batch_upload(dk_session *session, const dk_batch *batch, int64_t first, int64_t rows,
                           dki_targets *targets);

/** Sets the state's normaliser, and this tick's loss to 0, outside a training step. */
dk_status dki_state_normaliser(dk_session *session, double normaliser);

/** Reads the loss of the state's present tick. */
dk_status dki_state_loss(dk_session *session, double *loss);

#endif
