/* Which network descriptions are valid, and the defaults of a layer. */
#include "model/net.h"

#include "base/arithmetic.h"
#include "kernels/activation.h"

#include <math.h>

/* Widths are BLAS dimensions: 32-bit integers. */
enum { MAX_LAYERS = 1024, MAX_WIDTH = 1 << 24 };

/* As many floats as the 2⁴⁷ bytes of a process's address space hold. */
static const int64_t MAX_PARAMETERS = (int64_t)1 << 45;

bool dki_loss_is_classification(dk_loss loss) {
    return loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY || loss == DK_LOSS_SIGMOID_CROSS_ENTROPY;
}

/* Up to so many layers Glorot's weights learn more behind ReLU and its kin (docs/results.md). With
 * σ² = 2/(fan_in + fan_out) each such layer halves the signal's square, though, which He's doubled
 * variance prevents: deeper networks need that to start at all. */
enum { SHALLOW = 10 };

dk_init dki_init_resolve(dk_init init, dk_activation activation, size_t layers) {
#define INIT(kind, name, alpha, init) [kind] = (init),
    static const dk_init of_deep[] = {DKI_EACH_ACTIVATION(INIT)};
#undef INIT
    if (init != DK_INIT_AUTO) return init;
    const dk_init chosen = of_deep[activation];
    return chosen == DK_INIT_HE_NORMAL && layers <= SHALLOW ? DK_INIT_XAVIER_UNIFORM : chosen;
}

static dk_status validate_layer(const dk_layer *layer, size_t k, bool last) {
    DKI_REQUIRE(layer->width >= 1 && layer->width <= MAX_WIDTH, DK_E_ARGUMENT,
                "layer %zu: width %lld is outside 1 … %d", k, (long long)layer->width, MAX_WIDTH);
    DKI_REQUIRE(dk_activation_name(layer->activation), DK_E_ARGUMENT,
                "layer %zu: unknown activation %d", k, (int)layer->activation);
    DKI_REQUIRE(isfinite(layer->alpha) && layer->alpha >= 0.0f, DK_E_ARGUMENT,
                "layer %zu: alpha %g must be a number above 0, or 0 for the default", k,
                (double)layer->alpha);
    DKI_REQUIRE(layer->dropout >= 0.0f && layer->dropout < 1.0f, DK_E_ARGUMENT,
                "layer %zu: dropout %g is outside [0, 1)", k, (double)layer->dropout);
    DKI_REQUIRE(!last || layer->dropout == 0.0f, DK_E_ARGUMENT,
                "layer %zu is the last one: it can't have dropout", k);
    DKI_REQUIRE(dk_init_name(layer->init), DK_E_ARGUMENT, "layer %zu: unknown init %d", k,
                (int)layer->init);
    DKI_REQUIRE(isfinite(layer->init_value), DK_E_ARGUMENT, "layer %zu: init_value isn't finite",
                k);
    for (size_t i = 0; i < sizeof layer->reserved / sizeof *layer->reserved; ++i)
        DKI_REQUIRE(layer->reserved[i] == 0, DK_E_ARGUMENT,
                    "layer %zu: reserved isn't 0: start from DK_LAYER_INIT", k);
    return DK_OK;
}

static dk_status validate_loss(const dk_net_desc *desc) {
    const dk_layer *last = &desc->layers[desc->layer_count - 1];
    DKI_REQUIRE(dk_loss_name(desc->loss), DK_E_ARGUMENT, "unknown loss %d", (int)desc->loss);
    DKI_REQUIRE(!dki_loss_is_classification(desc->loss) || last->activation == DK_IDENTITY,
                DK_E_ARGUMENT,
                "%s works on the logits: the last layer's activation must be identity, not %s",
                dk_loss_name(desc->loss), dk_activation_name(last->activation));
    DKI_REQUIRE(desc->huber_delta > 0.0f && isfinite(desc->huber_delta), DK_E_ARGUMENT,
                "huber_delta %g must be above 0", (double)desc->huber_delta);
    DKI_REQUIRE(desc->label_smoothing >= 0.0f && desc->label_smoothing < 1.0f, DK_E_ARGUMENT,
                "label_smoothing %g is outside [0, 1)", (double)desc->label_smoothing);
    bool softmax = desc->loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    DKI_REQUIRE(softmax || (desc->label_smoothing == 0.0f && !desc->class_weights), DK_E_ARGUMENT,
                "label_smoothing and class_weights belong to softmax_cross_entropy, not to %s",
                dk_loss_name(desc->loss));
    for (int64_t c = 0; desc->class_weights && c < last->width; ++c)
        DKI_REQUIRE(desc->class_weights[c] > 0.0f && isfinite(desc->class_weights[c]),
                    DK_E_ARGUMENT, "class_weights[%lld] = %g must be above 0", (long long)c,
                    (double)desc->class_weights[c]);
    return DK_OK;
}

dk_status dk_net_validate(const dk_net_desc *desc) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(desc, DK_E_ARGUMENT, "the network description is NULL");
    DKI_REQUIRE(desc->size == sizeof *desc, DK_E_ARGUMENT,
                "dk_net_desc.size is %zu, not %zu: start from DK_NET_DESC_INIT", desc->size,
                sizeof *desc);
    DKI_REQUIRE(desc->inputs >= 1 && desc->inputs <= MAX_WIDTH, DK_E_ARGUMENT,
                "inputs %lld is outside 1 … %d", (long long)desc->inputs, MAX_WIDTH);
    DKI_REQUIRE(desc->layers && desc->layer_count >= 1 && desc->layer_count <= MAX_LAYERS,
                DK_E_ARGUMENT, "%zu layers: a network has 1 … %d", desc->layer_count, MAX_LAYERS);
    for (size_t k = 1; k <= desc->layer_count; ++k)
        DKI_TRY(validate_layer(&desc->layers[k - 1], k, k == desc->layer_count));
    DKI_TRY(validate_loss(desc));
    int64_t inputs = desc->inputs;
    int64_t total = 0;
    for (size_t k = 0; k < desc->layer_count; inputs = desc->layers[k++].width) {
        total += desc->layers[k].width * (inputs + 1); /* below 2⁴⁵ + 2⁴⁹ */
        DKI_REQUIRE(total <= MAX_PARAMETERS, DK_E_SHAPE,
                    "layer %zu: a weight of %lld × %lld brings the parameters past the address "
                    "space",
                    k + 1, (long long)desc->layers[k].width, (long long)inputs);
    }
    return DK_OK;
}
