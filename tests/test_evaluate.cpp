// Metrics against plain double loops over the predictions, and predictions by every way in.
//
// u = 2⁻²⁴ is fp32's unit roundoff. dk_evaluate and dk_predict with the same batch size see the
// same network outputs; what differs is how each rounds what it makes of them.
#include "support.h"
#include "support_net.h"

#include <cmath>
#include <thread>

namespace {

using support::Description;
using support::layer;
using support::normal;

constexpr double U = 0x1p-24;

support::Net trained(const dk_dataset *data, const std::vector<int64_t> &hidden,
                     dk_activation activation = DK_TANH, int64_t epochs = 3) {
    support::Net net = support::net_for(data, hidden, activation);
    dk_fit_options fit = DK_FIT_OPTIONS_INIT;
    fit.epochs = epochs;
    EXPECT_EQ(dk_trainer_fit(support::trainer(net.get()).get(), data, nullptr, &fit, nullptr),
              DK_OK)
        << dk_error_text();
    return net;
}

dk_metrics evaluate(const dk_net *net, const dk_dataset *data, int64_t batch = 0) {
    dk_metrics metrics;
    EXPECT_EQ(dk_evaluate(net, data, batch, &metrics), DK_OK) << dk_error_text();
    return metrics;
}

// ---- classes -----------------------------------------------------------------------------------

TEST(Evaluate, ClassMetricsAreThoseOfThePredictions) {
    support::Context context = support::open_context();
    support::Dataset data = support::synth(context.get(), "synth:spirals", 500, 1, 0, 5);
    const int64_t rows = 500, classes = 5;
    std::vector<int32_t> labels(rows);
    ASSERT_EQ(dk_dataset_read(data.get(), 0, rows, nullptr, labels.data(), nullptr), DK_OK);
    for (bool weighted : {false, true}) {
        Description given(2, {layer(16, DK_TANH), layer(classes, DK_IDENTITY)},
                          DK_LOSS_SOFTMAX_CROSS_ENTROPY);
        if (weighted) given.class_weights = {0.5f, 1, 2, 0.125f, 3};
        support::Net net = support::net(context.get(), given);
        ASSERT_EQ(dk_net_learn_preprocessing(net.get(), data.get()), DK_OK);
        dk_metrics metrics = evaluate(net.get(), data.get());
        std::vector<float> p = support::predictions(net.get(), data.get());
        double loss = 0, weights = 0, bound = 0;
        int64_t correct = 0;
        for (int64_t i = 0; i < rows; ++i) {
            const float *row = &p[static_cast<size_t>(i * classes)];
            int64_t best = 0;
            double sum = 0;
            for (int64_t c = 0; c < classes; ++c) {
                sum += row[c];
                if (row[c] > row[best]) best = c;
            }
            EXPECT_NEAR(sum, 1, classes * U); // each is rounded once, from a sum to 1 in double
            correct += best == labels[i];
            double w = weighted ? given.class_weights[static_cast<size_t>(labels[i])] : 1;
            double l = -std::log(static_cast<double>(row[labels[i]]));
            loss += w * l;
            weights += w;
            // p: its exponent z − max is rounded by u·|z − max| ≤ u·(l + log C), exp errs by 1 ulp
            // (2u), the sum of C such terms likewise, the quotient is rounded: u·(2 l + 2 log C +
            // 5) relative, absolute in the logarithm. The library's own l: the same exponents, an
            // exp and a log within 1 ulp, their difference rounded: u·(4 l + 4 log C + 8). And the
            // weight's product: u·l.
            bound += w * U * (7 * l + 6 * std::log(static_cast<double>(classes)) + 13);
        }
        EXPECT_EQ(metrics.task, DK_TASK_CLASSIFICATION);
        EXPECT_EQ(metrics.samples, rows);
        EXPECT_EQ(metrics.accuracy, static_cast<double>(correct) / rows);
        EXPECT_NEAR(metrics.loss, loss / weights, bound / weights);
        EXPECT_TRUE(std::isnan(metrics.rmse) && std::isnan(metrics.mae) && std::isnan(metrics.r2));
    }
}

TEST(Evaluate, SampleWeightsWeighTheLossAndNotTheAccuracy) {
    support::Context context = support::open_context();
    support::Arrays arrays;
    arrays.features = 1;
    arrays.classes = 2;
    arrays.x = {1, -1, 1};
    arrays.labels = {1, 0, 0};
    Description given(1, {layer(2, DK_IDENTITY)}, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    support::Net net = support::net(context.get(), given);
    const float w[2] = {0, 1000}; // so sure that a wrong answer costs 1000 and a right one 0
    ASSERT_EQ(dk_net_set(net.get(), DK_WEIGHT, 1, w, 2), DK_OK);
    dk_metrics plain = evaluate(net.get(), arrays.open(context.get()).get());
    EXPECT_DOUBLE_EQ(plain.loss, 1000.0 / 3);
    EXPECT_DOUBLE_EQ(plain.accuracy, 2.0 / 3);
    arrays.weights = {1, 2, 5};
    dk_metrics weighted = evaluate(net.get(), arrays.open(context.get()).get());
    EXPECT_DOUBLE_EQ(weighted.loss, 5 * 1000.0 / 8);
    EXPECT_DOUBLE_EQ(weighted.accuracy, 2.0 / 3);
}

TEST(Evaluate, AmongEqualOutputsTheLowerIndexCounts) {
    support::Context context = support::open_context();
    support::Arrays arrays;
    arrays.features = 1;
    arrays.classes = 3;
    arrays.x = {1, 1, 1, 1};
    arrays.labels = {0, 1, 2, 0};
    dk_layer zero = layer(3, DK_IDENTITY);
    zero.init = DK_INIT_CONSTANT;
    support::Net net =
        support::net(context.get(), Description(1, {zero}, DK_LOSS_SOFTMAX_CROSS_ENTROPY));
    EXPECT_EQ(evaluate(net.get(), arrays.open(context.get()).get()).accuracy, 0.5);
}

// ---- numbers -----------------------------------------------------------------------------------

// Expects the metrics of predictions p for targets y, [rows, outputs], where each error p − y that
// the library saw may differ by `slack` of its column from the one seen here. Norms are
// 1-Lipschitz, so rmse and mae differ by the largest slack at most; √S and √T of r2 = 1 − S/T by
// √rows·slack.
void expect_regression(const dk_metrics &metrics, const std::vector<float> &p,
                       const std::vector<float> &y, size_t outputs,
                       const std::vector<double> &slack) {
    const size_t rows = y.size() / outputs;
    double square = 0, absolute = 0, low = 0, high = 0, largest = 0;
    for (size_t j = 0; j < outputs; ++j) {
        double mean = 0, S = 0, T = 0;
        for (size_t i = 0; i < rows; ++i) mean += y[i * outputs + j] / static_cast<double>(rows);
        for (size_t i = 0; i < rows; ++i) {
            double target = y[i * outputs + j], e = p[i * outputs + j] - target;
            S += e * e;
            absolute += std::fabs(e);
            T += (target - mean) * (target - mean);
        }
        square += S;
        double d = std::sqrt(static_cast<double>(rows)) * slack[j], s = std::sqrt(S),
               t = std::sqrt(T);
        low += 1 - std::pow((s + d) / (t - d), 2);
        high += 1 - std::pow(std::max(0.0, s - d) / (t + d), 2);
        largest = std::max(largest, slack[j]);
    }
    const double n = static_cast<double>(rows * outputs);
    EXPECT_EQ(metrics.task, DK_TASK_REGRESSION);
    EXPECT_EQ(metrics.samples, static_cast<int64_t>(rows));
    EXPECT_NEAR(metrics.rmse, std::sqrt(square / n), largest);
    EXPECT_NEAR(metrics.mae, absolute / n, largest);
    EXPECT_GE(metrics.r2, low / static_cast<double>(outputs));
    EXPECT_LE(metrics.r2, high / static_cast<double>(outputs));
    EXPECT_TRUE(std::isnan(metrics.accuracy));
}

TEST(Evaluate, RegressionMetricsAreInOriginalUnits) {
    support::Context context = support::open_context();
    const size_t rows = 300, outputs = 3;
    support::Arrays arrays;
    arrays.features = 4;
    arrays.target_count = outputs;
    arrays.x = normal(rows * 4, 1);
    arrays.targets = normal(rows * outputs, 2);
    for (size_t i = 0; i < rows * outputs; ++i) { // units of their own, and something to learn
        const double unit[] = {1000, 0.01, 3}, shift[] = {50, -7, 1e4};
        arrays.targets[i] = static_cast<float>(
            unit[i % 3] * (arrays.x[i / 3 * 4] + 0.3 * arrays.targets[i]) + shift[i % 3]);
    }
    support::Dataset data = arrays.open(context.get());
    support::Net net = trained(data.get(), {8}, DK_TANH, 200);
    std::vector<float> p = support::predictions(net.get(), data.get());
    dk_preprocessing scaling;
    ASSERT_EQ(dk_net_preprocessing(net.get(), &scaling), DK_OK);
    // The library: y′ = (y − μ)·s rounded twice, 2u|y − μ|; this test: p = a/s + μ rounded twice,
    // u|p − μ| + u|p|. Second order and the double sums: a tenth more.
    std::vector<double> slack(outputs, 0);
    for (size_t i = 0; i < rows * outputs; ++i) {
        double mean = scaling.target_shift[i % 3], y = arrays.targets[i];
        slack[i % 3] =
            std::max(slack[i % 3], 1.1 * U *
                                       (2 * std::fabs(y - mean) + std::fabs(p[i] - mean) +
                                        std::fabs(static_cast<double>(p[i]))));
    }
    dk_metrics metrics = evaluate(net.get(), data.get());
    expect_regression(metrics, p, arrays.targets, outputs, slack);
    EXPECT_GT(metrics.r2, 0.0);
}

TEST(Evaluate, WithProbabilitiesAsTargetsThePredictionsAreProbabilities) {
    support::Context context = support::open_context();
    const size_t rows = 64;
    support::Arrays arrays;
    arrays.features = 2;
    arrays.target_count = 2;
    arrays.x = normal(rows * 2, 1);
    for (size_t i = 0; i < rows * 2; ++i)
        arrays.targets.push_back(arrays.x[i] > 0 ? 0.75f : 0.125f);
    support::Dataset data = arrays.open(context.get());
    support::Net net = support::net(
        context.get(), Description(2, {layer(2, DK_IDENTITY)}, DK_LOSS_SIGMOID_CROSS_ENTROPY));
    ASSERT_EQ(dk_net_learn_preprocessing(net.get(), data.get()), DK_OK);
    // the same σ in fp32 on both sides: only the double sums differ
    std::vector<double> slack(2, 1e-14);
    expect_regression(evaluate(net.get(), data.get()), support::predictions(net.get(), data.get()),
                      arrays.targets, 2, slack);
}

TEST(Evaluate, AConstantTargetHasNoR2) {
    support::Context context = support::open_context();
    support::Arrays arrays;
    arrays.features = 1;
    arrays.target_count = 2;
    arrays.x = {1, 2, 3, 4};
    arrays.targets = {0.1f, 1, 0.1f, 2, 0.1f, 3, 0.1f, 4};
    support::Dataset data = arrays.open(context.get());
    support::Net net = support::net_for(data.get(), {});
    EXPECT_TRUE(std::isfinite(evaluate(net.get(), data.get()).r2)); // of the other one
    arrays.target_count = 1;
    arrays.targets.assign(4, 0.1f);
    support::Dataset constant = arrays.open(context.get());
    net = support::net_for(constant.get(), {});
    EXPECT_TRUE(std::isnan(evaluate(net.get(), constant.get()).r2));
}

// ---- batch sizes -------------------------------------------------------------------------------

// On small integers all of fp32 is exact, and so is the double sum of their squares.
TEST(Evaluate, TheBatchSizeChangesNothingWhereFp32IsExact) {
    support::Context context = support::open_context();
    support::Arrays arrays;
    arrays.features = 5;
    arrays.target_count = 1;
    std::mt19937 random(5);
    auto integer = [&] { return static_cast<float>(static_cast<int>(random() % 17) - 8); };
    for (int i = 0; i < 5 * 101; ++i) arrays.x.push_back(integer());
    for (int i = 0; i < 101; ++i) arrays.targets.push_back(integer());
    support::Dataset data = arrays.open(context.get());
    dk_layer ones = layer(4, DK_RELU);
    ones.init = DK_INIT_CONSTANT;
    ones.init_value = 1;
    dk_layer last = ones;
    last.width = 1;
    last.activation = DK_IDENTITY;
    support::Net net = support::net(context.get(), Description(5, {ones, last}));
    dk_metrics whole = evaluate(net.get(), data.get());
    for (int64_t batch : {1, 2, 7, 32, 100, 101, 102, 1 << 20}) {
        dk_metrics parts = evaluate(net.get(), data.get(), batch);
        EXPECT_EQ(parts.loss, whole.loss) << batch;
        EXPECT_EQ(parts.rmse, whole.rmse) << batch;
        EXPECT_EQ(parts.mae, whole.mae) << batch;
        EXPECT_EQ(parts.samples, 101);
    }
}

// Elsewhere the order of a product's sum may depend on the batch. A layer's z errs by
// γ_{n+1}(Σ|w||a| + |b|) from its own sum, γ_n = nu/(1 − nu), and by Σ|w|E from its inputs' errors
// E; relu passes errors on, and the loss changes by at most 2 max|Δz| (its gradient p − y has a
// 1-norm of at most 2), beside its own rounding, u(4 l + 4 log C + 8) as above.
TEST(Evaluate, TheBatchSizeChangesTheLossWithinItsBound) {
    support::Context context = support::open_context();
    support::Dataset data = support::synth(context.get(), "synth:spirals", 203);
    support::Net net =
        support::net(context.get(), Description(2, {layer(33, DK_RELU), layer(3, DK_IDENTITY)},
                                                DK_LOSS_SOFTMAX_CROSS_ENTROPY));
    std::vector<float> x(2 * 203), w1 = support::tensor(net.get(), DK_WEIGHT, 1),
                                   w2 = support::tensor(net.get(), DK_WEIGHT, 2);
    ASSERT_EQ(dk_dataset_read(data.get(), 0, 203, x.data(), nullptr, nullptr), DK_OK);
    double error = 0;
    for (size_t i = 0; i < 203; ++i)
        for (size_t c = 0; c < 3; ++c) {
            double sum = 0, passed = 0;
            for (size_t h = 0; h < 33; ++h) {
                double in = 0, z = 0;
                for (size_t j = 0; j < 2; ++j) {
                    double product = static_cast<double>(w1[2 * h + j]) * x[2 * i + j];
                    z += product;
                    in += std::fabs(product);
                }
                double e = 3.1 * U * in, w = std::fabs(static_cast<double>(w2[33 * c + h]));
                sum += w * (std::max(0.0, z) + e);
                passed += w * e;
            }
            error = std::max(error, 34.1 * U * sum + passed);
        }
    dk_metrics whole = evaluate(net.get(), data.get());
    double bound = 2 * (2 * error + U * (4 * whole.loss + 4 * std::log(3.0) + 8));
    for (int64_t batch : {1, 3, 64, 202})
        EXPECT_NEAR(evaluate(net.get(), data.get(), batch).loss, whole.loss, bound) << batch;
}

TEST(Evaluate, RefusesWhatDoesNotFit) {
    support::Context context = support::open_context();
    support::Dataset data = support::synth(context.get(), "synth:spirals", 30);
    support::Dataset more = support::synth(context.get(), "synth:spirals", 30, 1, 0, 4);
    support::Net net = support::net_for(data.get(), {4});
    dk_metrics metrics;
    EXPECT_EQ(dk_evaluate(net.get(), more.get(), 0, &metrics), DK_E_SHAPE);
    EXPECT_EQ(dk_evaluate(net.get(), data.get(), -1, &metrics), DK_E_ARGUMENT);
    EXPECT_EQ(dk_evaluate(nullptr, data.get(), 0, &metrics), DK_E_ARGUMENT);
    EXPECT_EQ(dk_evaluate(net.get(), nullptr, 0, &metrics), DK_E_ARGUMENT);
    EXPECT_EQ(dk_evaluate(net.get(), data.get(), 0, nullptr), DK_E_ARGUMENT);
    support::Arrays arrays;
    arrays.features = 2;
    arrays.x = {1, 2, 3, 4};
    EXPECT_EQ(dk_evaluate(net.get(), arrays.open(context.get()).get(), 0, &metrics), DK_E_STATE);
    std::vector<float> w(4 * 3, 3e38f); // outputs overflow
    ASSERT_EQ(dk_net_set(net.get(), DK_WEIGHT, 2, w.data(), w.size()), DK_OK);
    const float b[4] = {9, 9, 9, 9};
    ASSERT_EQ(dk_net_set(net.get(), DK_BIAS, 1, b, 4), DK_OK);
    EXPECT_EQ(dk_evaluate(net.get(), data.get(), 0, &metrics), DK_E_NONFINITE);
}

// ---- prediction --------------------------------------------------------------------------------

TEST(Predict, ADataSetIsPredictedLikeItsRows) {
    support::Context context = support::open_context();
    for (const char *source : {"synth:spirals", "synth:teacher"}) {
        support::Dataset data = support::synth(context.get(), source, 2500); // three batches
        support::Net net = trained(data.get(), {16}, DK_SILU, 1);
        dk_dataset_info info;
        ASSERT_EQ(dk_dataset_describe(data.get(), &info), DK_OK);
        std::vector<float> x(static_cast<size_t>(2500 * info.features));
        ASSERT_EQ(dk_dataset_read(data.get(), 0, 2500, x.data(), nullptr, nullptr), DK_OK);
        std::vector<float> y(static_cast<size_t>(2500 * info.targets));
        ASSERT_EQ(dk_predict(net.get(), x.data(), 2500, y.data()), DK_OK) << dk_error_text();
        EXPECT_EQ(support::predictions(net.get(), data.get()), y) << source;
        support::Arrays unlabelled;
        unlabelled.features = info.features;
        unlabelled.x = x;
        EXPECT_EQ(support::predictions(net.get(), unlabelled.open(context.get()).get()), y);
    }
}

TEST(Predict, NamesRowAndColumnOfWhatIsNotFinite) {
    support::Context context = support::open_context();
    support::Net net = support::net(context.get(), Description(3, {layer(2, DK_IDENTITY)}));
    std::vector<float> x(3 * 2000, 1.0f), y(2 * 2000);
    ASSERT_EQ(dk_predict(net.get(), x.data(), 2000, y.data()), DK_OK);
    for (float bad : {std::nanf(""), INFINITY, -INFINITY}) {
        x[3 * 1999 + 1] = bad;
        EXPECT_EQ(dk_predict(net.get(), x.data(), 2000, y.data()), DK_E_NONFINITE);
        support::expect_error_names("feature 1 of row 1999");
    }
    x.assign(x.size(), 3e38f); // finite, but the sum isn't
    const float w[6] = {1, 1, 1, 0, 0, 0};
    ASSERT_EQ(dk_net_set(net.get(), DK_WEIGHT, 1, w, 6), DK_OK);
    EXPECT_EQ(dk_predict(net.get(), x.data(), 2000, y.data()), DK_E_NONFINITE);
    support::expect_error_names("row 0, output 0");
    EXPECT_EQ(dk_predict(net.get(), x.data(), 0, y.data()), DK_E_ARGUMENT);
    EXPECT_EQ(dk_predict(net.get(), x.data(), -1, y.data()), DK_E_ARGUMENT);
    EXPECT_EQ(dk_predict(net.get(), nullptr, 1, y.data()), DK_E_ARGUMENT);
    EXPECT_EQ(dk_predict(net.get(), x.data(), 1, nullptr), DK_E_ARGUMENT);
    EXPECT_EQ(dk_predict(nullptr, x.data(), 1, y.data()), DK_E_ARGUMENT);
    support::Dataset narrow = support::synth(context.get(), "synth:spirals", 30);
    EXPECT_EQ(dk_predict_dataset(net.get(), narrow.get(), y.data()), DK_E_SHAPE);
}

// Run under ThreadSanitizer as well.
TEST(Predict, SeveralThreadsMayReadOneNetwork) {
    support::Context context = support::open_context(2);
    support::Dataset data = support::synth(context.get(), "synth:spirals", 400);
    support::Net net = trained(data.get(), {32, 32}, DK_GELU, 1);
    std::vector<float> x = normal(4 * 2 * 100, 7);
    std::vector<std::vector<float>> expected(4, std::vector<float>(300)), found = expected,
                                                                          logits = expected;
    for (size_t t = 0; t < 4; ++t)
        ASSERT_EQ(dk_predict(net.get(), &x[200 * t], 100, expected[t].data()), DK_OK);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            dk_session *made = nullptr;
            EXPECT_EQ(dk_session_create(&made, net.get(), 100, DK_SESSION_GRADIENTS), DK_OK);
            support::Session session(made);
            for (int repeat = 0; repeat < 10; ++repeat) {
                EXPECT_EQ(dk_predict(net.get(), &x[200 * t], 100, found[t].data()), DK_OK);
                EXPECT_EQ(found[t], expected[t]);
                std::vector<float> before = logits[t];
                EXPECT_EQ(dk_session_forward(session.get(), &x[200 * t], 100, logits[t].data()),
                          DK_OK);
                if (repeat) {
                    EXPECT_EQ(logits[t], before);
                }
            }
            dk_metrics metrics;
            EXPECT_EQ(dk_evaluate(net.get(), data.get(), 0, &metrics), DK_OK);
        });
    for (std::thread &thread : threads) thread.join();
}

} // namespace
