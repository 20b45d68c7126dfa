#include "train/diagnose.h"

#include <math.h>
#include <stdio.h>

/* Whether a tensor of the last micro-batch was kept, and has a NaN or an Inf in it. */
static bool shows(dk_session *session, dk_tensor tensor, size_t k, size_t count) {
    const dk_allocator *allocator = &session->net->context->allocator;
    float *values = NULL;
    if (dki_new(allocator, &values, count, "a diagnosis")) return false;
    const bool read = dk_session_read(session, tensor, k, values, count) == DK_OK;
    bool finite = true;
    for (size_t i = 0; read && finite && i < count; ++i) finite = isfinite(values[i]);
    dki_release(allocator, values);
    return !finite;
}

static size_t count_of(const dk_session *session, dk_tensor tensor, size_t k) {
    const dk_net *net = session->net;
    const dki_place *place = k ? &net->layout.places[k - 1] : NULL;
    const int64_t width = place ? place->width : net->desc.inputs;
    if (tensor == DK_WEIGHT_GRAD) return (size_t)(width * place->inputs);
    return (size_t)(tensor == DK_BIAS_GRAD ? width : session->rows * width);
}

/* The first tensor that shows it in the order of computation: a upwards, then the gradients
 * downwards. */
static bool find_in_tensors(dk_session *session, dk_tensor *tensor, size_t *layer) {
    static const dk_tensor order[] = {DK_A, DK_DELTA, DK_WEIGHT_GRAD, DK_BIAS_GRAD};
    const size_t last = session->net->desc.layer_count;
    for (size_t i = 0; i < sizeof order / sizeof *order; ++i)
        for (size_t step = order[i] == DK_A ? 0 : 1; step <= last; ++step) {
            *tensor = order[i];
            *layer = order[i] == DK_A ? step : last + 1 - step;
            if (shows(session, *tensor, *layer, count_of(session, *tensor, *layer))) return true;
        }
    return false;
}

/* The layer and tensor of an element of the parameters. */
static void locate(const dki_layout *layout, int64_t element, dk_tensor *tensor, size_t *layer) {
    *tensor = element < layout->weights_end ? DK_WEIGHT : DK_BIAS;
    for (*layer = layout->layer_count; *layer > 1; --*layer) {
        const dki_place *place = &layout->places[*layer - 1];
        if (element >= (*tensor == DK_WEIGHT ? place->w : place->b)) return;
    }
}

void dki_diagnose(dk_trainer *trainer, const dki_step_state *state, char *text, size_t size) {
    dk_tensor tensor = DK_A;
    size_t layer = 0;
    text[0] = '\0';
    /* The tensors are those of the last step that ran, whichever it was. */
    const bool kept = state->bad_tick == trainer->ticks;
    if (state->bad_at == DKI_AT_INPUT ||
        (kept && find_in_tensors(trainer->session, &tensor, &layer))) {
        snprintf(text, size, " (first seen in %s of layer %zu)", dk_tensor_name(tensor), layer);
    } else if (state->bad_at == DKI_AT_LOSS) {
        snprintf(text, size, " (first seen in the loss of layer %zu)",
                 trainer->net->desc.layer_count);
    } else if (state->bad_at >= DKI_AT_PARAMETER) {
        locate(&trainer->net->layout, state->bad_at - DKI_AT_PARAMETER, &tensor, &layer);
        snprintf(text, size, " (first seen in the update of %s of layer %zu)",
                 dk_tensor_name(tensor), layer);
    }
}
