/* The loss of each row and Δ_L, in one pass over global memory, and the loss of the batch.
 *
 * Elementwise losses go through equation (1), Δ_L = ∂l/∂a ⊙ g′(z); the softmax cross-entropy works
 * on the logits (kernels/loss.h). A group of threads has a row (rows.cuh). Rows of logits up to
 * SOFTMAX_WIDEST stay in registers between the largest logit, the sum and Δ_L; wider ones are read
 * three times, from the L2 cache for the most part. Bytes an element: z (and a), Δ_L in the storage
 * type, 4 of the target where labels aren't indices. */
#include "kernels/activation.h"
#include "kernels/kernels.h"
#include "kernels/latch.cuh"
#include "kernels/loss.h"
#include "kernels/rows.cuh"

namespace {

/* Elements of a row that one lane keeps, or takes before the whole block shares the row. */
constexpr int ROW_SHARE = 32, SOFTMAX_WIDEST = ROW_SHARE * DKI_BLOCK, LOSS_BLOCKS = 8192;
constexpr int TOTAL_THREADS = 1024;

struct LossLayout {
    int lanes; /* of a row's group */
    bool packed_a, packed_z, packed_targets, packed_delta;
};

/* The thread's place: which row of the block's, and which of the lanes that share it. */
struct Place {
    int lane, group, groups;

    DKI_DEVICE explicit Place(int lanes)
        : lane(threadIdx.x % lanes), group(threadIdx.x / lanes), groups(DKI_BLOCK / lanes) {}
};

/* w_i; NaN where the label is no class, so that loss and δ of the row are. */
DKI_DEVICE float row_weight(const dki_loss &op, int64_t row) {
    if (op.labels && (op.labels[row] < 0 || op.labels[row] >= op.a.cols)) return NAN;
    return op.weights ? op.weights[row] : 1.0f;
}

/* y of N columns: given, or the one-hot vector of the label. */
template <int N>
DKI_DEVICE void load_targets(float (&y)[N], const dki_loss &op, const LossLayout &layout,
                             int64_t row, int64_t col, int64_t count) {
    if (op.targets) {
        dki_load_some(y, op.targets + row * op.a.cols + col, count, layout.packed_targets, 0.0f);
        return;
    }
    const int64_t label = op.labels[row] - col;
#pragma unroll
    for (int i = 0; i < N; ++i) y[i] = label == i ? 1.0f : 0.0f;
}

/* ∂l/∂a · scale of N elements to `slope`; returns Σ l of the first `count`. */
template <int N>
DKI_DEVICE double elementwise_loss(const dki_loss_rule &rule, const float (&a)[N],
                                   const float (&y)[N], int64_t count, float scale,
                                   float (&slope)[N]) {
    double sum = 0.0;
    switch (rule.kind) {
#define LOSS(KIND)                                                                                 \
    case KIND:                                                                                     \
        for (int i = 0; i < N; ++i) {                                                              \
            const float value = dki_loss_value(KIND, rule.huber_delta, a[i], y[i]);                \
            sum += i < count ? (double)value : 0.0;                                                \
            slope[i] = scale * dki_loss_grad(KIND, rule.huber_delta, a[i], y[i]);                  \
        }                                                                                          \
        break;
        DKI_EACH_ELEMENTWISE_LOSS(LOSS)
#undef LOSS
    default: /* DKI_LOSS_GIVEN */
        for (int i = 0; i < N; ++i) slope[i] = scale * y[i];
        break;
    }
    return sum;
}

/* One lane's part of a row: returns its part of Σ l. */
template <dk_activation G, class T>
DKI_DEVICE double elementwise_row(const dki_loss &op, const LossLayout &layout, int64_t row,
                                  int lane, float scale) {
    constexpr int N = dki_lanes<T>::COUNT;
    const T *a_row = (const T *)op.a.data + row * op.a.ld;
    const T *z_row = (const T *)op.z.data + row * op.z.ld;
    double sum = 0.0;
    for (int64_t col = (int64_t)lane * N; col < op.a.cols; col += (int64_t)layout.lanes * N) {
        const int64_t count = op.a.cols - col;
        float a[N], y[N], slope[N];
        dki_load_some(a, a_row + col, count, layout.packed_a, 0.0f);
        load_targets(y, op, layout, row, col, count);
        sum += elementwise_loss(op.rule, a, y, count, scale, slope);
        if (!op.delta.data) continue;
        if (G != DK_IDENTITY) {
            float z[N];
            dki_load_some(z, z_row + col, count, layout.packed_z, 0.0f);
#pragma unroll
            for (int i = 0; i < N; ++i) slope[i] *= dki_activation_grad(G, op.g.alpha, z[i]);
        }
        dki_store_some((T *)op.delta.data + row * op.delta.ld + col, slope, count,
                       layout.packed_delta);
    }
    return sum;
}

template <dk_activation G, class T>
__global__ void elementwise_loss_kernel(dki_loss op, LossLayout layout, double *row_loss) {
    dki_wait_for_earlier();
    DK_SHARED(double, sums, DKI_BLOCK_WARPS);
    const Place place(layout.lanes);
    const float loss_scale = dki_loss_scale(op.state);
    for (int64_t first = (int64_t)blockIdx.x * place.groups; first < op.a.rows;
         first += (int64_t)gridDim.x * place.groups) {
        const int64_t row = first + place.group;
        const bool real = row < op.a.rows;
        const bool given = op.rule.kind == DKI_LOSS_GIVEN;
        const float weight = given || !real ? 1.0f : row_weight(op, row);
        const float mean = given ? 1.0f : weight * op.state->inverse_normaliser;
        double sum =
            real ? elementwise_row<G, T>(op, layout, row, place.lane, mean * loss_scale) : 0.0;
        sum = dki_group_reduce(sum, layout.lanes, sums, dki_sum());
        if (real && place.lane == 0) row_loss[row] = sum * (double)weight;
    }
}

/* One lane's part of a row of logits: SHARE elements in registers, or SHARE = 0, nothing kept. */
template <class T, int SHARE> struct Logits {
    enum { N = dki_lanes<T>::COUNT, KEPT = SHARE / N };
    const T *from;
    int64_t cols, first, stride;
    bool packed;
    float kept[KEPT > 0 ? KEPT : 1][N];

    DKI_DEVICE Logits(const dki_loss &op, const LossLayout &layout, int64_t row, int lane)
        : from((const T *)op.z.data + row * op.z.ld), cols(row < op.a.rows ? op.a.cols : 0),
          first((int64_t)lane * N), stride((int64_t)layout.lanes * N), packed(layout.packed_z) {
#pragma unroll
        for (int k = 0; k < KEPT; ++k) {
            const int64_t col = first + k * stride;
            dki_load_some(kept[k], from + col, cols - col, packed, -INFINITY);
        }
    }

    /* visit(the column, how many are left in the row, N logits: −∞ beyond the row). */
    template <class Visit> DKI_DEVICE void each(const Visit &visit) const {
        if constexpr (KEPT > 0) {
#pragma unroll
            for (int k = 0; k < KEPT; ++k) {
                const int64_t col = first + k * stride;
                if (col < cols) visit(col, cols - col, kept[k]);
            }
        } else {
            for (int64_t col = first; col < cols; col += stride) {
                float z[N];
                dki_load_some(z, from + col, cols - col, packed, -INFINITY);
                visit(col, cols - col, z);
            }
        }
    }
};

/* s of N columns (kernels/loss.h); 0 beyond the row. */
template <int N>
DKI_DEVICE void softmax_targets(float (&s)[N], const dki_loss &op, const LossLayout &layout,
                                int64_t row, int64_t col, int64_t count) {
    const float share = op.rule.smoothing / (float)op.a.cols;
    load_targets(s, op, layout, row, col, count);
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const float weight =
            op.rule.class_weights && i < count ? op.rule.class_weights[col + i] : 1.0f;
        const float target = dki_softmax_target(weight, s[i], op.rule.smoothing, share);
        s[i] = i < count ? target : 0.0f;
    }
}

template <class T, int SHARE>
__global__ void softmax_loss_kernel(dki_loss op, LossLayout layout, double *row_loss) {
    dki_wait_for_earlier();
    constexpr int N = dki_lanes<T>::COUNT;
    DK_SHARED(float, floats, DKI_BLOCK_WARPS);
    DK_SHARED(double, doubles, DKI_BLOCK_WARPS);
    const Place place(layout.lanes);
    const float loss_scale = dki_loss_scale(op.state);
    for (int64_t start = (int64_t)blockIdx.x * place.groups; start < op.a.rows;
         start += (int64_t)gridDim.x * place.groups) {
        const int64_t row = start + place.group;
        const bool real = row < op.a.rows;
        const float weight = real ? row_weight(op, row) : 0.0f;
        const float scale = weight * op.state->inverse_normaliser * loss_scale;
        const Logits<T, SHARE> logits(op, layout, row, place.lane);

        float top = -INFINITY;
        logits.each([&](int64_t, int64_t, const float(&z)[N]) {
            for (int i = 0; i < N; ++i) top = z[i] > top ? z[i] : top;
        });
        top = dki_group_reduce(top, layout.lanes, floats, dki_max());

        float sum = 0.0f, total = 0.0f;
        logits.each([&](int64_t col, int64_t count, const float(&z)[N]) {
            float s[N];
            softmax_targets(s, op, layout, row, col, count);
            for (int i = 0; i < N; ++i) sum += dki_exp(z[i] - top);
            for (int i = 0; i < N; ++i) total += s[i];
        });
        sum = dki_group_reduce(sum, layout.lanes, floats, dki_sum());
        total = dki_group_reduce(total, layout.lanes, floats, dki_sum());

        const float inverse = 1.0f / sum, log_sum = dki_log(sum);
        double loss = 0.0;
        logits.each([&](int64_t col, int64_t count, const float(&z)[N]) {
            float s[N], delta[N];
            softmax_targets(s, op, layout, row, col, count);
            /* a class at probability 0 that isn't wanted costs nothing, also at z = −Inf */
            for (int i = 0; i < N; ++i)
                if (s[i] != 0.0f) loss += (double)dki_softmax_value(s[i], log_sum, z[i] - top);
            if (!op.delta.data) return;
            for (int i = 0; i < N; ++i)
                delta[i] = scale * dki_softmax_grad(s[i], total, dki_exp(z[i] - top) * inverse);
            dki_store_some((T *)op.delta.data + row * op.delta.ld + col, delta, count,
                           layout.packed_delta);
        });
        loss = dki_group_reduce(loss, layout.lanes, doubles, dki_sum());
        if (real && place.lane == 0) row_loss[row] = loss * (double)weight;
    }
}

__global__ void __launch_bounds__(TOTAL_THREADS)
    loss_total_kernel(dki_step_state *state, const double *row_loss, int64_t rows) {
    dki_wait_for_earlier();
    DK_SHARED(double, sums, TOTAL_THREADS / DKI_WARP);
    double sum = 0.0;
    for (int64_t row = threadIdx.x; row < rows; row += TOTAL_THREADS) sum += row_loss[row];
    sum = dki_block_sum<TOTAL_THREADS>(sum, sums);
    if (threadIdx.x != 0) return;
    const double mean = sum * (double)state->inverse_normaliser;
    state->loss += mean;
    if (!dki_is_finite(mean)) dki_latch(state, DKI_AT_LOSS);
}

unsigned loss_blocks(int64_t rows, int lanes) {
    const int64_t groups = DKI_BLOCK / lanes;
    return dki_blocks((rows + groups - 1) / groups, LOSS_BLOCKS);
}

template <class T>
int elementwise(dki_stream stream, const dki_loss &op, const LossLayout &layout, double *row_loss) {
    const unsigned blocks = loss_blocks(op.a.rows, layout.lanes);
    switch (op.g.kind) {
#define ACTIVATION(KIND, ...)                                                                      \
    case KIND:                                                                                     \
        return DK_LAUNCH((elementwise_loss_kernel<KIND, T>), blocks, DKI_BLOCK, stream, op,        \
                         layout, row_loss);
        DKI_EACH_ACTIVATION(ACTIVATION)
#undef ACTIVATION
    }
    return cudaErrorInvalidValue;
}

template <class T>
int softmax(dki_stream stream, const dki_loss &op, const LossLayout &layout, double *row_loss) {
    constexpr int N = dki_lanes<T>::COUNT;
    const unsigned blocks = loss_blocks(op.a.rows, layout.lanes);
    if (op.a.cols <= (int64_t)layout.lanes * N)
        return DK_LAUNCH((softmax_loss_kernel<T, N>), blocks, DKI_BLOCK, stream, op, layout,
                         row_loss);
    if (op.a.cols <= SOFTMAX_WIDEST)
        return DK_LAUNCH((softmax_loss_kernel<T, ROW_SHARE>), blocks, DKI_BLOCK, stream, op, layout,
                         row_loss);
    return DK_LAUNCH((softmax_loss_kernel<T, 0>), blocks, DKI_BLOCK, stream, op, layout, row_loss);
}

/* g′ and the softmax look at z; where it isn't kept, a is the same (identity), or serves as well
 * (ReLU: a > 0 where z > 0). */
template <class T> int loss(dki_stream stream, dki_loss op, double *row_loss) {
    constexpr int N = dki_lanes<T>::COUNT;
    if (!op.z.data) op.z = op.a;
    const LossLayout layout = {dki_row_lanes((op.a.cols + N - 1) / N, ROW_SHARE / N),
                               dki_packed<T>(op.a.data, op.a.ld), dki_packed<T>(op.z.data, op.z.ld),
                               dki_packed<float, N>(op.targets, op.a.cols),
                               dki_packed<T>(op.delta.data, op.delta.ld)};
    return op.rule.kind == DK_LOSS_SOFTMAX_CROSS_ENTROPY
               ? softmax<T>(stream, op, layout, row_loss)
               : elementwise<T>(stream, op, layout, row_loss);
}

} // namespace

extern "C" int dki_cuda_loss(dki_stream stream, dki_element type, const dki_loss *op,
                             double *row_loss) {
    return dki_with_element(
        type, [&](auto element) { return loss<decltype(element)>(stream, *op, row_loss); });
}

extern "C" int dki_cuda_loss_total(dki_stream stream, dki_step_state *state, const double *row_loss,
                                   int64_t rows) {
    return DK_LAUNCH(loss_total_kernel, 1, TOTAL_THREADS, stream, state, row_loss, rows);
}
