/* Matrices between the host (dense rows of floats) and the device (padded rows). */
#ifndef DKI_TRANSFER_H
#define DKI_TRANSFER_H

#include "backend/backend.h"

/** fp32 on the device. */
dk_status dki_matrix_download(dki_backend *backend, const dki_matrix *from, float *to);
/** On the main lane; the padding becomes 0. */
dk_status dki_matrix_upload(dki_backend *backend, const dki_matrix *to, const float *from);

/** Elements of the backend's storage type. */
dk_status dki_activation_download(dki_backend *backend, const dki_matrix *from, float *to);

#endif
