// What must hold whatever the backend: gradients by the equations, linearity, collapse, mixed
// activations, accumulation, awkward sizes, extremes; through the public functions. Bounds are the
// reference's (docs/numerics.md).
#include "support_device.h"
#include "support_extent.h"

#include <map>

using namespace networks;
using operations::activations;
using operations::expect_exact;
using operations::expect_within;
using operations::same_bits;
using operations::UNIT;

namespace {

const std::vector<dk_loss> losses = {DK_LOSS_MSE, DK_LOSS_MAE, DK_LOSS_HUBER,
                                     DK_LOSS_SOFTMAX_CROSS_ENTROPY, DK_LOSS_SIGMOID_CROSS_ENTROPY};

bool is_cross_entropy(dk_loss loss) {
    return loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY || loss == DK_LOSS_SIGMOID_CROSS_ENTROPY;
}

// The last layer's g is free, except for the cross-entropies.
dk_layer last_layer(int64_t width, dk_activation g, dk_loss loss) {
    return layer(width, is_cross_entropy(loss) ? DK_IDENTITY : g);
}

} // namespace

// 1. Every gradient is the reference's, which agrees with finite differences
// (test_reference_gradients).
TEST(Math, EveryActivationWithEveryLossAgreesWithTheReference) {
    Context context;
    for (dk_activation g : activations())
        for (dk_loss loss : losses)
            for (float dropout : {0.0f, 0.3f}) {
                const std::vector<dk_layer> layers = {layer(7, g, dropout), layer(6, g),
                                                      last_layer(3, g, loss)};
                dk_net_desc desc = DK_NET_DESC_INIT;
                desc.inputs = 5;
                desc.layers = layers.data();
                desc.layer_count = layers.size();
                desc.loss = loss;
                desc.seed = 5;
                desc.label_smoothing = loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY ? 0.1f : 0.0f;
                dk_train_options options = plain_options(9);
                dk_check_row rows[32];
                size_t count = 0;
                ASSERT_EQ(DK_OK, dk_check(context.get(), &desc, &options, rows, 32, &count))
                    << dk_error_text();
                ASSERT_EQ(count, 6 * layers.size() + 1);
                for (size_t i = 0; i < count; ++i)
                    EXPECT_TRUE(rows[i].passed)
                        << dk_activation_name(g) << ", " << dk_loss_name(loss) << ": "
                        << rows[i].quantity << " of layer " << rows[i].layer << " is at "
                        << rows[i].worst << " of its bound";
            }
}

// 2. (1)–(4) for one sample, as loops over i and j, with nothing of the reference but g and g′.
TEST(Math, ASingleSamplesGradientEqualsTheLoops) {
    Context context;
    Random random(1);
    Net net(4, {layer(6, DK_TANH), layer(5, DK_GELU), layer(3, DK_SIGMOID)});
    net.build(context);
    const Batch batch = random_batch(net, 1, random);
    Session session(net, 1);
    const double loss = session.gradients(batch);
    const Reference reference(reference_of(net, batch));

    const size_t L = net.depth();
    std::vector<Doubles> W(L + 1), z(L + 1), a(L + 1), delta(L + 1);
    a[0].assign(batch.x.begin(), batch.x.end());
    for (size_t k = 1; k <= L; ++k) {
        const Floats w = net.read(DK_WEIGHT, k), b = net.read(DK_BIAS, k);
        W[k].assign(w.begin(), w.end());
        for (size_t j = 0; j < b.size(); ++j) {
            double sum = static_cast<double>(b[j]);
            for (size_t i = 0; i < a[k - 1].size(); ++i)
                sum += W[k][j * a[k - 1].size() + i] * a[k - 1][i];
            z[k].push_back(sum);
            a[k].push_back(dki_ref_g(net.at(k).activation, 0.0, sum));
        }
        delta[k].resize(b.size());
    }
    double expected_loss = 0.0;
    for (size_t j = 0; j < a[L].size(); ++j) { // (1)
        const double r = a[L][j] - static_cast<double>(batch.targets[j]), n = 3.0;
        expected_loss += r * r / n;
        delta[L][j] = 2 * r / n * dki_ref_g_prime(net.at(L).activation, 0.0, z[L][j]);
    }
    for (size_t k = L - 1; k >= 1; --k) // (2)
        for (size_t j = 0; j < delta[k].size(); ++j) {
            double sum = 0.0;
            for (size_t i = 0; i < delta[k + 1].size(); ++i)
                sum += W[k + 1][i * delta[k].size() + j] * delta[k + 1][i];
            delta[k][j] = sum * dki_ref_g_prime(net.at(k).activation, 0.0, z[k][j]);
        }
    EXPECT_LE(std::fabs(loss - expected_loss), reference.loss_bound());
    for (size_t k = 1; k <= L; ++k) { // (3), (4)
        Doubles dW;
        for (double d : delta[k])
            for (double in : a[k - 1]) dW.push_back(in * d);
        const std::string at = " of layer " + std::to_string(k);
        expect_within(read(session.get(), net, DK_DELTA, k, 1), delta[k],
                      reference.bound(DK_DELTA, k), "δ" + at);
        expect_within(read(session.get(), net, DK_WEIGHT_GRAD, k), dW,
                      reference.bound(DK_WEIGHT_GRAD, k), "dW" + at);
        expect_within(read(session.get(), net, DK_BIAS_GRAD, k), delta[k],
                      reference.bound(DK_BIAS_GRAD, k), "db" + at);
    }
}

// 3. The gradient of a batch is the mean of its samples' gradients. Both are within their own
// bounds of the same number.
TEST(Math, ABatchsGradientIsTheMeanOfItsSamples) {
    Context context;
    Random random(2);
    for (dk_loss loss : losses) {
        Net net(6, {layer(9, DK_SILU), last_layer(4, DK_TANH, loss)}, loss);
        net.build(context);
        const int64_t rows = 13;
        const Batch batch = random_batch(net, rows, random);
        Session session(net, rows), single(net, 1);
        const double batch_loss = session.gradients(batch);
        const Reference whole(reference_of(net, batch));
        const double B = static_cast<double>(rows);
        double mean_loss = 0.0, mean_bound = whole.loss_bound();
        std::map<std::pair<int, size_t>, Doubles> mean, bound;
        for (int64_t row = 0; row < rows; ++row) {
            const Batch one = row_of(batch, row);
            mean_loss += single.gradients(one) / B;
            const Reference reference(reference_of(net, one));
            mean_bound += reference.loss_bound() / B;
            for (size_t k = 1; k <= net.depth(); ++k)
                for (dk_tensor tensor : {DK_WEIGHT_GRAD, DK_BIAS_GRAD}) {
                    const Floats g = read(single.get(), net, tensor, k);
                    const Doubles e = reference.bound(tensor, k);
                    Doubles &m = mean[{tensor, k}], &b = bound[{tensor, k}];
                    if (row == 0) m.assign(g.size(), 0.0), b = whole.bound(tensor, k);
                    for (size_t i = 0; i < g.size(); ++i) {
                        m[i] += static_cast<double>(g[i]) / B;
                        b[i] += e[i] / B;
                    }
                }
        }
        EXPECT_LE(std::fabs(batch_loss - mean_loss), mean_bound) << dk_loss_name(loss);
        for (size_t k = 1; k <= net.depth(); ++k)
            for (dk_tensor tensor : {DK_WEIGHT_GRAD, DK_BIAS_GRAD})
                expect_within(read(session.get(), net, tensor, k), mean[{tensor, k}],
                              bound[{tensor, k}], std::string(dk_loss_name(loss)) + " mean");
    }
}

// 4. Linear layers collapse to one affine map; with small integers to the last bit.
TEST(Math, LinearLayersCollapse) {
    Context context;
    Random random(3);
    const std::vector<int64_t> widths = {7, 5, 6, 4, 3};
    Net net(7, {layer(5, DK_IDENTITY), layer(6, DK_IDENTITY), layer(4, DK_IDENTITY),
                layer(3, DK_IDENTITY)});
    net.build(context);
    Doubles W(49), b(7); // the map so far, from the inputs: starts as the identity
    for (size_t i = 0; i < 7; ++i) W[i * 7 + i] = 1.0;
    for (size_t k = 1; k <= 4; ++k) {
        const Floats w = random.integers(widths[k] * widths[k - 1]),
                     bias = random.integers(widths[k]);
        net.set(DK_WEIGHT, k, w);
        net.set(DK_BIAS, k, bias);
        const size_t n = static_cast<size_t>(widths[k]), in = static_cast<size_t>(widths[k - 1]);
        Doubles next(n * 7), next_b(bias.begin(), bias.end());
        for (size_t j = 0; j < n; ++j)
            for (size_t i = 0; i < in; ++i) {
                const double weight = static_cast<double>(w[j * in + i]);
                next_b[j] += weight * b[i];
                for (size_t c = 0; c < 7; ++c) next[j * 7 + c] += weight * W[i * 7 + c];
            }
        W = next;
        b = next_b;
    }
    const int64_t rows = 33;
    const Floats x = random.integers(rows * 7);
    Doubles y, dx;
    const Floats given = random.integers(rows * 3);
    for (size_t i = 0; i < 33; ++i) {
        for (size_t j = 0; j < 3; ++j) {
            double sum = b[j];
            for (size_t c = 0; c < 7; ++c) sum += W[j * 7 + c] * static_cast<double>(x[i * 7 + c]);
            y.push_back(sum);
        }
        for (size_t c = 0; c < 7; ++c) {
            double sum = 0.0;
            for (size_t j = 0; j < 3; ++j)
                sum += static_cast<double>(given[i * 3 + j]) * W[j * 7 + c];
            dx.push_back(sum);
        }
    }
    Session session(net, rows);
    Floats out(y.size()), gradient(dx.size());
    ASSERT_EQ(DK_OK, dk_session_forward(session.get(), x.data(), rows, out.data()));
    expect_exact(out, y, "f(x)");
    ASSERT_EQ(DK_OK, dk_session_backward(session.get(), given.data(), rows));
    ASSERT_EQ(DK_OK, dk_session_input_gradient(session.get(), gradient.data(), gradient.size()));
    expect_exact(gradient, dx, "∂l/∂x");
}

// 5. Fourteen layers, each with a g of its own, in two orders.
TEST(Math, EveryLayerHasItsOwnActivation) {
    Context context;
    Random random(4);
    for (bool reversed : {false, true}) {
        std::vector<dk_layer> layers;
        for (dk_activation g : activations())
            layers.push_back(layer(5 + static_cast<int64_t>(layers.size() % 3), g));
        if (reversed) std::reverse(layers.begin(), layers.end());
        Net net(4, layers);
        net.build(context);
        // Scaled up, so that gradients reach the first layer.
        for (size_t k = 1; k <= net.depth(); ++k) {
            Floats w = net.read(DK_WEIGHT, k);
            for (float &v : w) v *= 2.0f;
            net.set(DK_WEIGHT, k, w);
        }
        const Batch batch = random_batch(net, 17, random);
        Session session(net, 17);
        const double loss = session.gradients(batch);
        const Reference reference(reference_of(net, batch));
        reference.expect_session(session.get(), net, reversed ? "reversed" : "in order");
        reference.expect_loss(loss, "mixed");
        double largest = 0.0;
        for (double v : reference.value(DK_WEIGHT_GRAD, 1))
            largest = std::fmax(largest, std::fabs(v));
        EXPECT_GT(largest, 1e-8) << "the test has died out";
    }
}

// 6. A step on B rows equals the step that accumulates micro-batches of c, dropout included: both
// gradients are within the bound of the same number.
TEST(Math, MicroBatchesAddUpToTheBatch) {
    Context context;
    Random random(5);
    const int64_t rows = 37;
    for (dk_loss loss : losses)
        for (float dropout : {0.0f, 0.25f}) {
            const auto make = [&](int64_t batch, Net &net, const Batch &data, double *value) {
                net.build(context);
                dk_train_options options = plain_options(batch);
                options.seed = 77;
                Trainer trainer(net, options);
                *value = trainer.step(data);
                std::vector<Floats> gradients;
                for (size_t k = 1; k <= net.depth(); ++k)
                    for (dk_tensor tensor : {DK_WEIGHT_GRAD, DK_BIAS_GRAD})
                        gradients.push_back(read(trainer.session(), net, tensor, k));
                return gradients;
            };
            const std::vector<dk_layer> layers = {layer(11, DK_RELU, dropout), layer(8, DK_GELU),
                                                  last_layer(3, DK_IDENTITY, loss)};
            Net net(6, layers, loss);
            net.build(context);
            Batch batch = random_batch(net, rows, random);
            batch.weights = random.uniform(rows, 0.5, 2.0);
            const Reference reference(reference_of(net, batch, 77, 1));
            for (int64_t c : {1, 2, 5, 32, 36, 37}) {
                Net copy(6, layers, loss);
                double value = 0.0;
                const std::vector<Floats> gradients = make(c, copy, batch, &value);
                const std::string what =
                    std::string(dk_loss_name(loss)) + " in micro-batches of " + std::to_string(c);
                reference.expect_loss(value, what);
                for (size_t k = 1; k <= 3; ++k) {
                    expect_within(gradients[2 * k - 2], reference.value(DK_WEIGHT_GRAD, k),
                                  reference.bound(DK_WEIGHT_GRAD, k), what + " dW");
                    expect_within(gradients[2 * k - 1], reference.value(DK_BIAS_GRAD, k),
                                  reference.bound(DK_BIAS_GRAD, k), what + " db");
                    // θ ← θ − η g with that gradient.
                    const Floats W = net.read(DK_WEIGHT, k), after = copy.read(DK_WEIGHT, k);
                    const double lr = static_cast<double>(0.1f);
                    for (size_t i = 0; i < W.size(); ++i)
                        ASSERT_EQ(after[i], static_cast<float>(
                                                static_cast<double>(W[i]) -
                                                lr * static_cast<double>(gradients[2 * k - 2][i])))
                            << what;
                }
            }
        }
}

// g′ as a function of a = g(z), where it is one; else NaN.
double slope_from_a(dk_activation g, double alpha, double a) {
    const double lambda = 1.0507009873554805, lambda_alpha = 1.7580993408473766;
    switch (g) {
    case DK_IDENTITY:
        return 1;
    case DK_RELU:
        return a <= 0 ? 0 : 1;
    case DK_LEAKY_RELU:
        return a > 0 ? 1 : alpha;
    case DK_ELU:
        return a > 0 ? 1 : a + alpha;
    case DK_SELU:
        return a > 0 ? lambda : a + lambda_alpha;
    case DK_SIGMOID:
        return a * (1 - a);
    case DK_TANH:
        return 1 - a * a;
    case DK_SOFTPLUS:
        return -std::expm1(-a); // 1 − e^−a
    case DK_SOFTSIGN:
        return (1 - std::fabs(a)) * (1 - std::fabs(a));
    case DK_HARDTANH:
        return a <= -1 || a >= 1 ? 0 : 1;
    case DK_RELU6:
        return a <= 0 || a >= 6 ? 0 : 1;
    case DK_GELU:
    case DK_GELU_TANH:
    case DK_SILU:
    case DK_MISH:
        return NAN;
    }
    return NAN;
}

// 7. g′ from z and g′ from a agree to a few units of 2⁻²⁴, where a tells.
TEST(Math, GPrimeFromZAndFromAAgree) {
    for (dk_activation g : activations()) {
        if (std::isnan(slope_from_a(g, 1, 0.5))) continue;
        const float alpha = operations::alpha_of(g);
        for (int i = -20000; i <= 20000; ++i) {
            const float z = static_cast<float>(i) * 0x1p-10f;
            const float a = dki_activation(g, alpha, z);
            const double from_z = static_cast<double>(dki_activation_grad(g, alpha, z)),
                         from_a =
                             slope_from_a(g, static_cast<double>(alpha), static_cast<double>(a));
            // Each errs by γ_24 sup|g′| at most: docs/numerics.md.
            ASSERT_LE(std::fabs(from_z - from_a), 2 * operations::slope_error(g))
                << dk_activation_name(g) << " at " << z;
        }
    }
}

// 8. Awkward sizes, all at once: the batch, and every width.
TEST(Math, AwkwardSizesAgreeWithTheReference) {
    Context context;
    Random random(6);
    struct Shape {
        int64_t rows, inputs;
        std::vector<int64_t> widths;
    };
    const std::vector<Shape> shapes = {
        {1, 1, {1, 1}},      {2, 3, {1, 2}},        {3, 2, {31, 3}},     {31, 33, {32, 31}},
        {32, 31, {33, 1}},   {33, 127, {129, 3}},   {127, 32, {2, 127}}, {129, 1, {257, 2}},
        {257, 129, {31, 7}}, {1, 5000, {3, 2}},     {2, 3, {5000, 1}},   {3000, 2, {3, 1}},
        {3, 2, {2, 3000}},   {521, 13, {11, 17, 5}}};
    const int64_t some = support::one_in(devices::times(context, 5, 1));
    int64_t cases = 0;
    for (dk_loss loss : {DK_LOSS_MSE, DK_LOSS_SOFTMAX_CROSS_ENTROPY})
        for (const Shape &shape : shapes) {
            if (cases++ % some != 0) continue;
            std::vector<dk_layer> layers;
            for (int64_t width : shape.widths) layers.push_back(layer(width, DK_TANH));
            layers.back().activation = DK_IDENTITY;
            Net net(shape.inputs, layers, loss);
            net.build(context);
            const Batch batch = random_batch(net, shape.rows, random);
            Session session(net, shape.rows);
            const double value = session.gradients(batch);
            const Reference reference(reference_of(net, batch));
            const std::string what = std::to_string(shape.rows) + " rows of " +
                                     std::to_string(shape.inputs) + ", " + dk_loss_name(loss);
            reference.expect_session(session.get(), net, what);
            reference.expect_loss(value, what);
        }
}

// 9. Logits of ±1e4: finite losses, exact limits.
TEST(Math, ExtremeLogitsGiveFiniteLossesAndExactLimits) {
    Context context;
    Net softmax(3, {layer(3, DK_IDENTITY)}, DK_LOSS_SOFTMAX_CROSS_ENTROPY);
    softmax.build(context);
    softmax.set(DK_WEIGHT, 1, {1, 0, 0, 0, 1, 0, 0, 0, 1});
    softmax.set(DK_BIAS, 1, {0, 0, 0});
    Batch batch;
    batch.rows = 2;
    batch.x = {1e4f, -1e4f, 0, 1e4f, -1e4f, 0};
    batch.labels = {0, 1};
    Session session(softmax, 2);
    EXPECT_EQ(session.gradients(batch), 1e4); // (0 + 2·10⁴)/2
    expect_exact(read(session.get(), softmax, DK_DELTA, 1, 2), {0, 0, 0, 0.5, -0.5, 0}, "softmax");

    Net sigmoid(2, {layer(2, DK_IDENTITY)}, DK_LOSS_SIGMOID_CROSS_ENTROPY);
    sigmoid.build(context);
    sigmoid.set(DK_WEIGHT, 1, {1, 0, 0, 1});
    sigmoid.set(DK_BIAS, 1, {0, 0});
    Batch both;
    both.rows = 2;
    both.x = {1e4f, -1e4f, 1e4f, -1e4f};
    both.targets = {1, 0, 0, 1};
    Session other(sigmoid, 2);
    EXPECT_EQ(other.gradients(both), 5e3); // (0 + 0 + 10⁴ + 10⁴)/4
    expect_exact(read(other.get(), sigmoid, DK_DELTA, 1, 2), {0, 0, 0.25, -0.25}, "sigmoid");

    // Saturated hidden layers: the limits of g and g′, no NaN.
    for (dk_activation g : activations()) {
        Net net(1, {layer(1, g)}, DK_LOSS_MAE);
        net.build(context);
        net.set(DK_WEIGHT, 1, {1});
        net.set(DK_BIAS, 1, {0});
        for (float z : {1e4f, -1e4f}) {
            Session one(net, 1);
            Batch extreme;
            extreme.rows = 1;
            extreme.x = {z};
            extreme.targets = {-2e4f};
            one.gradients(extreme);
            const double alpha = static_cast<double>(operations::alpha_of(g));
            const double limit = dki_ref_g(g, alpha, static_cast<double>(z)),
                         slope = dki_ref_g_prime(g, alpha, static_cast<double>(z));
            EXPECT_EQ(read(one.get(), net, DK_A, 1, 1)[0], static_cast<float>(limit))
                << dk_activation_name(g) << " at " << z;
            EXPECT_NEAR(static_cast<double>(read(one.get(), net, DK_DELTA, 1, 1)[0]), slope,
                        4 * UNIT * slope + operations::TINY)
                << dk_activation_name(g) << " at " << z;
        }
    }
}

namespace {

struct Damage {
    const char *name;
    void (*apply)(Batch &, float);
};

const std::vector<Damage> damages = {
    {"first feature", [](Batch &b, float bad) { b.x.front() = bad; }},
    {"last feature", [](Batch &b, float bad) { b.x.back() = bad; }},
    {"target", [](Batch &b, float bad) { b.targets[b.targets.size() / 2] = bad; }},
};

} // namespace

// 9. NaN and Inf in data are reported, with the step; the parameters keep their bits, and what
// follows is as if the step had never been.
TEST(Math, NonFiniteDataAreReportedAndChangeNothing) {
    Context context;
    Random random(7);
    const int64_t some = support::one_in(devices::times(context, 13, 1));
    int64_t cases = 0;
    for (dk_activation g : activations())
        for (dk_optimizer optimizer : {DK_SGD, DK_MOMENTUM, DK_ADAMW})
            for (double clip : {0.0, 1.0})
                for (const Damage &damage : damages)
                    for (float bad : {NAN, INFINITY, -INFINITY}) {
                        if (cases++ % some != 0) continue;
                        Net net(4, {layer(5, g), layer(2, DK_IDENTITY)}),
                            clean(4, {layer(5, g), layer(2, DK_IDENTITY)});
                        net.build(context);
                        clean.build(context);
                        const Batch batch = random_batch(net, 5, random);
                        Batch broken = batch;
                        damage.apply(broken, bad);
                        dk_train_options options = plain_options(3, optimizer, 0.01);
                        options.clip_norm = clip;
                        options.keep = DK_KEEP_NEEDED;
                        Trainer trainer(net, options), other(clean, options);
                        trainer.step(batch);
                        other.step(batch);
                        const Floats before = net.parameters();
                        const std::string what =
                            std::string(damage.name) + " " + std::to_string(bad) + ", " +
                            dk_activation_name(g) + ", " + dk_optimizer_name(optimizer);
                        ASSERT_EQ(DK_E_NONFINITE, trainer.try_step(broken)) << what;
                        EXPECT_NE(std::string(dk_error_text()).find("step 2"), std::string::npos)
                            << dk_error_text();
                        ASSERT_TRUE(same_bits(before, net.parameters())) << what;
                        for (int step = 0; step < 3; ++step) {
                            trainer.step(batch);
                            other.step(batch);
                        }
                        ASSERT_TRUE(same_bits(clean.parameters(), net.parameters()))
                            << what << ": the steps after it differ";
                    }
}

// The same where the first layer is frozen and its g hides an Inf: tanh ∞ = 1.
TEST(Math, InfinityIsReportedBehindAFrozenLayer) {
    Context context;
    Random random(8);
    for (dk_activation g : {DK_TANH, DK_SIGMOID, DK_RELU, DK_HARDTANH}) {
        Net net(1, {layer(5, g, 0.0f, true), layer(2, DK_IDENTITY)});
        net.build(context);
        if (g == DK_RELU) net.set(DK_WEIGHT, 1, {-1, -1, -1, -1, -1});
        Batch batch = random_batch(net, 3, random);
        Trainer trainer(net, plain_options(3));
        trainer.step(batch);
        const Floats before = net.parameters();
        batch.x[1] = INFINITY;
        EXPECT_EQ(DK_E_NONFINITE, trainer.try_step(batch)) << dk_activation_name(g);
        EXPECT_TRUE(same_bits(before, net.parameters())) << dk_activation_name(g);
    }
}
