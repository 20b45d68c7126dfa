// The ends of a pass, one operation at a time: gather, and the loss with δ⁽ᴸ⁾.
#include "operations.h"
#include "support_extent.h"

using namespace operations;

class Ends : public testing::TestWithParam<Backend> {
  protected:
    Device device{GetParam()};
    Random random{19, device.backend->element};
};

INSTANTIATE_TEST_SUITE_P(Backends, Ends, testing::ValuesIn(backends), backend_name);

// --- gather -------------------------------------------------------------------------------------

namespace {

struct Gather {
    int64_t all, rows, cols, targets; // rows of the set, rows of the batch
    int64_t padding;
    bool column_major, ordered, scaled, target_scaled, weighted, labelled;
    uint64_t cursor;
};

// The element as the header defines it: in double, whatever the type.
template <class T> float gathered(T value, double shift, float scale, bool scaled) {
    if (!scaled) return static_cast<float>(value);
    return static_cast<float>((static_cast<double>(value) - shift) * static_cast<double>(scale));
}

// Doubles that aren't floats: a shift that is rounded on the way shows.
std::vector<double> beyond_floats(const Floats &values) {
    std::vector<double> result;
    for (float value : values) result.push_back(static_cast<double>(value) * (1 + 0x1p-30));
    return result;
}

template <class T> T any_value(Random &random);
template <> float any_value(Random &random) {
    return random.normal(1, 10.0)[0];
}
template <> double any_value(Random &random) {
    return 1e6 + static_cast<double>(random() % 1000000) * 1e-4;
}
template <> uint8_t any_value(Random &random) {
    return static_cast<uint8_t>(random());
}
template <> int32_t any_value(Random &random) {
    return static_cast<int32_t>(random());
}
template <> int64_t any_value(Random &random) {
    return static_cast<int64_t>(random()) >> 20;
}

template <class T>
void check_gather(Device &device, Random &random, dk_dtype type, const Gather &c) {
    std::vector<T> features(static_cast<size_t>(c.all * c.cols));
    for (T &value : features) value = any_value<T>(random);
    const int64_t row_stride = c.column_major ? 1 : c.cols, col_stride = c.column_major ? c.all : 1;
    const std::vector<double> shift = beyond_floats(random.normal(c.cols)),
                              target_shift = beyond_floats(random.normal(c.targets));
    const Floats scale = random.normal(c.cols), target_scale = random.normal(c.targets);
    const Floats weights = random.normal(c.all);
    const std::vector<double> targets = beyond_floats(random.normal(c.all * c.targets));
    std::vector<int64_t> order;
    std::vector<int32_t> labels;
    for (int64_t i = 0; i < c.all; ++i) {
        order.push_back((i * 7 + 3) % c.all);
        labels.push_back(static_cast<int32_t>(random() % 1000));
    }

    Array<T> device_features(device, features);
    Array<double> device_shift(device, shift), device_target_shift(device, target_shift);
    Array<double> device_targets(device, targets);
    Array<float> device_scale(device, scale), device_target_scale(device, target_scale),
        device_weights(device, weights);
    Array<int64_t> device_order(device, order);
    Array<int32_t> device_labels(device, labels);
    Array<int32_t> labels_out(device, std::vector<int32_t>(static_cast<size_t>(c.rows), -1));
    Array<float> targets_out(device, Floats(static_cast<size_t>(c.rows * c.targets), -1.0f));
    Array<float> weights_out(device, Floats(static_cast<size_t>(c.rows), -1.0f));
    Matrix x(device, c.rows, c.cols, c.padding);
    dki_step_state state = state_at(1);
    state.cursor = c.cursor;
    Array<dki_step_state> states(device, {state});

    dki_gather op{};
    op.features = device_features.data();
    op.type = type;
    op.row_stride = row_stride;
    op.col_stride = col_stride;
    op.shift = c.scaled ? device_shift.data() : nullptr;
    op.scale = c.scaled ? device_scale.data() : nullptr;
    op.order = c.ordered ? device_order.data() : nullptr;
    op.at_cursor = true;
    op.x = x.view();
    op.labels_in = c.labelled ? device_labels.data() : nullptr;
    op.targets_in = c.labelled ? nullptr : device_targets.data();
    op.target_shift = c.target_scaled ? device_target_shift.data() : nullptr;
    op.target_scale = c.target_scaled ? device_target_scale.data() : nullptr;
    op.weights_in = c.weighted ? device_weights.data() : nullptr;
    op.target_cols = c.targets;
    op.labels = labels_out.data();
    op.targets = targets_out.data();
    op.weights = weights_out.data();
    op.state = states.data();
    ASSERT_EQ(DK_OK, device.ops->gather(device.backend, DKI_LANE_MAIN, &op));

    Floats expected, expected_targets, expected_weights;
    std::vector<int32_t> expected_labels;
    for (int64_t i = 0; i < c.rows; ++i) {
        const size_t at = static_cast<size_t>(c.cursor) + static_cast<size_t>(i);
        const size_t from = c.ordered ? static_cast<size_t>(order[at]) : at;
        for (int64_t j = 0; j < c.cols; ++j) {
            const int64_t element = static_cast<int64_t>(from) * row_stride + j * col_stride;
            expected.push_back(gathered(features[static_cast<size_t>(element)],
                                        shift[static_cast<size_t>(j)],
                                        scale[static_cast<size_t>(j)], c.scaled));
        }
        expected_labels.push_back(c.labelled ? labels[from] : -1);
        expected_weights.push_back(c.weighted ? weights[from] : -1.0f);
        for (size_t j = 0; j < target_shift.size(); ++j)
            expected_targets.push_back(
                c.labelled ? -1.0f
                           : gathered(targets[from * target_shift.size() + j], target_shift[j],
                                      target_scale[j], c.target_scaled));
    }
    EXPECT_TRUE(same_bits(x.read(), device.stored(expected)));
    EXPECT_EQ(labels_out.read(), expected_labels);
    EXPECT_TRUE(same_bits(targets_out.read(), expected_targets));
    EXPECT_TRUE(same_bits(weights_out.read(), expected_weights));
    EXPECT_EQ(states.read()[0].cursor, c.cursor + static_cast<uint64_t>(c.rows));
}

} // namespace

// Breaks with a row or column stride mixed up, an order or cursor ignored, labels of other rows
// than the features', a shift added, values that pass through fp32 before they are shifted.
TEST_P(Ends, GatherFindsEveryRowOfEveryType) {
    const int step = static_cast<int>(support::one_in_if_short(3));
    int turn = 0;
    for (int64_t rows : {1, 2, 31, 33, 127, 257, 4200})
        for (int64_t cols : {1, 3, 32, 129, 300}) {
            if (rows * cols > 100000) continue;
            for (int variant = 0; variant < 8; variant += step, ++turn) {
                const Gather c = {rows + 40,
                                  rows,
                                  cols,
                                  1 + turn % 3,
                                  turn % 2 * 3,
                                  variant % 2 == 1,
                                  variant / 2 % 2 == 1,
                                  variant / 4 == 1,
                                  turn % 3 != 0,
                                  turn % 4 != 0,
                                  turn % 5 < 2,
                                  static_cast<uint64_t>(turn % 41)};
                SCOPED_TRACE(std::to_string(rows) + "×" + std::to_string(cols) + " variant " +
                             std::to_string(variant));
                check_gather<float>(device, random, DK_F32, c);
                check_gather<double>(device, random, DK_F64, c);
                check_gather<uint8_t>(device, random, DK_U8, c);
                check_gather<int32_t>(device, random, DK_I32, c);
                check_gather<int64_t>(device, random, DK_I64, c);
                if (HasFailure()) return;
            }
        }
}

// --- loss ---------------------------------------------------------------------------------------

namespace {

struct LossCase {
    int64_t rows, cols, padding;
    dk_loss kind;
    dk_activation g;
    bool labels, weights, class_weights, accumulate;
    float smoothing;
};

struct LossResult {
    Floats delta, db;
    dki_step_state state;
};

struct LossData {
    Floats z, a, targets, weights, class_weights, db;
    std::vector<int32_t> labels;
    float inverse_normaliser;
};

LossData loss_data(const Device &device, Random &random, const LossCase &c) {
    LossData d;
    const bool unit =
        c.kind == DK_LOSS_SIGMOID_CROSS_ENTROPY || c.kind == DK_LOSS_SOFTMAX_CROSS_ENTROPY;
    d.z = random.normal(c.rows * c.cols, 3.0);
    for (float z : d.z) d.a.push_back(device.stored(dki_activation(c.g, alpha_of(c.g), z)));
    d.targets = unit ? random.uniform(c.rows * c.cols, 0.0, 1.0) : random.normal(c.rows * c.cols);
    d.weights = random.uniform(c.rows, 0.25, 2.0);
    d.class_weights = random.uniform(c.cols, 0.5, 3.0);
    d.db = random.normal(c.cols);
    for (int64_t i = 0; i < c.rows; ++i)
        d.labels.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(c.cols)));
    double sum = 0.0;
    for (size_t i = 0; i < d.labels.size(); ++i) {
        double w = c.weights ? static_cast<double>(d.weights[i]) : 1.0;
        if (c.labels && c.class_weights)
            w *= static_cast<double>(d.class_weights[static_cast<size_t>(d.labels[i])]);
        sum += w;
    }
    if (c.kind != DK_LOSS_SOFTMAX_CROSS_ENTROPY) sum *= static_cast<double>(c.cols);
    d.inverse_normaliser = static_cast<float>(1.0 / sum);
    return d;
}

LossResult run_loss(Device &device, const LossCase &c, const LossData &d, bool with_delta,
                    bool keep_z = true, int kind = -1) {
    Matrix z(device, c.rows, c.cols, c.padding, d.z), a(device, c.rows, c.cols, 2 * c.padding, d.a);
    Matrix delta(device, c.rows, c.cols, 3 * c.padding);
    Array<float> db(device, d.db), targets(device, d.targets), weights(device, d.weights),
        class_weights(device, d.class_weights);
    Array<int32_t> labels(device, d.labels);
    dki_step_state state = state_at(300);
    state.inverse_normaliser = d.inverse_normaliser;
    state.loss = 0.5; // of an earlier micro-batch
    Array<dki_step_state> states(device, {state});
    Array<char> workspace(device, workspace_for(device, c.rows, c.cols, c.cols));
    dki_loss op{};
    op.rule.kind = kind < 0 ? static_cast<int>(c.kind) : kind;
    op.rule.huber_delta = 0.75f;
    op.rule.smoothing = c.smoothing;
    op.rule.class_weights = c.class_weights ? class_weights.data() : nullptr;
    op.z = keep_z ? z.view() : none();
    op.a = a.view();
    op.g = nonlinearity(c.g);
    op.labels = c.labels ? labels.data() : nullptr;
    op.targets = c.labels ? nullptr : targets.data();
    op.weights = c.weights ? weights.data() : nullptr;
    op.delta = with_delta ? delta.view() : none();
    op.db = with_delta ? db.data() : nullptr;
    op.accumulate = c.accumulate;
    op.state = states.data();
    op.workspace = workspace.data();
    EXPECT_EQ(DK_OK, device.ops->loss(device.backend, DKI_LANE_MAIN, &op));
    EXPECT_TRUE(same_bits(z.read(), d.z));
    EXPECT_TRUE(same_bits(a.read(), d.a));
    workspace.read();
    LossResult result = {with_delta ? delta.read() : Floats(), db.read(), states.read()[0]};
    if (!with_delta) {
        EXPECT_TRUE(delta.untouched());
        EXPECT_TRUE(same_bits(result.db, d.db));
    }
    return result;
}

// The reference's last layer: the identity as W, so that z is the given one.
struct LossReference {
    Doubles delta, delta_bound, db, db_bound;
    double loss, loss_bound;
};

LossReference reference_loss(const Device &device, const LossCase &c, const LossData &d) {
    const size_t n = static_cast<size_t>(c.cols);
    Doubles W(n * n), b(n), x(d.z.begin(), d.z.end()), targets(d.targets.begin(), d.targets.end()),
        weights(d.weights.begin(), d.weights.end()),
        classes(d.class_weights.begin(), d.class_weights.end());
    for (size_t j = 0; j < n; ++j) W[j * n + j] = 1.0;
    const dki_ref_layer layer = {c.cols,   c.cols,   c.g,    static_cast<double>(alpha_of(c.g)),
                                 W.data(), b.data(), nullptr};
    const dki_ref_net net = {&layer,
                             1,
                             {c.kind, 0.75, static_cast<double>(c.smoothing),
                              c.class_weights ? classes.data() : nullptr}};
    const dki_ref_batch batch = {c.rows, x.data(), c.labels ? d.labels.data() : nullptr,
                                 c.labels ? nullptr : targets.data(),
                                 c.weights ? weights.data() : nullptr};
    dki_ref_tensors pass{}, bounds{};
    const dki_ref_precision precision =
        dki_ref_precision_of(device.backend->element == DKI_ELEMENT_F32 ? DK_FP32 : DK_BF16);
    EXPECT_EQ(DK_OK, dki_ref_create(&pass, &dki_libc_allocator, &net, c.rows));
    EXPECT_EQ(DK_OK, dki_ref_create(&bounds, &dki_libc_allocator, &net, c.rows));
    dki_ref_forward(&net, &batch, &pass);
    EXPECT_EQ(DK_OK, dki_ref_backward(&net, &batch, &pass)) << dk_error_text();
    EXPECT_EQ(DK_OK, dki_ref_bounds(&net, &batch, nullptr, &pass, precision, &bounds));
    const size_t count = static_cast<size_t>(c.rows) * n;
    LossReference r = {Doubles(pass.delta[1], pass.delta[1] + count),
                       Doubles(bounds.delta[1], bounds.delta[1] + count),
                       Doubles(pass.db[1], pass.db[1] + n),
                       Doubles(bounds.db[1], bounds.db[1] + n),
                       pass.loss,
                       bounds.loss};
    if (c.accumulate)
        for (size_t j = 0; j < n; ++j) {
            const double before = static_cast<double>(d.db[j]);
            r.db[j] += before;
            r.db_bound[j] += gamma_n(static_cast<double>(c.rows + 1)) * std::fabs(before);
        }
    dki_ref_destroy(&bounds);
    dki_ref_destroy(&pass);
    return r;
}

void check_loss(Device &device, Random &random, const LossCase &c) {
    const LossData d = loss_data(device, random, c);
    const LossReference r = reference_loss(device, c, d);
    const LossResult result = run_loss(device, c, d, true);
    const std::string what = std::string(dk_loss_name(c.kind)) + " " + dk_activation_name(c.g) +
                             " " + std::to_string(c.rows) + "×" + std::to_string(c.cols) +
                             (c.labels ? " labels" : " targets") + (c.weights ? " weights" : "") +
                             (c.class_weights ? " class weights" : "") +
                             (c.smoothing > 0.0f ? " smoothing" : "");
    expect_within(result.delta, r.delta, r.delta_bound, what + " δ");
    expect_within(result.db, r.db, r.db_bound, what + " db");
    const double loss = result.state.loss - 0.5;
    EXPECT_LE(std::fabs(loss - r.loss), r.loss_bound + 0x1p-50) << what;
    EXPECT_EQ(0u, result.state.bad_tick) << what;
    // Without δ the loss has the same bits, and nothing else is written.
    const LossResult alone = run_loss(device, c, d, false);
    EXPECT_EQ(alone.state.loss, result.state.loss) << what;
    if (c.g != DK_IDENTITY) return;
    const LossResult without_z = run_loss(device, c, d, true, false);
    EXPECT_TRUE(same_bits(without_z.delta, result.delta)) << what << " without z";
}

struct Batch {
    int64_t rows, cols;
};

} // namespace

// Breaks with 1/B missing or doubled, g′ dropped, weights or smoothing ignored, a row left out of
// db or of the loss.
TEST_P(Ends, LossOfEveryKindIsTheReferences) {
    const int step = static_cast<int>(support::one_in_if_short(3));
    for (Batch size : {Batch{1, 1}, Batch{2, 3}, Batch{33, 31}, Batch{257, 2}, Batch{3, 129},
                       Batch{4099, 1}, Batch{31, 17}})
        for (dk_loss kind : {DK_LOSS_MSE, DK_LOSS_MAE, DK_LOSS_HUBER, DK_LOSS_SIGMOID_CROSS_ENTROPY,
                             DK_LOSS_SOFTMAX_CROSS_ENTROPY})
            for (int variant = 0; variant < 4; variant += step) {
                if (size.rows > 4000 && variant != 3) continue; /* time */
                LossCase c = {size.rows,        size.cols, variant,          kind,
                              DK_IDENTITY,      false,     variant % 2 == 1, false,
                              variant / 2 == 1, 0.0f};
                check_loss(device, random, c);
                if (kind == DK_LOSS_SIGMOID_CROSS_ENTROPY) {
                    c.labels = true;
                    check_loss(device, random, c);
                }
                if (HasFailure()) return;
            }
}

TEST_P(Ends, LossComposesWithEveryLastActivation) {
    for (dk_activation g : activations())
        for (dk_loss kind : {DK_LOSS_MSE, DK_LOSS_MAE, DK_LOSS_HUBER})
            check_loss(device, random, {33, 5, 1, kind, g, false, true, false, false, 0.0f});
}

TEST_P(Ends, SoftmaxTakesLabelsProbabilitiesSmoothingAndWeights) {
    const int step = static_cast<int>(support::one_in_if_short(5)); // each flag on and off
    for (Batch size : {Batch{1, 2}, Batch{33, 10}, Batch{5, 257}, Batch{300, 3}, Batch{35, 300}})
        for (int variant = 0; variant < (size.cols == 300 ? 1 : 16); variant += step) /* time */
            check_loss(device, random,
                       {size.rows, size.cols, variant % 3, DK_LOSS_SOFTMAX_CROSS_ENTROPY,
                        DK_IDENTITY, (variant & 1) != 0, (variant & 2) != 0, (variant & 4) != 0,
                        variant % 3 == 0, (variant & 8) != 0 ? 0.125f : 0.0f});
}

// δ = ∂l/∂a · g′ alone: no 1/B, no weight, and no loss.
TEST_P(Ends, AGivenGradientIsMultipliedByGPrimeOnly) {
    for (dk_activation g : activations()) {
        const LossCase c = {37, 11, 2, DK_LOSS_MSE, g, false, false, false, false, 0.0f};
        const LossData d = loss_data(device, random, c);
        const LossResult result = run_loss(device, c, d, true, true, DKI_LOSS_GIVEN);
        Doubles delta, bound, db(11), db_bound(11);
        for (size_t i = 0; i < d.z.size(); ++i) {
            const double given = static_cast<double>(d.targets[i]);
            const double slope =
                dki_ref_g_prime(g, static_cast<double>(alpha_of(g)), static_cast<double>(d.z[i]));
            delta.push_back(given * slope);
            const double e = std::fabs(given) * (slope_error(g) + UNIT * std::fabs(slope)) + TINY;
            bound.push_back(device.stored_bound(delta.back(), e));
            db[i % 11] += delta.back();
            db_bound[i % 11] += e + gamma_n(37) * (std::fabs(delta.back()) + e);
        }
        expect_within(result.delta, delta, bound, std::string("given, ") + dk_activation_name(g));
        expect_within(result.db, db, db_bound, std::string("given db, ") + dk_activation_name(g));
        EXPECT_EQ(result.state.loss, 0.5);
    }
}

// One bad value in any row latches the step; bad values never turn into a loss that looks fine.
TEST_P(Ends, ALossThatIsNotFiniteIsLatched) {
    for (dk_loss kind : {DK_LOSS_MSE, DK_LOSS_MAE, DK_LOSS_HUBER, DK_LOSS_SIGMOID_CROSS_ENTROPY,
                         DK_LOSS_SOFTMAX_CROSS_ENTROPY})
        for (size_t at : {size_t{0}, size_t{7}, size_t{35 * 19 - 1}})
            for (float bad : {NAN, INFINITY}) {
                const LossCase c = {35, 19, 1, kind, DK_IDENTITY, false, false, false, false, 0.0f};
                LossData d = loss_data(device, random, c);
                d.z[at] = d.a[at] = bad;
                EXPECT_EQ(300u, run_loss(device, c, d, true).state.bad_tick)
                    << dk_loss_name(kind) << " of " << bad << " at " << at;
                LossData e = loss_data(device, random, c);
                e.targets[at] = bad;
                EXPECT_EQ(300u, run_loss(device, c, e, true).state.bad_tick)
                    << dk_loss_name(kind) << " with the target " << bad << " at " << at;
            }
}

// Logits of ±2¹³: exact limits. p is 1 or 0, the loss the distance of the logits, or 0.
TEST_P(Ends, ExtremeLogitsHaveTheirExactLimits) {
    const LossCase softmax = {
        2, 3, 0, DK_LOSS_SOFTMAX_CROSS_ENTROPY, DK_IDENTITY, true, false, false, false, 0.0f};
    LossData d = loss_data(device, random, softmax);
    d.z = d.a = {8192.0f, -8192.0f, 0.0f, 8192.0f, -8192.0f, 0.0f};
    d.labels = {0, 1};
    d.inverse_normaliser = 0.5f;
    const LossResult s = run_loss(device, softmax, d, true);
    expect_exact(s.delta, {0, 0, 0, 0.5, -0.5, 0}, "softmax at its limits");
    EXPECT_EQ(s.state.loss, 0.5 + 0.5 * 16384.0);

    const LossCase sigmoid = {
        4, 1, 0, DK_LOSS_SIGMOID_CROSS_ENTROPY, DK_IDENTITY, false, false, false, false, 0.0f};
    LossData e = loss_data(device, random, sigmoid);
    e.z = e.a = {8192.0f, -8192.0f, 8192.0f, -8192.0f};
    e.targets = {1.0f, 0.0f, 0.0f, 1.0f};
    e.inverse_normaliser = 0.25f;
    const LossResult b = run_loss(device, sigmoid, e, true);
    expect_exact(b.delta, {0, 0, 0.25, -0.25}, "sigmoid at its limits");
    EXPECT_EQ(b.state.loss, 0.5 + 0.25 * 16384.0);
}
