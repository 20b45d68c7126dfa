/* Where the NaN or Inf of a latched step shows first. */
#ifndef DKI_DIAGNOSE_H
#define DKI_DIAGNOSE_H

#include "train/trainer.h"

/** Writes " (first seen in dW of layer 3)" to `text`, or "" where nothing is known. Nothing is queued;
 *  `state` is the trainer's, with its latch set. */
void dki_diagnose(dk_trainer *trainer, const dki_step_state *state, char *text, size_t size);

#endif
