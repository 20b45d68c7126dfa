// What the CPU's operations cost, against numbers worked out by hand: B = 64 rows, n = 32, m = 16, 4
// bytes each. Cost looks at shapes and at which matrices there are, never at memory.
#include "operations.h"

namespace {

using operations::Device;

constexpr int64_t B = 64, n = 32, m = 16;

class CpuCost : public testing::Test {
  protected:
    dki_cost cost(const dki_operation &operation) {
        dki_cost made{};
        EXPECT_EQ(device_.ops->cost(device_.backend, &operation, &made), DK_OK);
        return made;
    }
    dki_matrix matrix(int64_t rows, int64_t cols) { return {&place_, rows, cols, cols}; }
    dki_matrix other(int64_t rows, int64_t cols) { return {&other_, rows, cols, cols}; }

    Device device_{{"cpu", operations::open_cpu}, 1};
    float place_ = 0, other_ = 0;
    double double_ = 0.0;
};

void expect_cost(const dki_cost &cost, double flops, double read, double written, int launches) {
    EXPECT_EQ(cost.flops, flops);
    EXPECT_EQ(cost.read, read);
    EXPECT_EQ(cost.written, written);
    EXPECT_EQ(cost.launches, launches);
}

constexpr double FLOPS = 2.0 * 64 * 32 * 16;

TEST_F(CpuCost, OfForward) {
    dki_operation o{};
    o.kind = DKI_OPERATION_FORWARD;
    dki_linear_forward &f = o.as.forward;
    f.a_in = matrix(B, m), f.w = matrix(n, m), f.a_out = matrix(B, n), f.b = &place_;
    f.g.kind = DK_RELU; // A, W and b read, A′ written
    expect_cost(cost(o), FLOPS, 4 * (1024 + 512 + 32), 4 * 2048, 1);
    f.z = other(B, n); // and z beside it
    expect_cost(cost(o), FLOPS, 4 * (1024 + 512 + 32), 4 * 2 * 2048, 1);
    f.z = f.a_out; // the same memory
    expect_cost(cost(o), FLOPS, 4 * (1024 + 512 + 32), 4 * 2048, 1);
}

TEST_F(CpuCost, OfTheGradients) {
    dki_operation o{};
    o.kind = DKI_OPERATION_BACKWARD_DATA;
    dki_linear_backward_data &d = o.as.backward_data;
    d.delta = matrix(B, n), d.w = matrix(n, m), d.delta_out = matrix(B, m), d.a = matrix(B, m);
    d.g.kind = DK_RELU, d.db = &place_; // Δ, W and A read; Δ and db written
    expect_cost(cost(o), FLOPS, 4 * (2048 + 512 + 1024), 4 * (1024 + 16), 1);
    d.accumulate = true;
    expect_cost(cost(o), FLOPS, 4 * (2048 + 512 + 1024 + 16), 4 * (1024 + 16), 1);
    d.db = nullptr, d.g.kind = DK_IDENTITY;
    expect_cost(cost(o), FLOPS, 4 * (2048 + 512), 4 * 1024, 1);

    dki_operation w{};
    w.kind = DKI_OPERATION_BACKWARD_PARAMS;
    dki_linear_backward_params &p = w.as.backward_params;
    p.delta = matrix(B, n), p.a_in = matrix(B, m), p.dw = matrix(n, m);
    expect_cost(cost(w), FLOPS, 4 * (2048 + 1024), 4 * 512, 1);
    p.accumulate = true;
    expect_cost(cost(w), FLOPS, 4 * (2048 + 1024 + 512), 4 * 512, 1);
}

TEST_F(CpuCost, OfTheEnds) {
    dki_operation o{};
    o.kind = DKI_OPERATION_GATHER;
    dki_gather &g = o.as.gather;
    g.x = matrix(B, m), g.type = DK_F64, g.targets_in = &double_, g.weights_in = &place_,
    g.target_cols = 3;
    expect_cost(cost(o), 0, 8 * 1024 + 64 * (24 + 4), 4 * 1024 + 64 * (12 + 4), 1);

    dki_operation last{};
    last.kind = DKI_OPERATION_LOSS;
    dki_loss &l = last.as.loss;
    l.rule.kind = DK_LOSS_SOFTMAX_CROSS_ENTROPY, l.rule.class_weights = &place_;
    l.a = matrix(B, n), l.delta = matrix(B, n), l.db = &place_;
    // z, 64 labels, 32 class weights; δ, 64 doubles, db
    expect_cost(cost(last), 0, 4 * (2048 + 64 + 32), 4 * (2048 + 32) + 512, 1);
    l.delta.data = nullptr, l.db = nullptr; // the loss alone
    expect_cost(cost(last), 0, 4 * (2048 + 64 + 32), 512, 1);
}

TEST_F(CpuCost, OfTheStateAndTheUpdate) {
    dki_operation u{};
    u.kind = DKI_OPERATION_UPDATE;
    u.as.update.range = {5, 1000};
    u.as.update.slot1 = u.as.update.slot2 = &place_;
    expect_cost(cost(u), 0, 16000, 12000, 1);

    const dki_range ranges[] = {{0, 100}, {0, 0}, {100, 7}};
    dki_operation d{};
    d.kind = DKI_OPERATION_DECIDE;
    d.as.decide.ranges = ranges, d.as.decide.range_count = 3;
    expect_cost(cost(d), 0, 4 * 107, 0, 2);

    dki_operation o{};
    o.kind = DKI_OPERATION_ORDER;
    expect_cost(cost(o), 0, 0, 0, 0);
}

} // namespace
