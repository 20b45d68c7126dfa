/* A trainer: a session, the optimizer's slots, the schedule, and the count of steps. */
#ifndef DKI_TRAINER_H
#define DKI_TRAINER_H

#include "data/loader.h"
#include "train/batch.h"

enum { DKI_RECORDINGS = 2 };

/** A captured step, and what it was captured for. */
typedef struct dki_captured {
    dki_recording *recording;
    int64_t rows;
    const void *features;
    const int64_t *order;
} dki_captured;

struct dk_trainer {
    dk_net *net;
    dk_session *session;
    dk_train_options options; /* defaults resolved */
    dki_optimization optimization;
    int64_t total_steps; /* S of the schedule; 0 = open-ended */
    int64_t first_step;  /* the step the schedule counts from */
    uint64_t epochs;     /* epochs begun, in every fit: what the order of samples follows from */
    uint64_t ticks;      /* steps begun */
    uint64_t collected;  /* steps whose loss has been read */
    double weights[DKI_RING]; /* Σw of the steps announced, at tick mod DKI_RING */
    double loss_sum;    /* Σ weight·loss of the steps collected since somebody last set it to 0 */
    double loss_weight; /* Σ weight of the same */
    dki_captured captured[DKI_RECORDINGS];
};

/** Fills in what negative values and 0 stand for, and checks every option. DK_E_ARGUMENT. */
dk_status dki_train_options_resolve(const dk_train_options *options, dk_train_options *resolved);

/** The optimizer's rule by resolved options. */
dki_rule dki_train_rule(const dk_train_options *resolved);

/** Announces the next step: its learning rate and its normaliser. */
dk_status dki_trainer_announce(dk_trainer *trainer, double weight_sum);

/** Reads the losses of the steps since the last call into loss_sum and loss_weight; *last, if not
 *  NULL, gets the last one. DK_E_NONFINITE names the first bad step, and clears the latch. */
dk_status dki_trainer_collect(dk_trainer *trainer, double *last);

/** The learning rate of the step that was announced last. */
double dki_trainer_rate(const dk_trainer *trainer);

#endif
