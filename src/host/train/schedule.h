/* Learning rate schedules: formulas at dk_schedule. */
#ifndef DKI_SCHEDULE_H
#define DKI_SCHEDULE_H

#include "base/error.h"

/** The factor of lr at step s (from 0) of `total`; total = 0: constant after the warm-up. */
double dki_schedule_factor(const dk_train_options *options, int64_t s, int64_t total);

#endif
