/* The part of dk_check that compares one update: from the gradients that the device computed, so
 * that it measures the update alone. */
#ifndef DKI_CHECK_UPDATE_H
#define DKI_CHECK_UPDATE_H

#include "reference/reference.h"
#include "train/trainer.h"

/** min(1, c/(‖g‖ + 10⁻⁶)) of the device's gradients, over trainable layers; 1 without clipping. */
dk_status dki_check_clip_factor(dk_trainer *trainer, double *factor);

/** W and b of a layer after the first update against the reference's rule; `before` [2 L] holds the
 *  parameters before it. *largest is the largest parameter. */
dk_status dki_check_update(dk_trainer *trainer, double *const *before, size_t layer, double factor,
                           dki_ref_comparison *comparison, double *largest);

#endif
