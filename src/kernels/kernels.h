/* The kernels' C face: one launcher for each, in the file of its name.
 *
 * A launcher queues work on a stream and returns CUDA's error code, 0 = success. It never
 * allocates, waits or reads back, so it may be captured in a graph. Every reduction runs in a fixed
 * order that depends on the shapes alone: the same bits on every run. Arithmetic is fp32 (sums of
 * losses and squares: double), whatever the storage type of A, Z and Δ. No element of a matrix's
 * padding (columns cols … ld−1) is written, but it may be read: it belongs to the matrix, that of the
 * last row, too. Any size, any leading dimension, any alignment of at least an element; 128-bit
 * accesses where address and leading dimension allow them. */
#ifndef DKI_KERNELS_H
#define DKI_KERNELS_H

#include "backend/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef void *dki_stream; /* dki_queue (kernels/queue.h); the tests have their own */

/** Rows of a tile of column sums: one block sums that many of its columns. */
static inline int64_t dki_sum_tile_rows(int64_t rows) {
    const int64_t least = (rows + 1023) / 1024;
    return least < 64 ? 64 : least;
}

/** How many tiles. The partial sums of all of them lie in a workspace of tiles·cols floats, and are
 *  added in a fixed order by dki_cuda_add_sums. At most 1024. */
static inline int64_t dki_sum_tiles(int64_t rows) {
    return (rows + dki_sum_tile_rows(rows) - 1) / dki_sum_tile_rows(rows);
}

/** Elements whose squares one block adds. */
enum { DKI_NORM_PIECE = 16384 };

/** activation.cu: z = product + b, a = g(z) ⊙ dropout, both rounded to the storage type, a from the
 *  unrounded z. The product lies where z will (or a, where z is absent). b NULL: the product has the
 *  bias already. */
int dki_cuda_activation(dki_stream stream, dki_element type, const dki_linear_forward *op);

/** delta.cu: Δ_{k−1} = product ⊙ dropout ⊙ g′, in place in delta_out; g′ from z, or from a where z
 *  is absent (identity and ReLU). `partial` [tiles, cols] gets the column sums of the unrounded
 *  values, or NULL. */
int dki_cuda_delta(dki_stream stream, dki_element type, const dki_linear_backward_data *op,
                   float *partial);

/** sums.cu: partial [tiles, cols] = the column sums of each tile of rows. */
int dki_cuda_column_sums(dki_stream stream, dki_element type, dki_matrix matrix, float *partial);

/** sums.cu: db [cols] (+)= Σ over tiles of partial [tiles, cols], in a fixed order. */
int dki_cuda_add_sums(dki_stream stream, float *db, const float *partial, int64_t tiles,
                      int64_t cols, bool accumulate);

/** loss.cu: the weighted loss of each row (before the normaliser) to row_loss [rows], and Δ_L where
 *  it isn't absent, × the state's loss scale. A label outside 0 … n_L−1 gives NaN. Then
 *  dki_cuda_loss_total. Column sums are dki_cuda_column_sums'. */
int dki_cuda_loss(dki_stream stream, dki_element type, const dki_loss *op, double *row_loss);

/** loss.cu: state->loss += inverse_normaliser · Σ row_loss; latches bad_tick where that isn't
 *  finite. One block. */
int dki_cuda_loss_total(dki_stream stream, dki_step_state *state, const double *row_loss,
                        int64_t rows);

/** gather.cu: X, labels, targets and weights of a batch; then advances the cursor, if it was used.
 *  Latches bad_tick where an element of X isn't finite. */
int dki_cuda_gather(dki_stream stream, dki_element type, const dki_gather *op);

/** update.cu: what dki_update_range says; latches. */
int dki_cuda_update(dki_stream stream, dki_element type, const dki_update_range *op);

/** cast.cu: to[i] = from[i] rounded to the storage type (nearest even), i < count. */
int dki_cuda_cast(dki_stream stream, dki_element type, const float *from, void *to, int64_t count);

/** cast.cu: one of the kernels, to ask the runtime what they were compiled for: all of them alike. */
const void *dki_cuda_any_kernel(void);

/** cast.cu: the working copy of a range whose parameters a product has updated. One that isn't finite
 *  takes its value back from the working copy and is latched. Needs a working copy. */
int dki_cuda_settle(dki_stream stream, dki_element type, const dki_update_range *op);

/** unpack.cu: to [rows, cols], dense = from, as floats. */
int dki_cuda_unpack(dki_stream stream, dki_element type, dki_matrix from, float *to);

/** initialise.cu: W of initial weights. */
int dki_cuda_initialise(dki_stream stream, const dki_initialise *op);

/** norm.cu: partial[i] = Σ x² of piece i of DKI_NORM_PIECE elements. */
int dki_cuda_square_sums(dki_stream stream, const float *x, int64_t count, double *partial);

/** state.cu: the first kernel of a step (dki_begin). */
int dki_cuda_begin(dki_stream stream, const dki_begin *op);

/** state.cu: gradient_norm = √Σ partial [count] / loss scale, then what dki_decide says. One block. */
int dki_cuda_decide(dki_stream stream, const dki_decide *op, const double *partial, int64_t count);

#ifdef __cplusplus
}
#endif

#endif
