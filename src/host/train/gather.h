/* From a feed's batch into a session: the gather operation. */
#ifndef DKI_GATHER_H
#define DKI_GATHER_H

#include "data/feed.h"
#include "train/step.h"

/** Makes the cursor stand at `position` when what is queued from now on runs. */
dk_status dki_set_cursor(dk_session *session, uint64_t position);

/** Queues the gathering of the next `rows` rows at the cursor. */
dk_status dki_gather_rows(dk_session *session, const dki_loaded *from, int64_t rows);

/** Where labels, targets and weights lie in the session then. */
dki_targets dki_gather_targets(const dk_session *session, const dki_loaded *from);

/** All of it for one batch. */
dk_status dki_gather_batch(dk_session *session, const dki_fed *batch, dki_targets *targets);

#endif
