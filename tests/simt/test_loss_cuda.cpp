// The loss kernels under the thread emulator: Δ_L of elementwise losses has the bits of the scalar
// formulas, the loss of a row is its sum in double.
#include "simt/losses.h"
#include "support_extent.h"

extern "C" {
#include "kernels/loss.h"
}

using namespace kernels;

namespace {

const std::vector<dk_loss> elementwise_losses = {
#define NAME(KIND) KIND,
    DKI_EACH_ELEMENTWISE_LOSS(NAME)
#undef NAME
};

/// The scalar formulas, element by element, for all losses but the softmax. A row's values, taken
/// as exact, add up in double in another order than the kernel's: γ_{n−1} of fp64 for each.
void expect_formulas(Loss &loss, const std::string &what) {
    const Floats a = loss.a.read(), z = loss.op.z.data ? loss.z.read() : a;
    const bool given = loss.op.rule.kind == DKI_LOSS_GIVEN;
    const float loss_scale = loss.state.loss_scale == 0.0f ? 1.0f : loss.state.loss_scale;
    const dk_loss kind = static_cast<dk_loss>(loss.op.rule.kind);
    Floats delta;
    Doubles losses, bounds;
    for (int64_t i = 0; i < loss.size.rows; ++i) {
        const float weight = weight_of(loss, i);
        const float scale = (given ? 1.0f : weight * loss.state.inverse_normaliser) * loss_scale;
        double sum = 0.0, size = 0.0;
        for (int64_t j = 0; j < loss.size.cols; ++j) {
            const size_t k = static_cast<size_t>(i * loss.size.cols + j);
            const float y = target(loss, i, j);
            float d = scale * (given ? y : dki_loss_grad(kind, loss.op.rule.huber_delta, a[k], y));
            if (loss.op.g.kind != DK_IDENTITY)
                d *= dki_activation_grad(loss.op.g.kind, loss.op.g.alpha, z[k]);
            delta.push_back(static_cast<float>(rounded(loss.type, static_cast<double>(d))));
            if (given) continue;
            const float value = dki_loss_value(kind, loss.op.rule.huber_delta, a[k], y);
            sum += static_cast<double>(value);
            size += std::fabs(static_cast<double>(value));
        }
        losses.push_back(sum * static_cast<double>(weight));
        bounds.push_back(2.0 * static_cast<double>(loss.size.cols) * 0x1p-53 * size *
                         static_cast<double>(weight));
    }
    if (loss.op.delta.data) expect_same(loss.delta.read(), delta, what);
    const Doubles row_loss = loss.row_loss.read();
    for (size_t i = 0; i < losses.size(); ++i)
        EXPECT_NEAR(losses[i], row_loss[i], bounds[i]) << what << " row " << i;
}

const std::vector<Size> wide_sizes = {{1, 5000}, {3000, 2}, {2, 1024}, {3, 1025}};

// --- elementwise losses --------------------------------------------------------------------------

// (a − y)², |a − y| of small integers and their gradients are exact in every type; so are the sums.
// Fails where an element is left out of the loss, taken twice, or belongs to another row.
TEST(LossKernel, ExactOnSmallIntegers) {
    uint64_t order = 0;
    for (const dki_element type : elements)
        for (const dk_loss kind : {DK_LOSS_MSE, DK_LOSS_MAE})
            for (const Size &size : sizes)
                for (const Place &place : places) {
                    simt::set_order(++order % orders.size());
                    Loss loss = integers(type, size, place, kind);
                    ASSERT_EQ(0, loss.run());
                    const std::string what = describe("loss", type, size, place);
                    const Doubles row_loss = loss.row_loss.read();
                    const Floats a = loss.a.read();
                    Floats delta;
                    for (int64_t i = 0; i < size.rows; ++i) {
                        double sum = 0.0;
                        for (int64_t j = 0; j < size.cols; ++j) {
                            const double r =
                                static_cast<double>(a[static_cast<size_t>(i * size.cols + j)]) -
                                static_cast<double>(target(loss, i, j));
                            const bool mse = kind == DK_LOSS_MSE;
                            sum += mse ? r * r : std::fabs(r);
                            const double slope = mse ? 2 * r : (r > 0) - (r < 0);
                            const double d = 0.25 * static_cast<double>(weight_of(loss, i)) * slope;
                            delta.push_back(static_cast<float>(d + 0.0)); /* −0 is 0 */
                        }
                        EXPECT_EQ(static_cast<double>(weight_of(loss, i)) * sum,
                                  row_loss[static_cast<size_t>(i)])
                            << what;
                    }
                    Floats x = loss.delta.read();
                    for (float &v : x) v += 0.0f;
                    expect_same(x, delta, what);
                }
    simt::set_order(0);
}

// Every loss with every activation, equation (1), in every type.
TEST(LossKernel, EveryLossAndActivationHasTheBitsOfTheFormulas) {
    uint64_t turn = 0;
    for (const dki_element type : elements)
        for (const dk_activation g : activations())
            for (const int kind :
                 {static_cast<int>(DK_LOSS_MSE), static_cast<int>(DK_LOSS_MAE),
                  static_cast<int>(DK_LOSS_HUBER), static_cast<int>(DK_LOSS_SIGMOID_CROSS_ENTROPY),
                  static_cast<int>(DKI_LOSS_GIVEN)})
                for (int i = 0; i < 3; ++i, ++turn) {
                    const Size size = sizes[turn % sizes.size()];
                    const Place place = places[turn % places.size()];
                    simt::set_order(turn % orders.size());
                    Loss loss = normal(type, size, place, DK_LOSS_MSE);
                    loss.op.rule.kind = kind;
                    loss.op.g = nonlinearity(g);
                    loss.state.loss_scale = turn % 2 ? 256.0f : 0.0f;
                    if (turn % 3 == 0) loss.op.weights = nullptr;
                    if (turn % 4 == 0 && kind != DKI_LOSS_GIVEN) loss.use_labels(some_labels(size));
                    ASSERT_EQ(0, loss.run());
                    expect_formulas(loss, describe("loss " + std::to_string(kind), type, size,
                                                   place, std::to_string(g).c_str()));
                }
    simt::set_order(0);
}

TEST(LossKernel, WideAndTallShapes) {
    for (const dki_element type : elements)
        for (const Size &size : wide_sizes)
            for (const dk_loss kind : elementwise_losses) {
                Loss loss = normal(type, size, places[1], kind);
                ASSERT_EQ(0, loss.run());
                expect_formulas(loss, describe("loss", type, size, places[1]));
            }
}

// The same bits whatever runs first, for a row by a few lanes, by a warp and by a block.
TEST(LossKernel, TheSameBitsInAnyOrderOfThreads) {
    for (const int kind :
         {static_cast<int>(DK_LOSS_MSE), static_cast<int>(DK_LOSS_SOFTMAX_CROSS_ENTROPY)})
        for (const Size &size : std::vector<Size>{{19, 13}, {9, 129}, {2, 1500}, {2, 9001}}) {
            Doubles first_loss;
            Floats first_delta;
            for (const uint64_t order : orders) {
                simt::set_order(order);
                Loss loss = normal(DKI_ELEMENT_F32, size, {0, 0}, static_cast<dk_loss>(kind), 3.0);
                ASSERT_EQ(0, loss.run());
                if (order == 0) first_loss = loss.row_loss.read();
                if (order == 0) first_delta = loss.delta.read();
                EXPECT_EQ(first_loss, loss.row_loss.read()) << size.cols;
                expect_same(loss.delta.read(), first_delta, "in order " + std::to_string(order));
            }
        }
    simt::set_order(0);
}

// More rows than the largest grid takes in one turn.
TEST(LossKernel, TheGridGoesRound) {
    if (!support::tries_long_cases()) GTEST_SKIP() << "2 million threads";
    const Size size = {int64_t{8192} * 256 + 300, 1};
    for (const dk_loss kind : {DK_LOSS_MSE, DK_LOSS_SOFTMAX_CROSS_ENTROPY}) {
        Loss loss = normal(DKI_ELEMENT_F32, size, {0, 0}, kind);
        ASSERT_EQ(0, loss.run());
        const Doubles row_loss = loss.row_loss.read();
        const Floats a = loss.a.read();
        size_t wrong = 0;
        for (size_t i = 0; i < row_loss.size(); ++i) {
            /* one class: log Σ e^z − z = 0 */
            const float value =
                kind == DK_LOSS_MSE ? dki_loss_value(kind, 1.0f, a[i], loss.op.targets[i]) : 0.0f;
            wrong +=
                row_loss[i] != static_cast<double>(value) * static_cast<double>(loss.op.weights[i]);
        }
        EXPECT_EQ(0u, wrong);
    }
}

TEST(LossKernel, DeltaMayBeAbsent) {
    for (const int kind :
         {static_cast<int>(DK_LOSS_HUBER), static_cast<int>(DK_LOSS_SOFTMAX_CROSS_ENTROPY)}) {
        Loss with = normal(DKI_ELEMENT_BF16, {9, 33}, {5, 1}, static_cast<dk_loss>(kind));
        Loss without = normal(DKI_ELEMENT_BF16, {9, 33}, {5, 1}, static_cast<dk_loss>(kind));
        without.op.delta = {};
        ASSERT_EQ(0, with.run());
        ASSERT_EQ(0, without.run());
        EXPECT_EQ(with.row_loss.read(), without.row_loss.read());
    }
}

// Without z, a stands for it: the same for the identity, and of the same sign for ReLU.
TEST(LossKernel, ZMayBeAbsent) {
    for (const dki_element type : elements)
        for (const dk_activation g : {DK_IDENTITY, DK_RELU}) {
            Loss loss = normal(type, {33, 31}, {5, 0}, DK_LOSS_MSE);
            loss.op.z = {};
            loss.op.g = nonlinearity(g);
            ASSERT_EQ(0, loss.run());
            expect_formulas(loss, element_name(type));
        }
}

// A label that is no class: NaN in its row, and nothing read that isn't there.
TEST(LossKernels, LabelsOutsideTheClassesGiveNan) {
    for (const int kind : {static_cast<int>(DK_LOSS_SOFTMAX_CROSS_ENTROPY),
                           static_cast<int>(DK_LOSS_SIGMOID_CROSS_ENTROPY)})
        for (const dki_element type : elements)
            for (const int64_t cols : {1, 10, 129, 1500, 9000})
                for (const int32_t bad : {-1, static_cast<int32_t>(cols), INT32_MIN, INT32_MAX}) {
                    Loss loss = normal(type, {3, cols}, {0, 0}, static_cast<dk_loss>(kind));
                    loss.use_labels({0, bad, static_cast<int32_t>(cols - 1)});
                    ASSERT_EQ(0, loss.run());
                    const Doubles row_loss = loss.row_loss.read();
                    const Floats delta = loss.delta.read();
                    EXPECT_TRUE(std::isfinite(row_loss[0]));
                    EXPECT_TRUE(std::isnan(row_loss[1])) << bad;
                    EXPECT_TRUE(std::isfinite(row_loss[2]));
                    for (size_t k = 0; k < delta.size(); ++k)
                        EXPECT_EQ(static_cast<int64_t>(k) / cols == 1, std::isnan(delta[k]));
                }
}

} // namespace
