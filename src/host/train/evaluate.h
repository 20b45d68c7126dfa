/* Evaluation with a session that is kept between calls: fit evaluates after every epoch. */
#ifndef DKI_EVALUATE_H
#define DKI_EVALUATE_H

#include "train/gather.h"

typedef struct dki_evaluator dki_evaluator;

/** `batch` rows at a time; 0 = chosen. DK_E_SHAPE, DK_E_STATE, DK_E_MEMORY. */
dk_status dki_evaluator_create(dki_evaluator **evaluator, const dk_net *net,
                               const dk_dataset *dataset, int64_t batch);
void dki_evaluator_destroy(dki_evaluator *evaluator);

/** As dk_evaluate. */
dk_status dki_evaluator_run(dki_evaluator *evaluator, dk_metrics *metrics);

/** How many rows a batch of inference has, for a set of `rows`. */
int64_t dki_inference_batch(int64_t wanted, int64_t rows);

#endif
