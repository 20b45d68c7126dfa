/* Products of bf16 matrices, tile by tile. Those of Z, A and Δ go into a tile of fp32 in scratch; the
 * pointwise work is the fp32 loops', and what it leaves is rounded once, on its way out. */
#ifndef DKI_BF16_H
#define DKI_BF16_H

#include "backend/cpu/product_job.h"

/** Where a tile's product goes: to scratch, or into the output itself (dW, which is fp32, and a bare
 *  product's, which has the type that the layer's would have). */
typedef enum dki_bf16_target { DKI_INTO_OUTPUT, DKI_INTO_SCRATCH } dki_bf16_target;

/** Finds the primitives of a job's tiles. DK_E_MEMORY, DK_E_UNSUPPORTED. */
dk_status dki_bf16_plan(dki_product_job *job, dki_bf16_target target);

/** Makes the primitives of the steps that follow. DK_E_MEMORY, DK_E_UNSUPPORTED. */
dk_status dki_bf16_plan_layers(dki_cpu *cpu, const dki_plan_request *request);

/** One tile of a job planned for DKI_INTO_OUTPUT. False where there is no memory. */
bool dki_bf16_product(const dki_product_job *job, const dki_tile *tile);

/** The pieces of forward and of the data gradient. */
void dki_bf16_forward_tile(void *job, int64_t index);
void dki_bf16_data_tile(void *job, int64_t index);

#endif
