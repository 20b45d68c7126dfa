/* Initial weights: Philox words of (seed, layer, row, element), so the same on every device. */
#include "model/net.h"

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

/* How W is drawn. A uniform variate in (−c, c) has variance c²/3. */
static dki_init_rule rule_of(const dk_layer *layer, int64_t inputs) {
    double variance = dki_init_variance(layer, inputs);
    if (layer->init == DK_INIT_CONSTANT) return (dki_init_rule){DKI_CONSTANT, layer->init_value};
    if (is_normal(layer->init)) return (dki_init_rule){DKI_NORMAL, (float)sqrt(variance)};
    return (dki_init_rule){DKI_UNIFORM, (float)sqrt(3.0 * variance)};
}

dk_status dki_net_initialise(dk_net *net) {
    dki_backend *backend = net->context->backend;
    for (size_t k = 0; k < net->layout.layer_count; ++k) {
        const dki_place *place = &net->layout.places[k];
        dki_initialise op = {
            .w = {net->parameters + place->w, place->width, place->inputs, place->w_ld},
            .rule = rule_of(&net->layers[k], place->inputs),
            .seed = net->desc.seed,
            .layer = (uint32_t)k + 1};
        DKI_TRY(backend->ops->initialise(backend, DKI_LANE_MAIN, &op));
    }
    return dki_net_cast(net, 0, net->layout.weights_end);
}
