/* θ ← rule(θ, g, slots), and the working copy of θ in the storage type.
 *
 * Bytes an element: 4 for g, 8 for θ and for each slot (read and written), 2 for the working copy:
 * sgd 12, momentum 20, adam 28, +2 with a working copy. */
#include "kernels/kernels.h"
#include "kernels/latch.cuh"
#include "kernels/optimizer.h"
#include "kernels/rows.cuh"

#include <type_traits>

namespace {

constexpr int UPDATE_LANES = dki_lanes<float>::COUNT, UPDATE_BLOCKS = 8192;

/* `count` of the UPDATE_LANES elements from `first` on. Where the gradient, the new θ or a new slot
 * isn't finite, θ and the slots stay, and the result is false. */
template <dk_optimizer KIND, class T>
DKI_DEVICE bool update_some(const dki_update_range &op, const dki_rule &rule, const dki_rate &rate,
                            int64_t first, int64_t count, bool packed) {
    constexpr int N = UPDATE_LANES;
    const bool has_slot1 = dki_optimizer_slots(KIND) >= 1,
               has_slot2 = dki_optimizer_slots(KIND) == 2;
    float theta[N], g[N], slot1[N], slot2[N];
    dki_load_some(theta, op.parameters + first, count, packed, 0.0f);
    dki_load_some(g, op.gradients + first, count, packed, 0.0f);
    if (has_slot1) dki_load_some(slot1, op.slot1 + first, count, packed, 0.0f);
    if (has_slot2) dki_load_some(slot2, op.slot2 + first, count, packed, 0.0f);
    bool finite = true;
#pragma unroll
    for (int i = 0; i < N; ++i) {
        float next1 = has_slot1 ? slot1[i] : 0.0f, next2 = has_slot2 ? slot2[i] : 0.0f;
        const float next = dki_update(rule, rate, op.decay, theta[i], g[i], &next1, &next2);
        const bool good =
            i >= count || (dki_is_finite(g[i]) && dki_update_is_finite(KIND, next, next1, next2));
        theta[i] = good ? next : theta[i];
        if (has_slot1) slot1[i] = good ? next1 : slot1[i];
        if (has_slot2) slot2[i] = good ? next2 : slot2[i];
        finite = finite && good;
    }
    dki_store_some(op.parameters + first, theta, count, packed);
    if (has_slot1) dki_store_some(op.slot1 + first, slot1, count, packed);
    if (has_slot2) dki_store_some(op.slot2 + first, slot2, count, packed);
    if (!std::is_same<T, float>::value && op.working)
        dki_store_some((T *)op.working + first, theta, count, packed);
    return finite;
}

/* Threads take whole packs of the regions, which are aligned where a range need not be; those at its
 * ends are cut. */
template <dk_optimizer KIND, class T>
__global__ void update_kernel(dki_update_range op, bool packed) {
    dki_wait_for_earlier();
    constexpr int N = UPDATE_LANES;
    if (dki_is_latched(op.state) || op.state->skip) return;
    dki_rule rule = op.rule;
    rule.kind = KIND;
    const dki_rate rate = op.state->rate;
    const int64_t begin = op.range.first, end = begin + op.range.count;
    const int64_t stride = (int64_t)gridDim.x * DKI_BLOCK * N;
    int64_t bad = -1;
    for (int64_t first = begin / N * N + ((int64_t)blockIdx.x * DKI_BLOCK + threadIdx.x) * N;
         first < end; first += stride) {
        const int64_t from = first < begin ? begin : first;
        const int64_t to = first + N < end ? first + N : end;
        if (!update_some<KIND, T>(op, rule, rate, from, to - from, packed)) bad = from;
    }
    if (bad >= 0) dki_latch(op.state, DKI_AT_PARAMETER + bad);
}

template <class T> int update(dki_stream stream, const dki_update_range *op) {
    constexpr int N = UPDATE_LANES;
    const bool packed = dki_packed<float>(op->parameters, 0) &&
                        dki_packed<float>(op->gradients, 0) && dki_packed<float>(op->slot1, 0) &&
                        dki_packed<float>(op->slot2, 0) && dki_packed<T, N>(op->working, 0);
    const int64_t packs = (op->range.first % N + op->range.count + N - 1) / N;
    const unsigned blocks = dki_blocks((packs + DKI_BLOCK - 1) / DKI_BLOCK, UPDATE_BLOCKS);
    switch (op->rule.kind) {
#define UPDATE(KIND)                                                                               \
    case KIND:                                                                                     \
        return DK_LAUNCH((update_kernel<KIND, T>), blocks, DKI_BLOCK, stream, *op, packed);
        DKI_EACH_OPTIMIZER(UPDATE)
#undef UPDATE
    }
    return cudaErrorInvalidValue;
}

} // namespace

extern "C" int dki_cuda_update(dki_stream stream, dki_element type, const dki_update_range *op) {
    return dki_with_element(type,
                            [&](auto element) { return update<decltype(element)>(stream, op); });
}
