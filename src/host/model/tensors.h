/* A network's tensors in files: W and b of every layer, of any parameter-shaped region, dense.
 *
 * layers.K.weight [n_k, n_{k−1}] and layers.K.bias [n_k], K = 1 … L, behind the prefix of their region. */
#ifndef DKI_TENSORS_H
#define DKI_TENSORS_H

#include "format/safetensors.h"
#include "model/net.h"

enum { DKI_TENSOR_NAME = 64 };

/** The parameters, or what is shaped like them. */
typedef struct dki_region {
    const char *prefix; /* of the tensors' names: "" for the parameters themselves */
    float *values;      /* by the network's layout */
    bool on_host;       /* values may be read and written here */
    bool finite; /* NaN or Inf in it is an error: slots may hold what overflowed harmlessly */
} dki_region;

/** The parameters themselves. */
static inline dki_region dki_parameters_of(const dk_net *net) {
    return (dki_region){"", net->parameters, net->context->backend->host_memory, true};
}

/** Copies of regions' tensors, as a file wants them. All zero is a valid empty one. */
typedef struct dki_tensor_copies {
    const dk_allocator *allocator;
    size_t count;
    dki_safetensor *tensors;        /* [count], in the order of the regions */
    char (*names)[DKI_TENSOR_NAME]; /* [count] */
    float *values;
} dki_tensor_copies;

/** Allocates copies of `count` regions, and names them; copies nothing. DK_E_MEMORY. */
dk_status dki_tensor_copies_make(dki_tensor_copies *copies, const dk_net *net,
                                 const dki_region *regions, size_t count);
void dki_tensor_copies_release(dki_tensor_copies *copies);

/** Copies the tensors of the same regions. Waits for the device. DK_E_DEVICE_LOST. */
dk_status dki_tensor_copies_take(dki_tensor_copies *copies, const dk_net *net,
                                 const dki_region *regions, size_t count);

/** Whether the first `count` tensors are finite: DK_E_NONFINITE names the one that isn't. */
dk_status dki_tensor_copies_check(const dki_tensor_copies *copies, size_t count);

/** Whether a file has these regions' tensors, as F32 and in their shapes: DK_E_MODEL. */
dk_status dki_tensors_check(const dki_safetensors *file, const dk_net_desc *desc,
                            const char *prefix);

/** Reads regions from a file, and after the parameters makes their working copy. What is checked
 *  beforehand is not changed by a failure: names, shapes, memory, and what must be finite.
 *  DK_E_MODEL, DK_E_NONFINITE, DK_E_MEMORY, DK_E_DEVICE_LOST. */
dk_status dki_tensors_load(dk_net *net, const dki_safetensors *file, const dki_region *regions,
                           size_t count);

#endif
