/* fp32 matrices between the host (dense rows) and the device (padded rows). */
#ifndef DKI_TRANSFER_H
#define DKI_TRANSFER_H

#include "backend/backend.h"

dk_status dki_matrix_download(dki_backend *backend, const dki_matrix *from, float *to);
dk_status dki_matrix_upload(dki_backend *backend, const dki_matrix *to, const float *from);

#endif
