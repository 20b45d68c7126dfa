/* What predictions of rows and of data sets share. */
#ifndef DKI_PREDICT_H
#define DKI_PREDICT_H

#include "train/session.h"

/** Row `first` … of y [all rows, n_L] from a⁽ᴸ⁾ of the last forward, as dk_predict promises them.
 *  DK_E_NONFINITE, with row and output. */
dk_status dki_predictions_read(dk_session *session, int64_t first, int64_t rows, float *y);

#endif
