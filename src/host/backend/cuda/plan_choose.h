/* What the files that choose plans share. */
#ifndef DKI_PLAN_CHOOSE_H
#define DKI_PLAN_CHOOSE_H

#include "backend/cuda/trial.h"

/** A later candidate must be this much better: what differs by less than measurements do stays with
 *  the library's order, with fewer kernels, and on two lanes. */
#define DKI_CLEARLY_BETTER 0.98

typedef struct dki_chooser {
    dki_cuda *cuda;
    const dki_plan_request *request;
    dki_timer timer;
} dki_chooser;

/** *milliseconds of one trial on the layer; INFINITY for what fails, and for what is clearly slower
 *  than `limit`. Only a lost device is an error. */
dk_status dki_chooser_measure(dki_chooser *choose, const dki_trial_layer *layer, dki_trial run,
                              void *argument, double limit, double *milliseconds);
/** Layer k and the one below it, on scratch memory. */
dk_status dki_chooser_lay_out(const dki_chooser *choose, size_t k, dki_trial_layer *layer);

/** The fastest algorithm for a layer's data gradient, unless it is known; `processors` as in
 *  dki_product. */
dk_status dki_chooser_data_algorithm(dki_chooser *choose, dki_trial_layer *layer,
                                     dki_epilogue epilogue, int64_t processors);

/** plan_lanes.c: one lane for a layer's two gradients, or two? After the products. */
dk_status dki_choose_lanes(dki_chooser *choose);
/** The way of layer k's data gradient, as it has been chosen. */
dk_status dki_chooser_data_way(const dki_chooser *choose, size_t k, const dki_trial_layer *layer,
                               dki_way *way);
/** How many layers layer k ≥ 1 stands for: itself and those like it above; 0 where one below stands
 *  for it. With `above` only those that have a layer above, which must be alike, too. */
int dki_chooser_stands_for(const dki_plan_request *request, size_t k, bool above);

/** plan_spare.c: how many multiprocessors do data gradients leave to early updates? After the
 *  lanes. */
dk_status dki_choose_spare(dki_chooser *choose);

#endif
