/* A trainer: a session, the optimizer's slots, the schedule, and the count of steps. */
#ifndef DKI_TRAINER_H
#define DKI_TRAINER_H

#include "format/folder.h"
#include "train/batch.h"
#include "train/fit_state.h"

/** What a recording was made for; compared as bytes. */
typedef struct dki_captured_for {
    int64_t rows, steps;
    uint64_t revision; /* of the network */
    dki_targets targets;
    const void *features, *order, *labels, *values, *weights; /* what is gathered from */
} dki_captured_for;

/** A captured step. */
typedef struct dki_captured {
    dki_recording *recording;
    dki_captured_for key;
} dki_captured;

/** The full batches of an epoch, one at a time or several; its last one; a batch of the caller's. */
enum {
    DKI_CAPTURED_FULL,
    DKI_CAPTURED_SEVERAL,
    DKI_CAPTURED_TAIL,
    DKI_CAPTURED_BATCH,
    DKI_CAPTURED_COUNT
};

struct dk_trainer {
    dk_net *net;
    dki_turn turn;
    dk_session *session;
    dk_train_options options; /* defaults resolved */
    dki_optimization optimization;
    int64_t total_steps; /* S of the schedule; 0 = open-ended */
    int64_t first_step;  /* the step the schedule counts from */
    uint64_t epochs;     /* epochs begun, in every fit: what the order of samples follows from */
    uint64_t ticks;      /* steps begun */
    uint64_t collected;  /* steps whose loss has been read */
    dki_mailbox *mailbox;
    bool broken;              /* a step failed half-way */
    double weights[DKI_RING]; /* Σw of the steps announced, at tick mod DKI_RING */
    double loss_sum;    /* Σ weight·loss of the steps collected since somebody last set it to 0 */
    double loss_weight; /* Σ weight of the same */
    float loss_scale;   /* after the last step collected */
    dki_captured captured[DKI_CAPTURED_COUNT];
    dki_folder_id folder; /* where its checkpoints are; all zero = not known */
    bool resume_anyway;   /* of dk_trainer_resume */
    bool resumed;         /* from within a dk_trainer_fit, which the next one goes on with: */
    dki_fit_state fit;    /* where it stood, */
    float *best; /* and the best epoch's parameters, by the layout; NULL = none were kept */
};

/** Fills in what negative values and 0 stand for in training the valid `desc` (NULL: one without
 *  hidden layers), and checks every option. DK_E_ARGUMENT. */
dk_status dki_train_options_resolve(const dk_train_options *options, const dk_net_desc *desc,
                                    dk_train_options *resolved);

/** dk_trainer_create with resolved options. */
dk_status dki_trainer_open(dk_trainer **trainer, dk_net *net, const dk_train_options *resolved);

/** The optimizer's rule by resolved options. */
dki_rule dki_train_rule(const dk_train_options *resolved);

/** Before `steps` (at most DKI_RING/2) are announced, all of which will be launched: waits where the
 *  device is too far behind. DK_E_STATE where an earlier step failed half-way; those of
 *  dki_trainer_collect. */
dk_status dki_trainer_make_room(dk_trainer *trainer, int64_t steps);

/** Announces the next step: its learning rate and its normaliser. DK_E_DATA: no weight. */
dk_status dki_trainer_announce(dk_trainer *trainer, double weight_sum);

/** DK_E_ARGUMENT where single steps don't say how long the warm-up is. */
dk_status dki_trainer_require_schedule(const dk_trainer *trainer);

/** Adds the losses of finished steps to loss_sum and loss_weight. `all` waits for every step that was
 *  queued; otherwise only what the device has reported already is read, without waiting for it.
 *  *last, if not NULL, gets the last one. DK_E_NONFINITE names the first bad step, and clears the
 *  latch. */
dk_status dki_trainer_collect(dk_trainer *trainer, bool all, double *last);

/** The learning rate of the step that was announced last. */
double dki_trainer_rate(const dk_trainer *trainer);

#endif
