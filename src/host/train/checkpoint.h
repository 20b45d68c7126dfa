/* Checkpoints: model files with the optimizer's slots, and the state of the run as JSON.
 *
 * A checkpoint is taken while training stands still, as a copy in the host's memory, and may be written
 * while training goes on. */
#ifndef DKI_CHECKPOINT_H
#define DKI_CHECKPOINT_H

#include "model/tensors.h"
#include "train/run_state.h"

/** A copy of a run. All zero is a valid empty one. */
typedef struct dki_checkpoint {
    const dk_allocator *allocator;
    char *model, *training; /* JSON */
    uint64_t revision;      /* of the network that `model` describes */
    dki_tensor_copies copies;
    size_t regions, parameter_tensors; /* the first tensors of the copies are the parameters */
    uint64_t tick;                     /* of the last step in it */
} dki_checkpoint;

/** Copies a run as it stands: waits for all steps that are queued, and reports what they met with.
 *  `fit` (NULL: outside of dk_trainer_fit) and `best` (the best epoch's parameters, or NULL) go with
 *  it. Memory of an earlier copy is used again. DK_E_NONFINITE, DK_E_MEMORY, DK_E_STATE (a step failed
 *  half-way), DK_E_DEVICE_LOST. */
dk_status dki_checkpoint_take(dki_checkpoint *checkpoint, dk_trainer *trainer,
                              const dki_fit_state *fit, float *best);

/** Writes it in place of `path`, which stays whole until it is done. Touches neither the trainer nor the
 *  device. DK_E_NONFINITE (a parameter is; nothing is written), DK_E_IO, DK_E_MEMORY. */
dk_status dki_checkpoint_write(const dki_checkpoint *checkpoint, const char *path);

void dki_checkpoint_release(dki_checkpoint *checkpoint);

/** Most regions that a checkpoint has: parameters, slots, the best epoch's parameters. */
enum { DKI_CHECKPOINT_REGIONS = 4 };
/** Lists those of a trainer; returns how many. */
size_t dki_checkpoint_regions(const dk_trainer *trainer, float *best,
                              dki_region regions[DKI_CHECKPOINT_REGIONS]);

#endif
