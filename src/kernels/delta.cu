/* The backward pass after the product: δ = product ⊙ dropout ⊙ g′, in place, and its column sums,
 * from which ∂L/∂b comes (math.md, (2) and (4)).
 *
 * Bytes moved per element, with an s-byte storage type: 2s read and s written (s less where g is the
 * identity, whose g′ needs nothing saved). */
#include "kernels/activation.h"
#include "kernels/column_sums.cuh"
#include "kernels/kernels.h"
#include "kernels/random.cuh"

namespace {

template <class T> struct operands {
    int64_t rows, cols, tile_rows;
    dki_view<T> delta;
    dki_view<T> saved; /* z, or a where g′ is the same function of it; NULL for the identity */
    bool packed;
    dki_nonlinearity g;
    const dki_step_state *state;
    float *partial; /* [tiles, cols] or NULL */
};

/** δ of a tile, as a source of column sums. */
template <dk_activation KIND, class T> struct delta_source {
    enum { N = dki_lanes<T>::COUNT, ROWS = DKI_IN_FLIGHT / 2 }; /* of two matrices */
    const operands<T> &op;
    const dki_dropout dropout;

    DKI_DEVICE void packs(int64_t row, int64_t stride, int64_t end, int64_t col,
                          float (&sums)[N]) const {
        const int64_t count = op.cols - col;
        dki_pack<T> delta[ROWS], saved[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            if (row + i * stride >= end) break;
            const int64_t at = row + i * stride;
            delta[i].load_row(op.delta.at(at, col), count, op.packed);
            if (KIND != DK_IDENTITY) saved[i].load_row(op.saved.at(at, col), count, op.packed);
        }
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            const int64_t at = row + i * stride;
            if (at >= end) break;
            float x[N], z[N];
            delta[i].get(x);
            dropout.apply(x, at, col);
            if (KIND != DK_IDENTITY) {
                saved[i].get(z);
#pragma unroll
                for (int j = 0; j < N; ++j) x[j] *= dki_activation_grad(KIND, op.g.alpha, z[j]);
            }
            dki_store_some(op.delta.at(at, col), x, count, op.packed);
#pragma unroll
            for (int j = 0; j < N; ++j) sums[j] += x[j];
        }
    }
};

template <dk_activation KIND, class T>
__global__ void __launch_bounds__(DKI_THREADS, DKI_RESIDENT_BLOCKS)
    delta_kernel(const operands<T> op) {
    dki_wait_for_earlier();
    typedef dki_sum_memory<dki_lanes<T>::COUNT> memory;
    DK_SHARED(memory, shared, 1);
    const delta_source<KIND, T> source = {op, dki_dropout(op.g, op.state)};
    const dki_sum_tile tile = dki_tile_of_block(op.rows, op.cols, op.tile_rows, op.partial);
    dki_sum_columns<T>(source, tile, shared[0]);
}

template <class T>
int launch(dki_stream stream, const dki_linear_backward_data *op, float *partial) {
    const dki_matrix &delta = op->delta_out, &saved = op->z.data ? op->z : op->a;
    operands<T> o = {};
    o.rows = delta.rows;
    o.cols = delta.cols;
    o.tile_rows = dki_sum_tile_rows(delta.rows);
    o.delta = dki_view_of<T>(delta);
    if (op->g.kind != DK_IDENTITY) o.saved = dki_view_of<T>(saved);
    o.packed = dki_packed<T>(o.delta.data, o.delta.ld) && dki_packed<T>(o.saved.data, o.saved.ld);
    o.g = op->g;
    o.g.alpha = dki_activation_alpha(op->g.kind, op->g.alpha);
    o.state = op->g.dropout_threshold ? op->state : NULL;
    o.partial = partial;

    const dki_tiling tiling = dki_tile_sums<T>(dki_sum_tiles(o.rows), o.cols);
    switch (op->g.kind) {
#define LAUNCH(KIND, ...)                                                                          \
    case KIND:                                                                                     \
        return DK_LAUNCH((delta_kernel<KIND, T>), tiling.grid, tiling.block, stream, o);
        DKI_EACH_ACTIVATION(LAUNCH)
#undef LAUNCH
    }
    return (int)cudaErrorInvalidValue;
}

} // namespace

extern "C" int dki_cuda_delta(dki_stream stream, dki_element type,
                              const dki_linear_backward_data *op, float *partial) {
    const dk_activation kind = op->g.kind;
    if (op->delta_out.rows <= 0 || op->delta_out.cols <= 0) return 0;
    if (kind == DK_IDENTITY && !(op->g.dropout_threshold && op->state)) /* δ is the product */
        return partial ? dki_cuda_column_sums(stream, type, op->delta_out, partial) : 0;
    const bool has_saved = op->z.data || (kind == DK_RELU && op->a.data) || kind == DK_IDENTITY;
    if (!has_saved) return (int)cudaErrorInvalidValue;
    return dki_with_element(
        type, [&](auto element) { return launch<decltype(element)>(stream, op, partial); });
}
