/* Where each tensor lies in a parameter-shaped region.
 *
 *     | W⁽¹⁾ | W⁽²⁾ | … | W⁽ᴸ⁾ | b⁽¹⁾ | … | b⁽ᴸ⁾ |
 *     0                        weights_end        elements
 *
 * Parameters, gradients and optimizer slots share these offsets, so that an update is one flat
 * loop; weights lie first, so that the exemption of biases from decay is one boundary. Every tensor
 * starts on 256 bytes; the padding is zero and stays zero. */
#ifndef DKI_LAYOUT_H
#define DKI_LAYOUT_H

#include "backend/backend.h"
#include "base/memory.h"

enum { DKI_TENSOR_ALIGNMENT = 256 };

typedef struct dki_place {
    int64_t inputs, width;
    int64_t w, w_ld; /* first element and leading dimension of W⁽ᵏ⁾ */
    int64_t b;       /* first element of b⁽ᵏ⁾ */
} dki_place;

typedef struct dki_layout {
    size_t layer_count;
    dki_place *places; /* [layer_count], layer k at k − 1 */
    int64_t weights_end, elements;
    int64_t parameter_count; /* without padding */
} dki_layout;

/** Walks the layers; the backend pads the rows of W. `places` [layer_count] is the caller's.
 *  DK_E_SHAPE where a product of widths overflows. */
dk_status dki_layout_make(dki_layout *layout, dki_place *places, int64_t inputs,
                          const dk_layer *layers, size_t layer_count, const dki_backend *backend);

/** Bytes of the parameters' working copy; none where the storage type is fp32. */
static inline size_t dki_layout_working_bytes(const dki_layout *layout, dki_element element) {
    if (element == DKI_ELEMENT_F32) return 0;
    return (size_t)layout->elements * dki_element_bytes(element);
}

#endif
