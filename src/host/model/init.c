/* Initial weights: Philox words of (seed, layer, row, element), so the same on every device. */
#include "kernels/philox.h"
#include "kernels/scalar.h"
#include "model/net.h"
#include "model/transfer.h"

#include <math.h>

double dki_init_variance(const dk_layer *layer, int64_t inputs) {
    double fan_in = (double)inputs, fan_out = (double)layer->width;
    double alpha = layer->activation == DK_LEAKY_RELU ? (double)layer->alpha : 0.0;
    switch (layer->init) {
    case DK_INIT_HE_NORMAL:
    case DK_INIT_HE_UNIFORM:
        return 2.0 / ((1.0 + alpha * alpha) * fan_in);
    case DK_INIT_XAVIER_NORMAL:
    case DK_INIT_XAVIER_UNIFORM:
        return 2.0 / (fan_in + fan_out);
    case DK_INIT_LECUN_NORMAL:
    case DK_INIT_LECUN_UNIFORM:
        return 1.0 / fan_in;
    case DK_INIT_CONSTANT:
    case DK_INIT_AUTO:
        return 0.0;
    }
    return 0.0;
}

static bool is_normal(dk_init init) {
    return init == DK_INIT_HE_NORMAL || init == DK_INIT_XAVIER_NORMAL ||
           init == DK_INIT_LECUN_NORMAL;
}

/* Row i of W. A uniform variate in (−c, c) has variance c²/3. */
static void fill_row(const dk_layer *layer, uint32_t number, uint64_t seed, int64_t row,
                     int64_t inputs, float *values) {
    double variance = dki_init_variance(layer, inputs);
    bool normal = is_normal(layer->init);
    float scale = (float)(normal ? sqrt(variance) : sqrt(3.0 * variance));
    for (int64_t j = 0; j < inputs; j += 4) {
        dki_words words =
            dki_random_block(seed, DKI_FOR_INIT, number, 0, (uint32_t)row, (uint32_t)(j / 4));
        for (int64_t i = 0; i < 4 && j + i < inputs; ++i)
            values[j + i] =
                layer->init == DK_INIT_CONSTANT
                    ? layer->init_value
                    : scale * (normal ? dki_normal(words.v[i]) : dki_uniform(words.v[i]));
    }
}

dk_status dki_net_initialise(dk_net *net) {
    const dk_allocator *allocator = &net->context->allocator;
    for (size_t k = 0; k < net->layout.layer_count; ++k) {
        const dki_place *place = &net->layout.places[k];
        float *values = NULL;
        DKI_TRY(dki_new(allocator, &values, (size_t)(place->width * place->inputs),
                        "the initial weights"));
        for (int64_t row = 0; row < place->width; ++row)
            fill_row(&net->layers[k], (uint32_t)k + 1, net->desc.seed, row, place->inputs,
                     values + row * place->inputs);
        dki_matrix w = {net->parameters + place->w, place->width, place->inputs, place->w_ld};
        dk_status status = dki_matrix_upload(net->context->backend, &w, values);
        dki_release(allocator, values);
        if (status) return status;
    }
    return DK_OK;
}
