/* A network: description, parameters on the device, preprocessing, class names. */
#ifndef DKI_NET_H
#define DKI_NET_H

#include "base/fair_lock.h"
#include "model/columns.h"
#include "model/context.h"
#include "model/layout.h"

/** x′ = (x − shift)·scale, on the host and (for the gather operation) on the device. */
typedef struct dki_scaling {
    double *shift; /* [count] host, or NULL: none */
    float *scale;
    double *device_shift; /* the same on the device */
    float *device_scale;
    int64_t count;
} dki_scaling;

struct dk_net {
    int references; /* atomic */
    dk_context *context;
    dk_net_desc desc; /* layers and class_weights point to the copies below */
    dk_layer *layers; /* [layer_count], defaults resolved */
    float *class_weights;
    float *device_class_weights;
    dki_layout layout;
    float *parameters; /* device memory, layout.elements */
    void *working;     /* the same in the storage type, in the same allocation; NULL: it is fp32 */
    dk_task task;      /* of the data it was made for; DK_TASK_AUTO = not known */
    dki_scaling features, targets;
    char **class_names;  /* [n_L] or NULL */
    dki_columns columns; /* of the table that it was trained on */
    bool in_training;    /* atomic: it has a trainer */
    /* counts changes of what a captured step has in it: frozen layers, scalings */
    uint64_t revision;
    dki_fair_lock lock; /* parameters, frozen, scalings and revision: readers and writers of any
                           thread take turns */
};

/** Waits until nobody writes the network, or uses it at all; unlock returns `status`. */
static inline void dki_net_lock_read(const dk_net *net) {
    dki_fair_lock_read(&((dk_net *)(uintptr_t)net)->lock);
}
static inline void dki_net_lock_write(dk_net *net) {
    dki_fair_lock_write(&net->lock);
}
static inline dk_status dki_net_unlock(const dk_net *net, dk_status status) {
    dki_fair_unlock(&((dk_net *)(uintptr_t)net)->lock);
    return status;
}

dk_net *dki_net_hold(const dk_net *net);

/** dk_net_create without the initial weights: every parameter is 0. */
dk_status dki_net_make(dk_net **net, dk_context *context, const dk_net_desc *desc);

static inline int64_t dki_net_outputs(const dk_net *net) {
    return net->layers[net->desc.layer_count - 1].width;
}

/** Whether the last layer's outputs are logits of a classifier, by the loss. */
bool dki_loss_is_classification(dk_loss loss);

/** A scaling of `count` columns by copies of shift and scale, on the host and the device; empty on
 *  failure. model/scaling.c */
dk_status dki_scaling_make(dk_context *context, const double *shift, const float *scale,
                           int64_t count, dki_scaling *scaling);
void dki_scaling_drop(dk_context *context, dki_scaling *scaling);
/** Lets the old one go and takes over what the new one owns. */
void dki_scaling_replace(dk_context *context, dki_scaling *old, const dki_scaling *made);

/** Replaces one scaling by copies of shift and scale [count]; NULL, NULL removes it. */
dk_status dki_net_set_scaling(dk_net *net, dki_scaling *scaling, const double *shift,
                              const float *scale, int64_t count);

/** The working copy after a change of `count` parameters from `first` on. */
dk_status dki_net_cast(dk_net *net, int64_t first, int64_t count);

/** Every parameter, padding included, from or to layout.elements floats of the host's. */
dk_status dki_net_read_all(const dk_net *net, float *values);
dk_status dki_net_write_all(dk_net *net, const float *values);

/** The first of W and b, layer by layer, that holds NaN or Inf; *layer = 0 where none does. */
dk_status dki_net_find_nonfinite(const dk_net *net, size_t *layer, dk_tensor *tensor);

/** Replaces the class names by copies of names [n_L]; NULL removes them. */
dk_status dki_net_set_class_names(dk_net *net, const char *const *names);

/** The initial weights of every layer: Philox words of (seed, layer, element), the same bits on
 * every device; and the biases of those layers that were `asked` for with DK_INIT_AUTO and an activation
 * that isn't the identity, others' 0. model/init.c */
dk_status dki_net_initialise(dk_net *net, const dk_layer *asked);

/** The variance of a rule's weights; 0 for DK_INIT_CONSTANT. model/init.c */
double dki_init_variance(const dk_layer *layer, int64_t inputs);

/** DK_INIT_AUTO resolved by the activation and the network's number of layers. */
dk_init dki_init_resolve(dk_init init, dk_activation activation, size_t layers);

#endif
