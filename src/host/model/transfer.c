#include "model/transfer.h"

/* Dense on both sides: one copy; else a copy for each row. */
static int64_t runs(const dki_matrix *matrix) {
    return matrix->ld == matrix->cols || matrix->rows == 1 ? 1 : matrix->rows;
}

dk_status dki_matrix_download(dki_backend *backend, const dki_matrix *from, float *to) {
    int64_t count = runs(from), length = from->rows / count * from->cols;
    for (int64_t i = 0; i < count; ++i)
        DKI_TRY(backend->ops->download(backend, to + i * length,
                                       (const float *)from->data + i * from->ld,
                                       (size_t)length * sizeof(float)));
    return DK_OK;
}

dk_status dki_matrix_upload(dki_backend *backend, const dki_matrix *to, const float *from) {
    int64_t count = runs(to), length = to->rows / count * to->cols;
    for (int64_t i = 0; i < count; ++i)
        DKI_TRY(backend->ops->upload(backend, (float *)to->data + i * to->ld, from + i * length,
                                     (size_t)length * sizeof(float)));
    return DK_OK;
}
