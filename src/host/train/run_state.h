/* Everything of a training run that isn't a tensor, and its JSON text.
 *
 *     {"format": 1, "environment": {…}, "options": {…}, "progress": {…}, "state": {…},
 *      "fit": {…} or null, "plans": "hexadecimal digits" or null} */
#ifndef DKI_RUN_STATE_H
#define DKI_RUN_STATE_H

#include "train/trainer.h"

/** What the bits of a run depend on beside its options. */
typedef struct dki_environment {
    char deltak[16], device[16], library[256], kernel[64], precision[16];
} dki_environment;

/** The host's counts. */
typedef struct dki_run_progress {
    int64_t total_steps, first_step;
    uint64_t epochs, ticks;
    double loss_sum, loss_weight;
} dki_run_progress;

typedef struct dki_run_state {
    dki_environment environment;
    dk_train_options options; /* resolved */
    dki_run_progress progress;
    dki_step_state state;
    bool fitting; /* within dk_trainer_fit: */
    dki_fit_state fit;
    const dk_allocator *allocator;
    void *plans; /* [plan_bytes] of the backend, from the allocator; NULL = it has none */
    size_t plan_bytes;
} dki_run_state;

/** The environment of a context. */
void dki_environment_of(const dk_context *context, dki_environment *environment);

/** The caller releases the text with `allocator`. DK_E_MEMORY. */
dk_status dki_run_state_to_json(const dki_run_state *run, const dk_allocator *allocator,
                                char **text);

/** Parses and checks: DK_E_MODEL; DK_E_MEMORY. On success dki_run_state_release is due. */
dk_status dki_run_state_from_json(dki_run_state *run, const dk_allocator *allocator,
                                  const char *text);
void dki_run_state_release(dki_run_state *run);

/** Whether a run recorded as `saved` may go on here as `now`, bit by bit: environment, options, and
 *  (where both are fitting) what fit was asked for. DK_E_STATE names what differs. */
dk_status dki_environment_compare(const dki_environment *saved, const dki_environment *now);
dk_status dki_options_compare(const dk_train_options *saved, const dk_train_options *now);
dk_status dki_fit_state_compare(const dki_fit_state *saved, const dki_fit_state *now);

#endif
