#include "model/layout.h"

enum { ALIGNED_ELEMENTS = DKI_TENSOR_ALIGNMENT / sizeof(float) };

/* Takes `count` elements at *end, which moves to the next aligned element. */
static bool take(int64_t *end, int64_t count, int64_t *first) {
    *first = *end;
    int64_t after = 0;
    if (__builtin_add_overflow(*end, count, &after) ||
        __builtin_add_overflow(after, ALIGNED_ELEMENTS - 1, &after) || after > INT64_MAX / 64)
        return false;
    *end = after / ALIGNED_ELEMENTS * ALIGNED_ELEMENTS;
    return true;
}

dk_status dki_layout_make(dki_layout *layout, dki_place *places, int64_t inputs,
                          const dk_layer *layers, size_t layer_count, const dki_backend *backend) {
    *layout = (dki_layout){.layer_count = layer_count, .places = places};
    int64_t end = 0;
    for (size_t k = 0; k < layer_count; ++k) {
        dki_place *place = &places[k];
        place->inputs = k ? layers[k - 1].width : inputs;
        place->width = layers[k].width;
        place->w_ld = dki_leading(backend, place->inputs);
        int64_t elements = 0;
        DKI_REQUIRE(!__builtin_mul_overflow(place->w_ld, place->width, &elements) &&
                        take(&end, elements, &place->w),
                    DK_E_SHAPE, "layer %zu: a weight of %lld × %lld overflows the address space",
                    k + 1, (long long)place->width, (long long)place->inputs);
        layout->parameter_count += place->width * (place->inputs + 1);
    }
    layout->weights_end = end;
    for (size_t k = 0; k < layer_count; ++k)
        DKI_REQUIRE(take(&end, places[k].width, &places[k].b), DK_E_SHAPE,
                    "layer %zu: the biases overflow the address space", k + 1);
    layout->elements = end;
    return DK_OK;
}
