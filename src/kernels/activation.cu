/* The forward pass after the product: z = product + b, a = g(z) ⊙ dropout.
 *
 * Bytes moved per element, with an s-byte storage type: s read and s written where z isn't kept or
 * has its bias already, 2s written otherwise. */
#include "kernels/activation.h"
#include "kernels/kernels.h"
#include "kernels/random.cuh"
#include "kernels/tiling.cuh"

namespace {

template <class T> struct operands {
    int64_t rows, cols;
    dki_view<T> product;
    dki_view<T> z; /* written; NULL where it isn't kept, or is the product as it is */
    dki_view<T> a;
    const float *b; /* or NULL */
    bool packed, b_packed;
    dki_nonlinearity g;
    const dki_step_state *state;
};

/** The bias of a pack of columns, `count` of them in the row. −0 leaves every number as it is, +0
 *  wouldn't. */
template <class T, int N>
DKI_DEVICE void load_bias(float (&b)[N], const operands<T> &op, int64_t col, int64_t count) {
    if (op.b) {
        dki_load_some(b, op.b + col, count, op.b_packed, -0.0f);
        return;
    }
#pragma unroll
    for (int j = 0; j < N; ++j) b[j] = -0.0f;
}

/** A pack of columns, in every stride-th row. */
template <dk_activation KIND, class T>
DKI_DEVICE void activate_packs(const operands<T> &op, const dki_dropout &dropout, int64_t first,
                               int64_t stride, int64_t col) {
    enum { N = dki_lanes<T>::COUNT };
    const int64_t count = op.cols - col;
    float b[N];
    load_bias(b, op, col, count);
    for (int64_t row = first; row < op.rows; row += DKI_IN_FLIGHT * stride) {
        dki_pack<T> product[DKI_IN_FLIGHT];
#pragma unroll
        for (int i = 0; i < DKI_IN_FLIGHT; ++i)
            if (row + i * stride < op.rows)
                product[i].load_row(op.product.at(row + i * stride, col), count, op.packed);
#pragma unroll
        for (int i = 0; i < DKI_IN_FLIGHT; ++i) {
            const int64_t at = row + i * stride;
            if (at >= op.rows) break;
            float x[N];
            product[i].get(x);
#pragma unroll
            for (int j = 0; j < N; ++j) x[j] += b[j];
            if (op.z.data) dki_store_some(op.z.at(at, col), x, count, op.packed);
#pragma unroll
            for (int j = 0; j < N; ++j) x[j] = dki_activation(KIND, op.g.alpha, x[j]);
            dropout.apply(x, at, col);
            dki_store_some(op.a.at(at, col), x, count, op.packed);
        }
    }
}

template <dk_activation KIND, class T>
__global__ void __launch_bounds__(DKI_THREADS, DKI_RESIDENT_BLOCKS)
    activation_kernel(const operands<T> op) {
    dki_wait_for_earlier();
    const int64_t pack = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t first = (int64_t)blockIdx.y * blockDim.y + threadIdx.y;
    const int64_t stride = (int64_t)gridDim.y * blockDim.y;
    const int64_t col = pack * dki_lanes<T>::COUNT;
    const dki_dropout dropout(op.g, op.state);
    if (col < op.cols) activate_packs<KIND>(op, dropout, first, stride, col);
}

template <class T> int launch(dki_stream stream, const dki_linear_forward *op) {
    const dki_matrix &source = op->z.data ? op->z : op->a_out;
    operands<T> o = {};
    o.rows = op->a_out.rows;
    o.cols = op->a_out.cols;
    o.product = dki_view_of<T>(source);
    if (op->z.data && op->b) o.z = o.product;
    o.a = dki_view_of<T>(op->a_out);
    o.b = op->b;
    o.packed = dki_packed<T>(source.data, source.ld) && dki_packed<T>(op->a_out.data, op->a_out.ld);
    o.b_packed = dki_packed<float>(op->b, 0);
    o.g = op->g;
    o.g.alpha = dki_activation_alpha(op->g.kind, op->g.alpha);
    o.state = op->g.dropout_threshold ? op->state : NULL;
    if (o.rows <= 0 || o.cols <= 0) return 0;
    const bool nothing = op->g.kind == DK_IDENTITY && !op->z.data && !op->b && !o.state;
    if (nothing) return 0;

    const dki_tiling tiling = dki_tile_elements<T>(o.rows, o.cols);
    switch (op->g.kind) {
#define LAUNCH(KIND, ...)                                                                          \
    case KIND:                                                                                     \
        return DK_LAUNCH((activation_kernel<KIND, T>), tiling.grid, tiling.block, stream, o);
        DKI_EACH_ACTIVATION(LAUNCH)
#undef LAUNCH
    }
    return (int)cudaErrorInvalidValue;
}

} // namespace

extern "C" int dki_cuda_activation(dki_stream stream, dki_element type,
                                   const dki_linear_forward *op) {
    return dki_with_element(type,
                            [&](auto element) { return launch<decltype(element)>(stream, op); });
}
