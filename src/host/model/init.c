/* Initial weights: Philox words of (seed, layer, row, element), so the same on every device. */
#include "model/net.h"

#include <math.h>

/* Above every layer's number, and within the 12 bits that random words have for it. */
enum { BIASES = 2048 };

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

/* PyTorch's: uniform in ±1/√fan_in. They spread the places where the units bend, so that a layer that
 * bends nothing has no need of them. Their words are those of a layer that no network has. */
static dk_status draw_biases(dk_net *net, size_t k) {
    dki_backend *backend = net->context->backend;
    const dki_place *place = &net->layout.places[k];
    const dki_initialise op = {.w = {net->parameters + place->b, 1, place->width, place->width},
                               .rule = {DKI_UNIFORM, (float)(1.0 / sqrt((double)place->inputs))},
                               .seed = net->desc.seed,
                               .layer = BIASES | ((uint32_t)k + 1)};
    return backend->ops->initialise(backend, DKI_LANE_MAIN, &op);
}

dk_status dki_net_initialise(dk_net *net, const dk_layer *asked) {
    dki_backend *backend = net->context->backend;
    for (size_t k = 0; k < net->layout.layer_count; ++k) {
        const dki_place *place = &net->layout.places[k];
        dki_initialise op = {
            .w = {net->parameters + place->w, place->width, place->inputs, place->w_ld},
            .rule = rule_of(&net->layers[k], place->inputs),
            .seed = net->desc.seed,
            .layer = (uint32_t)k + 1};
        DKI_TRY(backend->ops->initialise(backend, DKI_LANE_MAIN, &op));
        if (asked[k].init == DK_INIT_AUTO && asked[k].activation != DK_IDENTITY)
            DKI_TRY(draw_biases(net, k));
    }
    return dki_net_cast(net, 0, net->layout.elements);
}
