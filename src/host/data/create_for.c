/* The usual network for a data set: identity on top, softmax cross-entropy for classes, mse for
 * numbers. And whether a data set fits a network. */
#include "base/arithmetic.h"
#include "data/dataset.h"
#include "model/net.h"

#include <string.h>

enum { MAX_HIDDEN = 1023 };

static void fill_layers(dk_layer *layers, const int64_t *hidden, size_t count,
                        dk_activation activation, int64_t outputs) {
    for (size_t k = 0; k <= count; ++k) {
        layers[k] = (dk_layer)DK_LAYER_INIT;
        layers[k].width = k < count ? hidden[k] : outputs;
        layers[k].activation = k < count ? activation : DK_IDENTITY;
    }
}

dk_status dk_net_create_for(dk_net **net, const dk_dataset *dataset, const int64_t *hidden,
                            size_t hidden_count, dk_activation activation, uint64_t seed) {
    DKI_ARITHMETIC;
    DKI_REQUIRE(net, DK_E_ARGUMENT, "dk_net_create_for: net is NULL");
    *net = NULL;
    DKI_REQUIRE(dataset && (hidden || hidden_count == 0), DK_E_ARGUMENT,
                "dk_net_create_for: a NULL argument");
    DKI_REQUIRE(hidden_count <= MAX_HIDDEN, DK_E_ARGUMENT, "%zu hidden layers: at most %d",
                hidden_count, MAX_HIDDEN);
    const dki_storage *storage = dataset->storage;
    DKI_REQUIRE(storage->task == DK_TASK_CLASSIFICATION || storage->task == DK_TASK_REGRESSION,
                DK_E_STATE, "%s has no labels to train on", storage->name);
    dk_context *context = storage->context;
    dk_layer *layers = NULL;
    dk_net *made = NULL;
    DKI_TRY(dki_new(&context->allocator, &layers, hidden_count + 1, "the layers"));
    fill_layers(layers, hidden, hidden_count, activation, storage->target_count);
    dk_net_desc desc = DK_NET_DESC_INIT;
    desc.inputs = storage->features_count;
    desc.layers = layers;
    desc.layer_count = hidden_count + 1;
    desc.seed = seed;
    desc.loss =
        storage->task == DK_TASK_CLASSIFICATION ? DK_LOSS_SOFTMAX_CROSS_ENTROPY : DK_LOSS_MSE;
    dk_status status = dk_net_create(&made, context, &desc);
    if (!status) status = dk_net_learn_preprocessing(made, dataset);
    dki_release(&context->allocator, layers);
    if (status)
        dk_net_destroy(made);
    else
        *net = made;
    return status;
}

/* The first class whose names differ; −1 where they agree or one side has none. */
static int64_t first_other_class(const dki_storage *storage, const dk_net *net) {
    if (!storage->class_names || !net->class_names) return -1;
    for (int64_t c = 0; c < storage->target_count; ++c)
        if (strcmp(storage->class_names[c], net->class_names[c]) != 0) return c;
    return -1;
}

static dk_status fits(const dki_storage *storage, const dk_net *net) {
    DKI_REQUIRE(storage->features_count == net->desc.inputs, DK_E_SHAPE,
                "%s has %lld features, the network takes %lld", storage->name,
                (long long)storage->features_count, (long long)net->desc.inputs);
    DKI_REQUIRE(storage->task == DK_TASK_CLASSIFICATION || storage->task == DK_TASK_REGRESSION,
                DK_E_STATE, "%s has no labels", storage->name);
    int64_t outputs = dki_net_outputs(net);
    DKI_REQUIRE(storage->target_count == outputs, DK_E_SHAPE,
                "%s has %lld %s, the network has %lld outputs", storage->name,
                (long long)storage->target_count,
                storage->task == DK_TASK_CLASSIFICATION ? "classes" : "targets",
                (long long)outputs);
    DKI_REQUIRE(storage->task != DK_TASK_CLASSIFICATION ||
                    dki_loss_is_classification(net->desc.loss),
                DK_E_SHAPE, "%s has classes: the loss %s wants numbers", storage->name,
                dk_loss_name(net->desc.loss));
    DKI_REQUIRE(storage->task != DK_TASK_REGRESSION ||
                    net->desc.loss != DK_LOSS_SOFTMAX_CROSS_ENTROPY,
                DK_E_SHAPE, "%s has numbers as targets: the loss %s wants classes", storage->name,
                dk_loss_name(net->desc.loss));
    int64_t other = first_other_class(storage, net);
    DKI_REQUIRE(other < 0, DK_E_SHAPE,
                "%s calls class %lld \"%s\", the network \"%s\": open it with like or like_net",
                storage->name, (long long)other, storage->class_names[other],
                net->class_names[other]);
    return DK_OK;
}

dk_status dki_dataset_fits(const dk_dataset *dataset, const dk_net *net) {
    dki_net_lock_read(net);
    return dki_net_unlock(net, fits(dataset->storage, net));
}
