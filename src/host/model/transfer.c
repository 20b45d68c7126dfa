/* A matrix with padded rows goes as one range of memory, in pieces on the stack: a copy for each row
 * would cost a wait for the device each. */
#include "model/transfer.h"

#include "base/half.h"

enum { PIECE_BYTES = 32768 };

static bool is_dense(const dki_matrix *matrix) {
    return matrix->ld == matrix->cols || matrix->rows == 1;
}

/* Elements from the first to the last one, padding in between included. */
static int64_t extent(const dki_matrix *matrix) {
    return (matrix->rows - 1) * matrix->ld + matrix->cols;
}

static float element_at(const void *piece, dki_element type, int64_t i) {
    if (type == DKI_ELEMENT_BF16) return dki_bf16_to_float(((const uint16_t *)piece)[i]);
    if (type == DKI_ELEMENT_F16) return dki_f16_to_float(((const uint16_t *)piece)[i]);
    return ((const float *)piece)[i];
}

static dk_status download(dki_backend *backend, dki_element type, const dki_matrix *from,
                          float *to) {
    const int64_t all = extent(from), size = (int64_t)dki_element_bytes(type);
    if (is_dense(from) && type == DKI_ELEMENT_F32)
        return backend->ops->download(backend, to, from->data, (size_t)(all * size));
    float piece[PIECE_BYTES / sizeof(float)];
    for (int64_t first = 0; first < all; first += PIECE_BYTES / size) {
        int64_t left = all - first, count = left < PIECE_BYTES / size ? left : PIECE_BYTES / size;
        DKI_TRY(backend->ops->download(backend, piece, (const char *)from->data + first * size,
                                       (size_t)(count * size)));
        for (int64_t i = 0; i < count; ++i) {
            int64_t row = (first + i) / from->ld, col = (first + i) % from->ld;
            if (col < from->cols) to[row * from->cols + col] = element_at(piece, type, i);
        }
    }
    return DK_OK;
}

dk_status dki_matrix_download(dki_backend *backend, const dki_matrix *from, float *to) {
    return download(backend, DKI_ELEMENT_F32, from, to);
}

dk_status dki_activation_download(dki_backend *backend, const dki_matrix *from, float *to) {
    return download(backend, backend->element, from, to);
}

dk_status dki_matrix_upload(dki_backend *backend, const dki_matrix *to, const float *from) {
    enum { PIECE = PIECE_BYTES / sizeof(float) };
    const int64_t all = extent(to);
    if (is_dense(to))
        return backend->ops->upload(backend, DKI_LANE_MAIN, to->data, from,
                                    (size_t)all * sizeof(float));
    float piece[PIECE];
    for (int64_t first = 0; first < all; first += PIECE) {
        int64_t left = all - first, count = left < PIECE ? left : PIECE;
        for (int64_t i = 0; i < count; ++i) {
            int64_t row = (first + i) / to->ld, col = (first + i) % to->ld;
            piece[i] = col < to->cols ? from[row * to->cols + col] : 0.0f;
        }
        DKI_TRY(backend->ops->upload(backend, DKI_LANE_MAIN, (float *)to->data + first, piece,
                                     (size_t)count * sizeof(float)));
    }
    return DK_OK;
}
