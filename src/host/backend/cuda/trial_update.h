/* An update on scratch memory, for what runs beside it. */
#ifndef DKI_TRIAL_UPDATE_H
#define DKI_TRIAL_UPDATE_H

#include "backend/cuda/cuda.h"

typedef struct dki_trial_update {
    dki_update_range range;
    dki_cuda *cuda;
    void *memory;
} dki_trial_update;

/** `count` parameters, to be updated by the rule, with gradients, slots, working copy and a state in
 *  which the update does all of its work. DK_E_MEMORY. Zeroed before; closed also after a failure. */
dk_status dki_trial_update_open(dki_trial_update *update, dki_cuda *cuda, const dki_rule *rule,
                                int64_t count);
void dki_trial_update_close(dki_trial_update *update);

#endif
