// The softmax cross-entropy under the thread emulator: within derived bounds of fp64, at logits of any
// size, in rows of any width.
#include "simt/losses.h"

using namespace kernels;

namespace {

constexpr double u = 0x1p-24; /* unit roundoff of fp32 */

/// kernels/loss.h in double, with a bound for each figure. To first order, taken 1 % larger:
/// z − m is rounded (u|d|) and e^d known within 1 ulp = 2u, so e_j has relative error
/// E_j = u(|d_j| + 2); a sum of n terms of one sign by lanes that add at most 32 (or n/256) each and
/// a tree of at most 5 + 8 levels has D = that many u; ours of all e_j has S = Σ p_j E_j + D u.
/// p_j: E_j + S + 2u (division, product). s_c: 4 roundings of positive numbers, 4u, and their sum
/// T: 4u + D u. ∂l/∂z = T p − s: T p (…) + 4u s + u|T p − s|; three factors of scale: 3u.
/// l = Σ s (L − d), L = log Σ within 1 ulp: s (S + 2u L + u|d| + 2u(L + |d|) + 4u(L + |d|)); the
/// sum in double adds nothing to speak of.
void expect_softmax(Loss &loss, const std::string &what) {
    const int64_t cols = loss.size.cols;
    const double n = static_cast<double>(cols), share = std::max(32.0, std::ceil(n / 256) + 8);
    const double depth = std::min(n, share + 13),
                 epsilon = static_cast<double>(loss.op.rule.smoothing);
    const double loss_scale =
        loss.state.loss_scale == 0.0f ? 1.0 : static_cast<double>(loss.state.loss_scale);
    const Floats z = loss.z.read();
    const Doubles row_loss = loss.row_loss.read();
    Doubles delta, delta_bound;
    for (int64_t i = 0; i < loss.size.rows; ++i) {
        const float *row = &z[static_cast<size_t>(i * cols)];
        double top = -INFINITY, sum = 0.0, total = 0.0, sum_error = depth * u;
        for (int64_t j = 0; j < cols; ++j) top = std::max(top, static_cast<double>(row[j]));
        for (int64_t j = 0; j < cols; ++j) sum += std::exp(static_cast<double>(row[j]) - top);
        Doubles s;
        for (int64_t j = 0; j < cols; ++j) {
            const double d = static_cast<double>(row[j]) - top;
            sum_error += std::exp(d) / sum * u * (2.0 - d);
            const float *classes = loss.op.rule.class_weights;
            const double y = static_cast<double>(target(loss, i, j));
            s.push_back((classes ? static_cast<double>(classes[j]) : 1.0) *
                        ((1.0 - epsilon) * y + epsilon / n));
            total += s.back();
        }
        const double weight = static_cast<double>(weight_of(loss, i)), log_sum = std::log(sum);
        const double scale =
            weight * static_cast<double>(loss.state.inverse_normaliser) * loss_scale;
        double value = 0.0, value_bound = 0.0;
        for (int64_t j = 0; j < cols; ++j) {
            const double d = static_cast<double>(row[j]) - top, t = s[static_cast<size_t>(j)];
            const double p = std::exp(d) / sum, slope = total * p - t;
            value += t * (log_sum - d);
            value_bound += t * (sum_error + u * (8 * log_sum - 7 * d));
            const double error = total * p * (u * (2.0 - d) + sum_error + (6 + depth) * u) +
                                 4 * u * t + u * std::fabs(slope);
            const double rounding = unit_of(loss.type) * std::fabs(scale * slope);
            delta.push_back(scale * slope);
            delta_bound.push_back(1.01 * (scale * (error + 3 * u * std::fabs(slope)) + rounding) +
                                  tiny_of(loss.type) + 0x1p-149);
        }
        EXPECT_NEAR(weight * value, row_loss[static_cast<size_t>(i)], 1.01 * weight * value_bound)
            << what << " row " << i;
    }
    expect_within(loss.delta.read(), delta, delta_bound, what);
}

/// Probabilities: positive, with zeros among them.
Floats probabilities(Size size) {
    Random random(11);
    Floats y(static_cast<size_t>(size.rows * size.cols));
    for (float &v : y) v = static_cast<float>(random() % 4) / static_cast<float>(size.cols);
    return y;
}

Loss softmax(dki_element type, Size size, Place place, double scale = 3.0) {
    Random random(5);
    const int64_t count = size.rows * size.cols;
    const Floats z = random.normal(type, count, scale);
    Floats w = random.normal(DKI_ELEMENT_F32, size.rows);
    for (float &v : w) v = std::fabs(v);
    return Loss(type, size, place, DK_LOSS_SOFTMAX_CROSS_ENTROPY, z, z, probabilities(size), w);
}

// Indices and probabilities, with and without smoothing, class weights and sample weights.
TEST(SoftmaxLossKernel, WithinTheBoundOfDouble) {
    uint64_t turn = 0;
    for (const dki_element type : elements)
        for (const Size &size : sizes)
            for (const Place &place : places) {
                ++turn;
                simt::set_order(turn % orders.size());
                Loss loss = softmax(type, size, place);
                Floats classes;
                for (int64_t j = 0; j < size.cols; ++j)
                    classes.push_back(0.25f * static_cast<float>(j % 5 + 1));
                if (turn % 2) loss.use_labels(some_labels(size));
                if (turn % 3) loss.op.rule.class_weights = classes.data();
                if (turn % 4 < 2) loss.op.rule.smoothing = 0.1f;
                if (turn % 5 == 0) loss.op.weights = nullptr;
                if (turn % 7 < 3) loss.state.loss_scale = 1024.0f;
                if (turn % 2) loss.op.z = {};
                ASSERT_EQ(0, loss.run());
                expect_softmax(loss, describe("softmax", type, size, place));
            }
    simt::set_order(0);
}

// Rows kept by a warp, by a block, and read again: 1024 and 8192 are the edges.
TEST(SoftmaxLossKernel, WideRows) {
    for (const dki_element type : elements)
        for (const Size &size : std::vector<Size>{
                 {3, 255}, {3, 1024}, {2, 1025}, {1, 5000}, {1, 8192}, {2, 8193}, {1, 20011}})
            for (const Place &place : {places[0], places[3]}) {
                Loss loss = softmax(type, size, place);
                if (place.offset == 0) loss.use_labels(some_labels(size));
                loss.op.rule.smoothing = 0.25f;
                ASSERT_EQ(0, loss.run());
                expect_softmax(loss, describe("softmax", type, size, place));
            }
}

TEST(SoftmaxLossKernel, TallShape) {
    for (const dki_element type : elements) {
        Loss loss = softmax(type, {3000, 2}, {0, 0});
        loss.use_labels(some_labels({3000, 2}));
        ASSERT_EQ(0, loss.run());
        expect_softmax(loss, element_name(type));
    }
}

/// n logits of −1e4, but for some, and a second row with 1 in front; label 1 in both.
using Logits = std::vector<std::pair<int64_t, float>>;
Floats extreme_logits(dki_element type, int64_t cols, const Logits &first) {
    Floats z(static_cast<size_t>(2 * cols), -1e4f);
    for (const auto &[col, value] : first) z[static_cast<size_t>(col)] = value;
    z[static_cast<size_t>(cols)] = 1.0f;
    for (float &v : z) v = static_cast<float>(rounded(type, static_cast<double>(v)));
    return z;
}

struct Extreme : Loss {
    Extreme(dki_element type_, int64_t cols, const Logits &first)
        : Extreme(extreme_logits(type_, cols, first), type_, cols) {}

  private:
    Extreme(const Floats &values, dki_element type_, int64_t cols)
        : Loss(type_, {2, cols}, {0, 0}, DK_LOSS_SOFTMAX_CROSS_ENTROPY, values, values, values,
               {1.0f, 1.0f}) {
        use_labels({1, 1});
        state.inverse_normaliser = 1.0f;
    }
};

const std::vector<int64_t> widths = {3, 33, 600, 1500, 9000};

// One logit of +1e4 among −1e4: p is exactly the unit vector, the loss exactly 0 or the distance.
TEST(SoftmaxLossKernel, ExactLimitsAtLogitsOfTenThousand) {
    for (const dki_element type : elements)
        for (const int64_t cols : widths) {
            const double large = rounded(type, 1e4);
            Extreme right(type, cols, {{1, 1e4f}});
            ASSERT_EQ(0, right.run());
            EXPECT_EQ(0.0, right.row_loss.read()[0]);
            const Floats zeros = right.delta.read();
            for (int64_t j = 0; j < cols; ++j) EXPECT_EQ(0.0f, zeros[static_cast<size_t>(j)]);

            Extreme wrong(type, cols, {{cols - 1, 1e4f}});
            ASSERT_EQ(0, wrong.run());
            EXPECT_EQ(2.0 * large, wrong.row_loss.read()[0]);
            const Floats delta = wrong.delta.read();
            for (int64_t j = 0; j < cols; ++j)
                EXPECT_EQ(j == 1 ? -1.0f : (j == cols - 1 ? 1.0f : 0.0f),
                          delta[static_cast<size_t>(j)]);
        }
}

// A class at −Inf that isn't wanted costs nothing; one that is, infinitely much.
TEST(SoftmaxLossKernel, InfinitelyUnlikelyClasses) {
    for (const dki_element type : elements)
        for (const int64_t cols : widths) {
            Extreme unwanted(type, cols, {{1, 5.0f}, {cols - 1, -INFINITY}});
            ASSERT_EQ(0, unwanted.run());
            EXPECT_EQ(0.0, unwanted.row_loss.read()[0]);
            EXPECT_EQ(0.0f, unwanted.delta.read()[static_cast<size_t>(cols - 1)]);
            Extreme wanted(type, cols, {{0, 5.0f}, {1, -INFINITY}});
            ASSERT_EQ(0, wanted.run());
            EXPECT_EQ(static_cast<double>(INFINITY), wanted.row_loss.read()[0]);
        }
}

// NaN or +Inf anywhere, or −Inf everywhere: NaN, and only in its own row.
TEST(SoftmaxLossKernel, NanAndInfinityComeOut) {
    for (const dki_element type : elements)
        for (const int64_t cols : widths)
            for (const float bad : {static_cast<float>(NAN), static_cast<float>(INFINITY)})
                for (const int64_t col : {int64_t{0}, int64_t{1}, cols - 1}) {
                    Extreme loss(type, cols, {{col, bad}});
                    ASSERT_EQ(0, loss.run());
                    EXPECT_TRUE(std::isnan(loss.row_loss.read()[0])) << cols << " " << col;
                    EXPECT_TRUE(std::isnan(loss.delta.read()[static_cast<size_t>(col)]));
                    EXPECT_TRUE(std::isfinite(loss.row_loss.read()[1]));
                    EXPECT_EQ(1.0f, loss.delta.read()[static_cast<size_t>(cols)]);
                }
    Extreme loss(DKI_ELEMENT_F32, 2, {{0, -INFINITY}, {1, -INFINITY}});
    ASSERT_EQ(0, loss.run());
    EXPECT_TRUE(std::isnan(loss.row_loss.read()[0]));
}

} // namespace
