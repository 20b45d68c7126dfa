/* A layer on scratch memory, so that timing never writes to a network's own tensors. */
#ifndef DKI_TRIAL_H
#define DKI_TRIAL_H

#include "backend/cuda/cuda.h"
#include "backend/cuda/plan_time.h"

/** A layer, and the one below it (NULL for the first), whose g′ its data gradient applies. */
typedef struct dki_trial_shape {
    const dki_layer_shape *layer, *below;
    int64_t rows;
    const dki_rule *rule; /* of an update along with dW, or NULL */
} dki_trial_shape;

typedef enum dki_trial_item {
    DKI_TRIAL_X, /* A_{k−1} [rows, inputs] */
    DKI_TRIAL_W,
    DKI_TRIAL_Y,  /* A_k, Δ_k [rows, width] */
    DKI_TRIAL_DX, /* Δ_{k−1} */
    DKI_TRIAL_Z,  /* Z_k or Z_{k−1}, where an activation wants it for g′ */
    DKI_TRIAL_DW,
    DKI_TRIAL_B,
    DKI_TRIAL_B_WORKING,
    DKI_TRIAL_DB,
    DKI_TRIAL_MASTER,         /* with a rule: W in fp32, which dW updates, */
    DKI_TRIAL_MASTER_WORKING, /* its working copy, */
    DKI_TRIAL_STATE,          /* and the step state */
    DKI_TRIAL_WORKSPACE,
    DKI_TRIAL_ITEMS
} dki_trial_item;

/** A few copies of all its tensors, taken in turn, so that what one trial left in the L2 cache
 *  doesn't serve the next one where a step's wouldn't. */
typedef struct dki_trial_layer {
    dki_cuda *cuda;
    dki_trial_shape shape;
    void *memory;
    int copies;
    size_t stride, bytes; /* of one copy, of all */
    size_t at[DKI_TRIAL_ITEMS];
} dki_trial_layer;

/** Lays the tensors out; products can be described, but not run. DK_E_MEMORY: sizes overflow. */
dk_status dki_trial_lay_out(dki_trial_layer *trial, dki_cuda *cuda, const dki_trial_shape *shape);
/** Allocates, if that hasn't been done, and fills with random numbers. DK_E_MEMORY. */
dk_status dki_trial_allocate(dki_trial_layer *trial);
void dki_trial_close(dki_trial_layer *trial);

/** The layer's operations on one copy. */
dki_linear_forward dki_trial_forward(const dki_trial_layer *trial, int copy);
dki_linear_backward_data dki_trial_backward_data(const dki_trial_layer *trial, int copy);
/** dW, and with `update` that, too, by the shape's rule. */
dki_linear_backward_params dki_trial_backward_params(const dki_trial_layer *trial, int copy,
                                                     bool update);
/** One of its products as the library sees it. */
void dki_trial_product(const dki_trial_layer *trial, int copy, dki_product_kind kind,
                       dki_epilogue epilogue, dki_product *product, dki_operands *operands);
/** The one with the update in it. */
void dki_trial_update_product(const dki_trial_layer *trial, int copy, dki_product *product,
                              dki_operands *operands);

#endif
