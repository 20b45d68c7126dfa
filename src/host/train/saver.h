/* Checkpoints of a dk_trainer_fit: when one is due, it is taken, and written by a thread beside the
 * training. */
#ifndef DKI_SAVER_H
#define DKI_SAVER_H

#include "train/checkpoint.h"
#include "train/checkpoint_folder.h"

enum { DKI_SAVER_TEXT = 1024 };

/** All zero is one that saves nothing. */
typedef struct dki_saver {
    dk_trainer *trainer; /* NULL: no checkpoints were asked for */
    const dk_fit_options *options;
    dki_checkpoint_folder folder;
    dki_checkpoint checkpoint; /* the thread's while one runs */
    char *path;                /* where that goes */
    pthread_t thread;
    bool running;              /* the thread must be joined */
    bool written;              /* atomic: it is done */
    dk_status status;          /* of it, */
    char text[DKI_SAVER_TEXT]; /* and why */
    uint64_t began_at;         /* the step that was taken last, whatever became of it */
    double began;              /* and when, in seconds */
    bool due;                  /* one is, and the one before isn't written yet */
    bool up_to_date;           /* nothing has changed since the last one; who changes it says so */
    int64_t saved, failed;
} dki_saver;

/** Opens the folder that the options name, and refuses one where nothing could be saved, or where
 *  another run's checkpoints are. The options live as long as the saver. DK_E_ARGUMENT, DK_E_IO,
 *  DK_E_STATE, DK_E_MEMORY. */
dk_status dki_saver_open(dki_saver *saver, dk_trainer *trainer, const dk_fit_options *options);

/** After a step, or at the end of an epoch: saves if that is due and the one before is written. A save
 *  that fails is a line in the log, and counted; training goes on. What is returned is the training's
 *  own trouble: DK_E_NONFINITE, DK_E_STATE, DK_E_DEVICE_LOST. */
dk_status dki_saver_step(dki_saver *saver, const dki_fit_state *fit, float *best, bool epoch_end);

/** Saves what isn't saved yet, and waits until it is on the disk. The failures of dki_saver_step, and
 *  that of this save. */
dk_status dki_saver_finish(dki_saver *saver, const dki_fit_state *fit, float *best);

/** Waits for the thread, and releases everything. */
void dki_saver_close(dki_saver *saver);

#endif
