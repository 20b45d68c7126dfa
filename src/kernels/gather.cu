/* X = (features[row] − shift)·scale of a batch's rows, with their labels, targets and weights.
 *
 * All are subtracted and scaled in double, then rounded to fp32 and to the storage type: equal numbers
 * give equal results, whatever the type that they are stored in. Bytes an element: that of the source, and 2 or 4 of X. */
#include "kernels/kernels.h"
#include "kernels/latch.cuh"
#include "kernels/rows.cuh"

/* Four bytes of an image at a time. */
template <> struct dki_word_of<4> { typedef uint32_t type; };

namespace {

constexpr int GATHER_BLOCKS = 8192;

struct GatherLayout {
    int lanes; /* of the block, side by side along a row */
    bool packed_in, packed_out;
};

/* Shift and scale of N neighbouring columns: they stay in registers while the rows go by. Beyond the
 * row they are such that 0 stays 0. */
template <class In, int N> struct Standardise {
    double shift[N], scale[N];
    bool used;

    DKI_DEVICE void load(const dki_gather &op, int64_t col, int64_t count) {
        used = op.scale != NULL;
#pragma unroll
        for (int i = 0; i < N; ++i) {
            shift[i] = used && i < count ? op.shift[col + i] : 0.0;
            scale[i] = used && i < count ? (double)op.scale[col + i] : 1.0;
        }
    }

    DKI_DEVICE float operator()(In value, int i) const {
        return used ? (float)(((double)value - shift[i]) * scale[i]) : (float)value;
    }
};

template <class In, int N>
DKI_DEVICE void load_features(In (&values)[N], const In *from, int64_t stride, int64_t count,
                              bool packed) {
    if (packed && count >= N) {
        dki_pack<In, N> pack;
        pack.load(from);
        memcpy(values, pack.bits, sizeof values);
        return;
    }
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = i < count ? from[i * stride] : In(0);
}

DKI_DEVICE int64_t source_row(const dki_gather &op, int64_t cursor, int64_t row) {
    return op.order ? op.order[cursor + row] : cursor + row;
}

/* What belongs to a row beside its features; `lane` of `lanes` threads that share it. */
DKI_DEVICE void gather_answers(const dki_gather &op, int64_t row, int64_t from, int64_t lane,
                               int64_t lanes) {
    if (lane == 0 && op.labels_in) op.labels[row] = op.labels_in[from];
    if (lane == 0 && op.weights_in) op.weights[row] = op.weights_in[from];
    if (!op.targets_in) return;
    const double *in = op.targets_in + from * op.target_cols;
    float *out = op.targets + row * op.target_cols;
    for (int64_t j = lane; j < op.target_cols; j += lanes)
        out[j] = op.target_scale
                     ? (float)((in[j] - op.target_shift[j]) * (double)op.target_scale[j])
                     : (float)in[j];
}

/* blockIdx.x and the lanes go along the columns, blockIdx.y and the rest of the block over the
 * rows. */
template <class In, class T> __global__ void gather_kernel(dki_gather op, GatherLayout layout) {
    dki_wait_for_earlier();
    constexpr int N = dki_lanes<T>::COUNT;
    const int64_t cursor = op.at_cursor ? (int64_t)op.state->cursor : 0;
    const int64_t lane = (int64_t)blockIdx.x * layout.lanes + threadIdx.x % layout.lanes;
    const int64_t lanes = (int64_t)gridDim.x * layout.lanes;
    const int64_t height = DKI_BLOCK / layout.lanes, rows = (int64_t)gridDim.y * height;
    const int64_t top = (int64_t)blockIdx.y * height + threadIdx.x / layout.lanes;
    for (int64_t row = top; row < op.x.rows; row += rows)
        gather_answers(op, row, source_row(op, cursor, row), lane, lanes);

    bool finite = true;
    for (int64_t col = lane * N; col < op.x.cols; col += lanes * N) {
        const int64_t count = op.x.cols - col;
        Standardise<In, N> standardise;
        standardise.load(op, col, count);
        for (int64_t row = top; row < op.x.rows; row += rows) {
            const In *from = (const In *)op.features + source_row(op, cursor, row) * op.row_stride +
                             col * op.col_stride;
            In values[N];
            float x[N];
            load_features(values, from, op.col_stride, count, layout.packed_in);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                x[i] = standardise(values[i], i);
                finite = finite && dki_is_finite(dki_to_float(dki_from_float<T>(x[i])));
            }
            dki_store_some((T *)op.x.data + row * op.x.ld + col, x, count, layout.packed_out);
        }
    }
    if (!finite) dki_latch(op.state, DKI_AT_INPUT);
}

/* A kernel of its own: only when all of the one before have read the cursor may it move. */
__global__ void advance_kernel(dki_step_state *state, int64_t rows) {
    dki_wait_for_earlier();
    state->cursor += (uint64_t)rows;
}

template <class In, class T> int gather(dki_stream stream, const dki_gather *op) {
    constexpr int N = dki_lanes<T>::COUNT;
    const int64_t packs = (op->x.cols + N - 1) / N;
    const int lanes = dki_row_lanes(packs, 1);
    const unsigned across = dki_blocks((packs + lanes - 1) / lanes, GATHER_BLOCKS);
    const int64_t height = DKI_BLOCK / lanes, down = (op->x.rows + height - 1) / height;
    const int64_t most = (GATHER_BLOCKS + across - 1) / across;
    const GatherLayout layout = {
        lanes, op->col_stride == 1 && dki_packed<In, N>(op->features, op->row_stride),
        dki_packed<T>(op->x.data, op->x.ld)};
    return DK_LAUNCH((gather_kernel<In, T>), dim3(across, dki_blocks(down, most)), DKI_BLOCK,
                     stream, *op, layout);
}

template <class T> int gather_from(dki_stream stream, const dki_gather *op) {
    switch (op->type) {
    case DK_F32:
        return gather<float, T>(stream, op);
    case DK_F64:
        return gather<double, T>(stream, op);
    case DK_U8:
        return gather<uint8_t, T>(stream, op);
    case DK_I32:
        return gather<int32_t, T>(stream, op);
    case DK_I64:
        return gather<int64_t, T>(stream, op);
    }
    return cudaErrorInvalidValue;
}

} // namespace

extern "C" int dki_cuda_gather(dki_stream stream, dki_element type, const dki_gather *op) {
    const int error = dki_with_element(
        type, [&](auto element) { return gather_from<decltype(element)>(stream, op); });
    if (error || !op->at_cursor) return error;
    return DK_LAUNCH(advance_kernel, 1, 1, stream, op->state, op->x.rows);
}
